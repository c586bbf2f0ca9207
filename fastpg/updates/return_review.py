"""Judge a step by the return it brought, when the next rollout has been seen.

The surrogate, which a radius can follow at once, comes from the samples that the gradient came from. The return of the
new policy is the quantity itself, but it costs a rollout, is noisy, and a step is only taken back after it was used:

    actual    = mean return of episodes under theta_new - the same under theta_old
    predicted = h std(A) (predicted improvement of the surrogate),     h = (1 - gamma^H) / (1 - gamma)

H is the mean length of an episode, so that h is the sum of the weights gamma^t that the surrogate's mean over samples
stands for. Returns are those at the first steps of the episodes that begin in a rollout: discounted, estimated by GAE.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fastpg.types import Array, Batch
from fastpg.updates.radius import TRUST_RADIUS, RadiusController
from fastpg.updates.state import OptimizerState

_IS_PENDING = "return_pending"
_PREDICTED = "return_predicted"
_MEAN = "return_mean"
_VARIANCE = "return_variance"
_WAS_AT_BOUNDARY = "return_at_boundary"
STEPS_TAKEN_BACK = "n_steps_taken_back"
_PARAMS = "params_before_step"


@dataclass(frozen=True, kw_only=True)
class ReturnReview:
    """The radius follows actual over predicted improvement of the return; what is clearly worse is taken back.

    Attributes:
        gamma: discount.
        controller: rule of the radius, with its bounds in nats.
        target_kl: radius at the start, nats.
        n_errors: a step is taken back where the return is lower than acceptable by more than so many standard errors
            of the difference; the usual 2 leaves one in forty good steps to chance.
    """

    gamma: float
    controller: RadiusController
    target_kl: float
    n_errors: float = 2.0

    def look_back(self, old: OptimizerState, batch: Batch) -> tuple[OptimizerState, bool]:
        """Judge the step that led to ``old`` by the samples it brought.

        Returns:
            the state with the new radius, and whether the step was taken back, in which case ``batch`` belongs to a
            policy that is no longer there.
        """
        seen = old.scalars
        after = _mean_return(batch)
        if not seen.get(_IS_PENDING) or after is None:
            return old.remember({_IS_PENDING: 0.0}), False
        actual, predicted = after[0] - seen[_MEAN], seen[_PREDICTED]
        radius = self.controller.next_radius(
            seen.get(TRUST_RADIUS, self.target_kl),
            actual=actual,
            predicted=predicted,
            is_at_boundary=bool(seen[_WAS_AT_BOUNDARY]),
        )
        new = old.remember({_IS_PENDING: 0.0, TRUST_RADIUS: radius})
        margin = self.n_errors * math.sqrt(after[1] + seen[_VARIANCE])
        if self.controller.accepts(actual + margin, predicted):
            return new, False
        before = old.memory[_PARAMS]
        return (
            replace(new, params=np.concatenate([before, old.params[len(before) :]])).remember(
                {STEPS_TAKEN_BACK: seen.get(STEPS_TAKEN_BACK, 0.0) + 1.0}
            ),
            True,
        )

    def look_ahead(
        self, params: Array, batch: Batch, *, predicted: float, is_at_boundary: bool, is_standardised: bool
    ) -> tuple[Mapping[str, float], Mapping[str, Array]]:
        """(numbers, arrays) to remember for ``look_back``.

        Args:
            params: (P,) of the policy before the step.
            batch: the samples that the step came from.
            predicted: improvement of the surrogate.
            is_at_boundary: whether the radius limited the step.
            is_standardised: whether the surrogate has standardised advantages.
        """
        before = _mean_return(batch)
        if before is None or batch.start_returns is None or not predicted > 0.0:
            return {_IS_PENDING: 0.0}, {}
        length = len(batch) / len(batch.start_returns)
        horizon = length if self.gamma == 1.0 else (1.0 - self.gamma**length) / (1.0 - self.gamma)
        unit = float(batch.advantages.std(dtype=np.float64)) if is_standardised else 1.0
        numbers = {
            _IS_PENDING: 1.0,
            _PREDICTED: horizon * unit * predicted,
            _MEAN: before[0],
            _VARIANCE: before[1],
            _WAS_AT_BOUNDARY: float(is_at_boundary),
        }
        return numbers, {_PARAMS: params.copy()}


def _mean_return(batch: Batch) -> tuple[float, float] | None:
    """(mean, squared standard error) of the returns at the first steps of episodes; None for fewer than two."""
    returns = batch.start_returns
    if returns is None or len(returns) < 2:
        return None
    return float(returns.mean(dtype=np.float64)), float(returns.var(ddof=1, dtype=np.float64)) / len(returns)
