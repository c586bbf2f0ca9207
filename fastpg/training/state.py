"""What a model knows between two iterations, as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastpg.updates.state import OptimizerState


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that a finished iteration changes; replacing it is the commit.

    Attributes:
        optimizer: parameters and moments.
        normalizer: snapshot of the running statistics, None without normalisation.
        collector: snapshot of counters, episode statistics and last observations, None without an environment.
        num_timesteps: environment steps since the last ``learn(reset_num_timesteps=True)``.
        total_timesteps: where the current or last ``learn`` ends; schedules are relative to it.
        n_updates: optimisation epochs ever run.
        update_index: updates ever made; it numbers the shuffles, so none is repeated.
    """

    optimizer: OptimizerState
    normalizer: Any
    collector: Mapping[str, Any] | None
    num_timesteps: int = 0
    total_timesteps: int = 0
    n_updates: int = 0
    update_index: int = 0

    def progress_remaining(self, num_timesteps: int) -> float:
        """Fraction of training that is left at ``num_timesteps``: 1 at the start, 0 at and beyond the end."""
        if self.total_timesteps == 0:
            return 1.0
        return min(1.0, max(0.0, 1.0 - num_timesteps / self.total_timesteps))
