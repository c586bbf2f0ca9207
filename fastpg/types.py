"""What passes between rollout, training and updates: arrays with names and shapes.

Axis letters: T steps per environment, N environments, B samples, O observation size, D action dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """T steps of N environments, time-major.

    Attributes:
        observations: (T, N, O) float, encoded (and normalised) observation before the step.
        actions: (T, N, D) float (Gaussian, unclipped) or int32.
        rewards: (T, N) float, as trained on (normalised where the model normalises).
        terminated: (T, N) bool, the episode ended in a terminal state: no bootstrap.
        truncated: (T, N) bool, the episode was cut (time limit): bootstrap from ``next_values``.
        values: (T, N) float, V(observation).
        next_values: (T, N) float, V of the true successor, before any reset; 0 where ``terminated``.
        log_probs: (T, N) float, log-probability of the action when it was taken.
        valid: (T, N) bool, False where an autoreset step carries no transition.
    """

    observations: Array
    actions: Array
    rewards: Array
    terminated: Array
    truncated: Array
    values: Array
    next_values: Array
    log_probs: Array
    valid: Array

    def flatten(self, advantages: Array) -> Batch:
        """The valid transitions as one batch, with ``advantages`` (T, N); returns are advantages + values."""
        keep: Any = slice(None) if self.valid.all() else self.valid.reshape(-1)
        n_samples = self.valid.size

        def rows(array: Array) -> Array:
            return np.ascontiguousarray(array.reshape(n_samples, *array.shape[2:])[keep])

        returns = advantages + self.values
        return Batch(
            observations=rows(self.observations),
            actions=rows(self.actions),
            old_log_probs=rows(self.log_probs),
            advantages=rows(advantages),
            returns=rows(returns),
            old_values=rows(self.values),
            start_returns=returns[self.first_steps()],
        )

    def first_steps(self) -> Array:
        """(T, N) bool: the first step of an episode that begins in this rollout, after its first row."""
        has_ended = self.terminated | self.truncated | ~self.valid
        first = np.zeros_like(self.valid)
        first[1:] = has_ended[:-1] & self.valid[1:]
        return first


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B transitions as an update sees them.

    Attributes:
        observations: (B, O) float.
        actions: (B, D) float or int32.
        old_log_probs: (B,) float, under the policy that acted.
        advantages: (B,) float, not normalised.
        returns: (B,) float, advantages + values.
        old_values: (B,) float, V at the time of acting.
        start_returns: (n,) float, the returns of those samples that are the first of an episode; None if not known.
    """

    observations: Array
    actions: Array
    old_log_probs: Array
    advantages: Array
    returns: Array
    old_values: Array
    start_returns: Array | None = None

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self) if field.name != "start_returns"]
        sizes = {name: len(getattr(self, name)) for name in names}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"Batch: expected one number of samples in every field, got {sizes}.")

    def __len__(self) -> int:
        """Number of samples B."""
        return len(self.advantages)
