"""Mirror descent on policies: the proximity of MDPO and the schedules of its step size t_k.

    theta_{k+1} ~ argmax  mean(r A) - (1 / t_k) mean(KL(pi_theta || pi_k))

Sources: Tomar, Shani, Efroni, Ghavamzadeh 2020, "Mirror Descent Policy Optimization" (arXiv:2005.09814), equation 10
and section 4; the schedules of Shani, Efroni, Mannor 2020, "Adaptive Trust Region Policy Optimization"
(arXiv:1909.02769), the theorem on Uniform TRPO. There the KL divergence is KL(new || old), reversed with respect
to TRPO. A t_k that follows its own success is fastpg's (``AdaptiveSteps``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar, Protocol

import numpy as np

from fastpg.kernels.clipped_loss import KLDirection
from fastpg.types import Array, Batch
from fastpg.updates.hold_out import Gains, HeldOutRule, Split, standard_error, surrogate_gain
from fastpg.updates.policy_change import PolicyChange
from fastpg.updates.radius import TRUST_RADIUS
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
class AdaptiveSteps(HeldOutRule):
    """t_k as a state of the optimiser: the rule of a trust radius, where t_k takes the place of the radius.

        rho = gain of mean(r A) over samples that the update did not see / gain of mean(r A) over those it saw

    A small rho shrinks t_k. A rho near 1 expands it if the update was at the boundary, that is, if the divergence D is
    what limited it. To see whether it was, take the models that hold near theta_k: G(s) = g's of the gain and
    D(s) = s'Fs / 2 of the divergence. Along any s, the objective G(a s) - D(a s) / t = a G - a^2 D / t has its maximum
    at a = t G / (2 D), so that a step s has gone the fraction

        1 / a = 2 D / (t G)

    of the way to the maximum on its ray. This is also the share of the slope at theta_k that the divergence has taken
    away. At the maximum, that of all s = t F^-1 g included, D / t is half of G. The update was at the boundary if it
    went at least half of the way, D / t >= G / 4. If it did not, the gradient steps were too few or too short for t_k
    to matter, and a larger one would change little.

    Expanding also asks that the gain held out is large enough without its standard error, taken as if samples were
    independent. Where nothing is left to gain, rho is noise of either sign: t_k shall fall then, not wander upwards.

    Attributes:
        start: t_0 > 0.
        controller: how t_k changes, and its bounds.
        boundary: least D / (t G) of an update at the boundary.
    """

    boundary: float = 0.25

    name: ClassVar[str] = TRUST_RADIUS

    def __call__(self, old: OptimizerState, *, progress_remaining: float, update_index: int) -> float:
        """What the updates before made of ``start``."""
        return self.now(old.scalars)

    def measured(self, change: PolicyChange, advantages: Array, arguments: Mapping[str, Any], split: Split) -> Gains:
        """What mean(r A) gained on both parts, and whether the divergence that was subtracted limited it."""
        trained, held = split
        gained = surrogate_gain(change.ratio[trained], advantages[trained])
        q = arguments.get("tsallis_q")
        if q is None:
            divergence = float(change.kl_by_sample(arguments["kl_direction"])[trained].mean(dtype=np.float64))
            penalty = arguments["kl_coef"] * divergence
        else:
            penalty = arguments["constraint_coef"] * tsallis_divergence(change.ratio[trained], q)
        return Gains(
            predicted=gained,
            actual=surrogate_gain(change.ratio[held], advantages[held]),
            is_at_boundary=penalty >= self.boundary * gained,
            standard_error=standard_error(change.ratio[held], advantages[held]),
        )


def tsallis_divergence(ratio: Array, q: float) -> float:
    """Tsallis relative entropy of order ``q`` (> 0, not 1), mean((r^q - 1 - q (r - 1)) / (q (q - 1))) of (B,) ratios.

    An estimate from actions of the old policy; to second order (r - 1)^2 / 2 for every q, as the KL divergence.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite ratio
        return float(((ratio**q - 1 - q * (ratio - 1)) / (q * (q - 1))).mean())


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

    @property
    def held_out_rule(self) -> AdaptiveSteps | None:
        """The rule of t_k, if it has one."""
        return self.steps if isinstance(self.steps, AdaptiveSteps) else None

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
