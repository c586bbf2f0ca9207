"""Mirror descent on policies: the proximity of MDPO and the schedules of its step size t_k.

    theta_{k+1} ~ argmax  mean(r A) - (1 / t_k) mean(KL(pi_theta || pi_k))

Sources: Tomar, Shani, Efroni, Ghavamzadeh 2020, "Mirror Descent Policy Optimization" (arXiv:2005.09814), equation 10
and section 4; the schedules of Shani, Efroni, Mannor 2020, "Adaptive Trust Region Policy Optimization"
(arXiv:1909.02769), the theorem on Uniform TRPO. There the KL divergence is KL(new || old), reversed with respect
to TRPO.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np

from fastpg.kernels.clipped_loss import KLDirection
from fastpg.types import Batch
from fastpg.updates.state import OptimizerState

#: Name of the progress after the last update, in ``OptimizerState.scalars``.
PROGRESS = "progress_remaining"


class StepSchedule(Protocol):
    """t_k for every update."""

    def __call__(self, old: OptimizerState, *, progress_remaining: float, update_index: int) -> float:
        """t_k > 0."""


@dataclass(frozen=True, kw_only=True)
class LinearSteps:
    """t_k = start * (1 - k / K) for k = 0 ... K - 1: ``start`` at the first update, start / K at the last.

    Attributes:
        start: t_0 > 0.
    """

    start: float

    def __call__(self, old: OptimizerState, *, progress_remaining: float, update_index: int) -> float:
        """From the progress at the beginning of this iteration, which is that at the end of the one before."""
        before = old.scalars.get(PROGRESS, 1.0)
        return self.start * (before if before > progress_remaining else 1.0)  # a new run begins at 1 again


@dataclass(frozen=True, kw_only=True)
class ConstantSteps:
    """t_k = start.

    Attributes:
        start: t > 0.
    """

    start: float

    def __call__(self, old: OptimizerState, *, progress_remaining: float, update_index: int) -> float:
        """Always the same."""
        return self.start


@dataclass(frozen=True, kw_only=True)
class ShaniSteps:
    """t_k = start / sqrt(k + 1) without, 1 / (lambda (k + 2)) with entropy regularisation.

    Shani et al., theorem on Uniform TRPO, have start = (1 - gamma) / (C_omega C_max), with C_omega = 1 for KL and C_max
    a bound on the costs; here it is an argument, in units of 1 / advantage.

    Attributes:
        start: t_0 > 0, used for ``entropy_weight`` 0.
        entropy_weight: lambda >= 0, in reward per nat.
    """

    start: float
    entropy_weight: float

    def __call__(self, old: OptimizerState, *, progress_remaining: float, update_index: int) -> float:
        """K is the number of updates made before."""
        if self.entropy_weight > 0:
            return 1 / (self.entropy_weight * (update_index + 2))
        return self.start / sqrt(update_index + 1)


@dataclass(frozen=True, kw_only=True)
class MirrorStep:
    """(1 / t_k) times a Bregman divergence, subtracted from the surrogate.

    Attributes:
        steps: t_k.
        direction: of the KL divergence; ``new_old`` is the Bregman divergence of the negative entropy.
        tsallis_q: q > 0 other than 1 takes the Tsallis relative entropy of order q, estimated from the samples of the
            old policy, instead of the exact KL divergence; None for KL.
        is_in_reward_units: t_k belongs to advantages as they are: where the surrogate standardises them, 1 / t_k is
            divided by their standard deviation, so that the maximiser stays the same.
    """

    steps: StepSchedule
    direction: KLDirection = "new_old"
    tsallis_q: float | None = None
    is_in_reward_units: bool = False

    def arguments(
        self, old: OptimizerState, batch: Batch, *, progress_remaining: float, update_index: int
    ) -> dict[str, Any]:
        """Arguments of the kernel in this update."""
        step = self.steps(old, progress_remaining=progress_remaining, update_index=update_index)
        scale = float(np.std(batch.advantages, dtype=np.float64)) if self.is_in_reward_units else 1.0
        coefficient = 1 / (step * scale) if scale > 0 else 1 / step
        if self.tsallis_q is not None:
            return {"surrogate": "tsallis", "constraint_coef": coefficient, "tsallis_q": self.tsallis_q}
        return {"kl_coef": coefficient, "kl_direction": self.direction}

    def adapted(self, arguments: dict[str, Any], *, kl: float, progress_remaining: float) -> dict[str, float]:
        """Where training stands."""
        return {PROGRESS: progress_remaining}
