"""How far to go along a ray: t in s = t x, before any line search.

    FixedStep        t = alpha                               natural gradient with a step size (Kakade 2001)
    KLRadius         t = sqrt(2 delta / x'(cF + lambda S)x)  so that 1/2 s'(cF + lambda S)s = delta
    AdaptiveRadius   the same; delta follows the ratio of actual to predicted improvement, or that times the signal

The sources differ in the constant; the exact multiplier for 1/2 s'Fs <= delta is sqrt(2 delta / g'F^-1 g).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fastpg.updates.directions import Ray
from fastpg.updates.radius import TRUST_RADIUS, RadiusController


class StepLength(Protocol):
    """The first step of an update, and what is learnt from it for the next."""

    def radius(self, scalars: Mapping[str, float]) -> float | None:
        """The bound on the proximity, for what an ``OptimizerState`` remembers; None where there is none."""

    def length(self, ray: Ray, radius: float | None) -> float:
        """t; NaN or not above 0 where the ray allows no step."""

    def adapted(
        self, radius: float | None, *, actual: float, predicted: float, is_at_boundary: bool, signal: float = 1.0
    ) -> dict[str, float]:
        """Numbers to remember, after a step that gained ``actual`` where ``predicted`` was promised.

        ``signal`` is the share of the gradient that is not noise; 1 where it was not measured.
        """


@dataclass(frozen=True)
class FixedStep:
    """t = ``step_size``, whatever the curvature.

    Attributes:
        step_size: alpha > 0.
    """

    step_size: float

    def radius(self, scalars: Mapping[str, float]) -> None:
        """None."""

    def length(self, ray: Ray, radius: float | None) -> float:
        """Alpha."""
        return self.step_size

    def adapted(
        self, radius: float | None, *, actual: float, predicted: float, is_at_boundary: bool, signal: float = 1.0
    ) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class KLRadius:
    """The step on the boundary of the trust region of the quadratic model.

    Attributes:
        target_kl: delta > 0, nats.
        is_damped: measure the length with the damped matrix (Schulman's code, sb3-contrib: shorter steps), or with cF.
    """

    target_kl: float
    is_damped: bool = True

    def radius(self, scalars: Mapping[str, float]) -> float | None:
        """Delta."""
        return self.target_kl

    def length(self, ray: Ray, radius: float | None) -> float:
        """sqrt(2 delta / curvature), NaN unless the curvature is positive."""
        if ray.is_step:
            return 1.0
        curvature = ray.curvature if self.is_damped else ray.fisher_curvature
        if radius is None or not 0.0 < curvature < math.inf:
            return math.nan
        return math.sqrt(2.0 * radius / curvature)

    def adapted(
        self, radius: float | None, *, actual: float, predicted: float, is_at_boundary: bool, signal: float = 1.0
    ) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class AdaptiveRadius(KLRadius):
    """delta shrinks and expands by ``controller``; ``target_kl`` is where it starts.

    Attributes:
        controller: the rule, with its bounds in nats.
        is_reviewed: delta is set by a ``ReturnReview``, not by the surrogate.
        is_weighed: the improvement counts only as far as the gradient is signal, where that is measured.
    """

    controller: RadiusController
    is_reviewed: bool = False
    is_weighed: bool = True

    def radius(self, scalars: Mapping[str, float]) -> float | None:
        """delta, ``target_kl`` where none is remembered."""
        return scalars.get(TRUST_RADIUS, self.target_kl)

    def adapted(
        self, radius: float | None, *, actual: float, predicted: float, is_at_boundary: bool, signal: float = 1.0
    ) -> dict[str, float]:
        """The next delta; noise takes it back to ``target_kl``, and only a bad model takes it below."""
        if self.is_reviewed:
            return {}
        radius = self.target_kl if radius is None else radius
        share = signal if self.is_weighed else 1.0

        def following(gain: float) -> float:
            rule = self.controller.next_radius
            return rule(radius, actual=gain, predicted=predicted, is_at_boundary=is_at_boundary)

        return {TRUST_RADIUS: min(following(actual), max(following(share * actual), self.target_kl))}
