"""PPO as a constrained problem: maximise mean(r A) subject to sign(A) (r - 1) <= eps for every sample.

This is equation (13) of the overview "Natural, Trust Region and Proximal Policy Optimization", which reads PPO's
clipping as a trust region per sample; clipping solves it by ignoring the samples that violate it. Four ways to treat
the constraint, each a part of ``ProximalUpdate``: it names the surrogate that the kernel climbs and drives the inner
loop. Only the sampled states and actions are constrained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from fastpg.kernels.clipped_loss import Surrogate
from fastpg.types import Array
from fastpg.updates.critic import with_head
from fastpg.updates.inner_loop import Descent
from fastpg.updates.policy_change import PolicyChange
from fastpg.updates.problem import SampledData


@dataclass(frozen=True)
class Violations:
    """The positive parts of sign(A) (r - 1) - eps over the samples."""

    largest: float
    mean: float
    fraction: float


def violations(ratio: Array, advantages: Array, clip_range: float) -> Violations:
    """Of the ratios (B,) with advantages (B,); all 0 where none is violated, NaN where a ratio is NaN."""
    excess = np.maximum(np.sign(advantages) * (ratio - 1) - clip_range, 0)
    return Violations(float(excess.max()), float(excess.mean()), float((excess > 0).mean()))


@dataclass(frozen=True)
class Setting:
    """What a constraint needs to measure itself.

    Attributes:
        problem: the samples and the networks.
        old_params: (P,) theta_old.
        advantages: (B,) as the surrogate uses them.
        clip_range: eps.
    """

    problem: SampledData
    old_params: Array
    advantages: Array
    clip_range: float

    def violations(self, params: Array) -> Violations:
        """At ``params``."""
        ratio = PolicyChange(self.problem, self.old_params, params).ratio
        return violations(ratio, self.advantages, self.clip_range)


class Constraint(Protocol):
    """How the constraint is kept."""

    @property
    def surrogate(self) -> Surrogate:
        """What the kernel maximises."""

    def run(self, descent: Descent, setting: Setting) -> None:
        """All epochs of ``descent``."""


@dataclass(frozen=True)
class Mask:
    """A sample that violates the constraint has no gradient: exactly the clipped ratio."""

    surrogate: ClassVar[Surrogate] = "clip"

    def run(self, descent: Descent, setting: Setting) -> None:
        """All epochs at once."""
        descent.run()


@dataclass(frozen=True, kw_only=True)
class Backtrack:
    """After every epoch, go back along its step until no sample violates eps (1 + tolerance).

    Theta_old is feasible, hence every epoch begins and ends feasible. Only the policy goes back.

    Attributes:
        tolerance: relative violation that is allowed, >= 0.
        shrink: factor on the step per trial, in (0, 1) (Schulman et al. 2015, appendix C, halve as well).
        n_trials: after so many the epoch's step of the policy is given up.
    """

    tolerance: float = 0.1
    shrink: float = 0.5
    n_trials: int = 10

    surrogate: ClassVar[Surrogate] = "ratio"

    def run(self, descent: Descent, setting: Setting) -> None:
        """Epoch by epoch."""
        while descent.n_epochs_left:
            start = descent.params
            descent.run(1)
            descent.params = self._feasible(start, descent.params, setting)

    def _feasible(self, start: Array, end: Array, setting: Setting) -> Array:
        """The point nearest to ``end`` that is tried and feasible; its value network is always that of ``end``."""
        n_policy = setting.problem.layout.actor.n_params
        bound = self.tolerance * setting.clip_range
        step = end[:n_policy] - start[:n_policy]
        candidate, scale = end, 1.0
        for _ in range(self.n_trials):
            if setting.violations(candidate).largest <= bound:
                return candidate
            scale *= self.shrink
            candidate = with_head(end, start[:n_policy] + start.dtype.type(scale) * step)
        return with_head(end, start[:n_policy])


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """An interior-point method: r A + mu log(slack), with mu falling from epoch to epoch.

    Theta_old is strictly feasible (r = 1). Beyond nine tenths of the slack the logarithm continues as a parabola, so
    that a step across the boundary finds its way back (Hauser and Saccon 2006).

    Attributes:
        coefficient: mu of the first epoch, > 0, in units of the advantages; it must be below eps |A| for a sample to
            move at all.
        decay: factor on mu per epoch, in (0, 1] (Nocedal and Wright 2006, section 19.3, give 0.2 per *solved* problem).
    """

    coefficient: float = 0.01
    decay: float = 0.7

    surrogate: ClassVar[Surrogate] = "barrier"

    def run(self, descent: Descent, setting: Setting) -> None:
        """Epoch by epoch."""
        coefficient = self.coefficient
        while descent.n_epochs_left:
            descent.run(1, constraint_coef=coefficient)
            coefficient *= self.decay


@dataclass(frozen=True, kw_only=True)
class ExactPenalty:
    """r A - mu max(sign(A) (r - 1) - eps, 0), with mu growing while the constraint is violated.

    The penalty is exact from mu = max |A| on (Nocedal and Wright 2006, theorem 17.3); with mu = |A| for each sample it
    is the clipped ratio.

    Attributes:
        coefficient: mu of the first epoch, > 0, in units of the advantages.
        growth: factor on mu after an epoch that ends with a violation, >= 1 (Nocedal and Wright 2006, framework 17.2).
        tolerance: relative violation that is allowed, >= 0.
    """

    coefficient: float = 1.0
    growth: float = 2.0
    tolerance: float = 0.1

    surrogate: ClassVar[Surrogate] = "penalty"

    def run(self, descent: Descent, setting: Setting) -> None:
        """Epoch by epoch."""
        coefficient = self.coefficient
        while descent.n_epochs_left:
            descent.run(1, constraint_coef=coefficient)
            if setting.violations(descent.params).largest > self.tolerance * setting.clip_range:
                coefficient *= self.growth
