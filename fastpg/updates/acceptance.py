"""Which candidate theta_old + alpha^j s is taken, if any. A candidate costs one forward pass.

AcceptFinite   j = 0, unless something is not finite                                  NPG
Backtracking   the first j at which the constraint holds and the surrogate improves   TRPO (Schulman et al. 2015, C)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fastpg.types import Array
from fastpg.updates.directions import Ray
from fastpg.updates.problem import Evaluation, PolicyProblem, Value
from fastpg.updates.proximity import Proximity


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The step that is up for acceptance.

    Attributes:
        ray: its direction with the local model.
        length: t; the step is t x.
        radius: bound on the proximity, None for none.
        proximity: how it is measured.
        before: the surrogate at theta_old.
    """

    ray: Ray
    length: float
    radius: float | None
    proximity: Proximity
    before: Value

    def candidate(self, problem: PolicyProblem, fraction: float) -> Array:
        """theta_old + fraction * s, in the dtype of the parameters."""
        params = problem.params
        candidate: Array = params + params.dtype.type(fraction * self.length) * self.ray.vector
        return candidate


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search found.

    Attributes:
        params: (P,) the accepted candidate, None if there is none.
        evaluation: of the accepted candidate, or of the first one.
        fraction: of the step: alpha^j, or 1 for the first candidate.
        n_backtracks: candidates rejected.
        distance_first: proximity of the first candidate.
        distance: of the accepted candidate, where the search measures it; else None.
    """

    params: Array | None
    evaluation: Evaluation
    fraction: float
    n_backtracks: int
    distance_first: float
    distance: float | None = None


class Acceptance(Protocol):
    """From a trial to a search result; forward passes only."""

    def __call__(self, problem: PolicyProblem, trial: Trial) -> Search:
        """Search along the step of ``trial``."""


@dataclass(frozen=True)
class AcceptFinite:
    """The full step without any condition, but never one whose surrogate or divergence is not finite."""

    @np.errstate(all="ignore")
    def __call__(self, problem: PolicyProblem, trial: Trial) -> Search:
        """One forward pass."""
        candidate = trial.candidate(problem, 1.0)
        evaluation = problem.evaluate(candidate)
        distance = trial.proximity.distance(evaluation, problem)
        is_finite = math.isfinite(distance) and math.isfinite(evaluation.surrogate)
        return Search(
            params=candidate if is_finite else None,
            evaluation=evaluation,
            fraction=1.0,
            n_backtracks=0 if is_finite else 1,
            distance_first=distance,
        )


@dataclass(frozen=True, kw_only=True)
class Backtracking:
    """The first candidate that is near enough and gains enough.

        proximity < delta,    L > L_old    and    L - L_old >= accept_ratio * predicted improvement

    NaN fails every condition. Comparisons are strict, as in sb3-contrib.

    Attributes:
        shrinking_factor: alpha in (0, 1).
        max_iterations: candidates, >= 1.
        is_improvement_checked: demand L > L_old and the ratio; without, only the constraint counts.
        accept_ratio: part of the predicted improvement that is enough, in [0, 1) (Schulman's modular_rl: 0.1).
        is_strict: L must exceed L_old; otherwise L >= L_old is enough.
    """

    shrinking_factor: float = 0.8
    max_iterations: int = 10
    is_improvement_checked: bool = True
    accept_ratio: float = 0.0
    is_strict: bool = True

    @np.errstate(all="ignore")
    def __call__(self, problem: PolicyProblem, trial: Trial) -> Search:
        """At most ``max_iterations`` forward passes."""
        fraction = 1.0
        first: tuple[Evaluation, float] | None = None
        for n_backtracks in range(self.max_iterations):
            candidate = trial.candidate(problem, fraction)
            evaluation = problem.evaluate(candidate)
            distance = trial.proximity.distance(evaluation, problem)
            first = first or (evaluation, distance)
            if self._is_acceptable(trial, evaluation, distance, fraction):
                return Search(
                    params=candidate,
                    evaluation=evaluation,
                    fraction=fraction,
                    n_backtracks=n_backtracks,
                    distance_first=first[1],
                    distance=distance,
                )
            fraction *= self._factor(trial, distance, is_first=n_backtracks == 0)
        evaluation, distance = first or (problem.evaluate(problem.params), 0.0)
        return Search(
            params=None,
            evaluation=evaluation,
            fraction=1.0,
            n_backtracks=self.max_iterations,
            distance_first=distance,
        )

    def _is_acceptable(self, trial: Trial, evaluation: Evaluation, distance: float, fraction: float) -> bool:
        if trial.radius is not None and not distance < trial.radius:
            return False
        improvement = evaluation.surrogate - trial.before.surrogate
        if not self.is_improvement_checked:
            return math.isfinite(improvement) and math.isfinite(distance)
        is_improved = improvement > 0.0 if self.is_strict else improvement >= 0.0
        return is_improved and improvement >= self.accept_ratio * trial.ray.predicted(fraction * trial.length)

    def _factor(self, trial: Trial, distance: float, *, is_first: bool) -> float:
        """alpha; where the quadratic model says nothing about the distance, the first candidate measures it instead."""
        if (
            is_first
            and not trial.proximity.is_local
            and trial.radius is not None
            and trial.radius < distance < math.inf
        ):
            return min(self.shrinking_factor, math.sqrt(trial.radius / distance))
        return self.shrinking_factor
