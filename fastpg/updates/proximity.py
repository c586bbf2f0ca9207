"""How far a policy is from the old one: a divergence, its direction, and what is taken of it over the samples.

The quadratic model of every divergence here at theta_old is c/2 s'Fs with the Fisher matrix F of the summed divergence;
c is 1, or 1/D where the divergence is averaged over D action dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from fastpg.updates.problem import Evaluation, PolicyProblem

Statistic = Literal["mean", "max"]


class Proximity(Protocol):
    """A distance between the old policy and a candidate, in nats."""

    def distance(self, evaluation: Evaluation, problem: PolicyProblem) -> float:
        """Of the candidate that was evaluated; NaN and infinity where they occur."""

    def metric_scale(self, problem: PolicyProblem) -> float:
        """C > 0: the Hessian of the mean distance at theta_old is c F."""

    @property
    def is_local(self) -> bool:
        """Whether the quadratic model describes the distance itself; not so for the largest value over samples."""


@dataclass(frozen=True, kw_only=True)
class _Divergence:
    """Attributes.

    statistic: ``mean`` over the samples, or ``max``, the largest value of a sample (Schulman et al. 2015, equation 11).
    is_per_dimension: divide by the number of Gaussian or Bernoulli action dimensions. sb3-contrib does so, which makes
        its radius D times as large; nothing else does.
    """

    statistic: Statistic = "mean"
    is_per_dimension: bool = False

    def metric_scale(self, problem: PolicyProblem) -> float:
        """1, or 1/D per dimension."""
        return 1.0 / problem.kl_terms if self.is_per_dimension else 1.0

    @property
    def is_local(self) -> bool:
        """True for the mean."""
        return self.statistic == "mean"

    def _of(self, mean: float, largest: float, problem: PolicyProblem) -> float:
        return self.metric_scale(problem) * (mean if self.is_local else largest)


@dataclass(frozen=True, kw_only=True)
class KLOldNew(_Divergence):
    """KL(old || new), summed over action dimensions: the constraint of TRPO (Schulman et al. 2015, equation 12)."""

    def distance(self, evaluation: Evaluation, problem: PolicyProblem) -> float:
        """Nats."""
        return self._of(evaluation.kl_old_new, evaluation.kl_old_new_max, problem)


@dataclass(frozen=True, kw_only=True)
class KLNewOld(_Divergence):
    """KL(new || old), as sb3-contrib measures it; the same to second order."""

    def distance(self, evaluation: Evaluation, problem: PolicyProblem) -> float:
        """Nats."""
        return self._of(evaluation.kl_new_old, evaluation.kl_new_old_max, problem)
