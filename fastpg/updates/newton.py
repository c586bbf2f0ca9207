"""Directions from the Hessian of the surrogate: Newton's method where the model is indefinite. Experimental.

    B = -(Hessian of the surrogate at theta_old) + lambda I

    metric = "fisher"    maximise g's - 1/2 s'Bs with 1/2 s'Fs <= delta, by Steihaug's truncated conjugate gradient
    metric = "hessian"   s = sqrt(2 delta / x'Bx) x with B x = g, the ellipsoid of B itself (damped Newton)

The second needs a concave model. Where conjugate gradient meets p'Bp <= 0, or g'x <= 0, the natural gradient takes its
place, and the report says so. The Hessian at theta_old is mean(A (score score' + Hessian of log pi)), which is as often
convex as concave: expect many of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fastpg.types import Array
from fastpg.updates.damping import Damping
from fastpg.updates.directions import Context, NaturalGradient, Ray
from fastpg.updates.lbfgs import dot
from fastpg.updates.problem import PolicyProblem
from fastpg.updates.steihaug import Product, TruncatedStep, TruncationStatus, truncated_newton_step

N_FISHER_FALLBACKS = "n_fisher_fallbacks"
#: How Steihaug's iteration ends before it meets the boundary.
_INTERIOR = {TruncationStatus.CONVERGED, TruncationStatus.MAX_ITERATIONS, TruncationStatus.BREAKDOWN}


@dataclass(frozen=True, kw_only=True)
class Newton:
    """Newton's step within the Fisher ellipsoid, or along Newton's direction.

    Attributes:
        metric: ``fisher`` or ``hessian``, see above.
        damping: lambda.
        max_iterations: of conjugate gradient, >= 1.
        relative_tolerance: the residual's norm over the gradient's at which it ends.
        fallback: what takes over without a concave model.
    """

    metric: Literal["fisher", "hessian"]
    damping: Damping
    max_iterations: int
    relative_tolerance: float
    fallback: NaturalGradient

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray; with a radius and the Fisher metric it is a step of its own length."""
        damping = self.damping.current(context.scalars)
        is_region = self.metric == "fisher" and context.radius is not None
        fisher = problem.fisher(self.fallback.fisher) if is_region else None
        found = truncated_newton_step(
            gradient,
            _negated_hessian(problem, damping, gradient.dtype),
            bound=math.inf if context.radius is None or fisher is None else context.radius / context.metric_scale,
            metric=None if fisher is None else lambda v: fisher.product(v.astype(gradient.dtype)),
            max_iterations=self.max_iterations,
            relative_tolerance=self.relative_tolerance,
        )
        n_before = context.scalars.get(N_FISHER_FALLBACKS, 0.0)
        if self._needs_fallback(found, gradient):
            ray = self.fallback(problem, gradient, context)
            numbers = {**ray.numbers, "is_fisher_fallback": 1.0, N_FISHER_FALLBACKS: n_before + 1.0}
            return replace(ray, iterations=ray.iterations + found.n_iterations, numbers=numbers)
        ray = _ray(found, gradient, is_region=is_region)
        return replace(ray, damping=damping, numbers={"is_fisher_fallback": 0.0, N_FISHER_FALLBACKS: n_before})

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """The next damping, and the number of fallbacks."""
        damping = 0.0 if ray.damping is None else ray.damping
        n_fallbacks = {N_FISHER_FALLBACKS: ray.numbers[N_FISHER_FALLBACKS]}
        return {**self.damping.adapted(damping, actual=actual, predicted=predicted), **n_fallbacks}

    def _needs_fallback(self, found: TruncatedStep, gradient: Array) -> bool:
        """Whether there is nothing to use: no step at all, or for the metric B a model that is not concave."""
        is_useless = not found.step.any() or not dot(found.step, gradient) > 0.0
        is_convex = found.status in {TruncationStatus.NEGATIVE_CURVATURE, TruncationStatus.BREAKDOWN}
        return is_useless or (self.metric == "hessian" and is_convex)


def _negated_hessian(problem: PolicyProblem, damping: float, dtype: np.dtype[np.floating]) -> Product:
    """The map v -> B v."""

    def product(vector: Array) -> Array:
        return damping * vector - problem.hessian_vector_product(vector.astype(dtype))

    return product


def _ray(found: TruncatedStep, gradient: Array, *, is_region: bool) -> Ray:
    """The ray of a truncated step s: its curvature is s'Fs if it was bounded by that, else s'Bs."""
    slope = dot(found.step, gradient)
    model_curvature = 2.0 * (found.predicted_improvement - slope)  # -s'Bs
    curvature = 2.0 * found.size if is_region else -model_curvature
    return Ray(
        vector=found.step.astype(gradient.dtype),
        slope=slope,
        curvature=curvature,
        fisher_curvature=curvature,
        model_curvature=model_curvature,
        is_step=is_region,
        is_interior=is_region and found.status in _INTERIOR,
        has_broken_down=found.status is TruncationStatus.BREAKDOWN,
        iterations=found.n_iterations,
        residual=found.residual,
    )
