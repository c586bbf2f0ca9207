"""What an update asks of the samples and the policy: protocols, so that step rules can be tested on a quadratic."""

from __future__ import annotations

from typing import Any, Protocol

from fastpg.kernels.layout import ActorCriticLayout
from fastpg.types import Batch
from fastpg.updates.report import UpdateReport
from fastpg.updates.state import OptimizerState


class SampledData(Protocol):
    """B samples, the networks, and how kernels run."""

    @property
    def batch(self) -> Batch:
        """The samples, drawn with the old policy."""

    @property
    def layout(self) -> ActorCriticLayout:
        """How theta describes the networks."""

    @property
    def n_threads(self) -> int:
        """Threads of the kernels; no result depends on it."""

    @property
    def backend(self) -> str | None:
        """Implementation of the kernels, None for the default."""


class Update(Protocol):
    """How theta_old becomes theta_new: what an algorithm composes and the training loop calls once per iteration."""

    def __call__(
        self, old: OptimizerState, problem: Any, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, UpdateReport]:
        """The state after one update from ``old`` on the samples of ``problem``, and its report."""
