"""Newton steps of an indefinite quadratic model within a trust region: truncated conjugate gradient.

    maximise   m(s) = g's - 1/2 s'B s     subject to   1/2 s'M s <= delta

B = -(Hessian of the surrogate) + lambda I may be indefinite: away from a maximum a surrogate is not concave. Conjugate
gradient on B s = g climbs m monotonically from s = 0; it is stopped where it would leave the region, and where it meets
a direction p with p'Bp <= 0 it follows that direction to the boundary, since m only grows along it. Steihaug 1983, "The
conjugate gradient method and trust regions in large scale optimization"; Toint 1981; Nocedal and Wright 2006, Algorithm
7.2. The first point is at least as good as the best one along the gradient, which is what global convergence needs.

Differences from the paper: the region is an ellipsoid of the metric M (the Fisher matrix, so that delta is in nats)
while the conjugate gradient is not preconditioned by it, which costs one more product per iteration instead of a solve;
the region is left at the first crossing. M = None is the identity, the paper's ball.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.updates.lbfgs import dot, norm

Array = NDArray[Any]
Product = Callable[[Array], Array]


class TruncationStatus(Enum):
    """Why the conjugate gradient ended; the value is a sentence."""

    CONVERGED = "the residual is small enough: a Newton step inside the region"
    BOUNDARY = "the step reached the boundary of the region"
    NEGATIVE_CURVATURE = "a direction without positive curvature was followed to the boundary"
    MAX_ITERATIONS = "the number of iterations is used up inside the region"
    ZERO_GRADIENT = "the gradient is zero: there is no step"
    BREAKDOWN = "a product is not finite, or the metric is not positive along the step"


@dataclass(frozen=True)
class TruncatedStep:
    """A step and how it came about.

    Attributes:
        step: (P,) float64; zero for ZERO_GRADIENT, and for a BREAKDOWN in the first iteration.
        status: why the iteration ended.
        n_iterations: products with B.
        residual: norm of g - B s, relative to that of g.
        predicted_improvement: m(s) >= 0.
        size: 1/2 s'M s.
        curvature: p'Bp / p'p of the last direction p; negative where the model is not concave.
    """

    step: Array
    status: TruncationStatus
    n_iterations: int
    residual: float
    predicted_improvement: float
    size: float
    curvature: float


def truncated_newton_step(
    gradient: Array,
    product: Product,
    *,
    bound: float,
    metric: Product | None = None,
    max_iterations: int,
    relative_tolerance: float = 0.0,
    absolute_tolerance: float = 0.0,
) -> TruncatedStep:
    """Steihaug's step: maximise g's - 1/2 s'Bs subject to 1/2 s'Ms <= ``bound``, approximately.

    Args:
        gradient: (P,) g.
        product: v (P,) -> B v (P,).
        bound: delta > 0; infinity for no region (then a direction without positive curvature ends the iteration).
        metric: v (P,) -> M v (P,) with M positive definite, None for the identity.
        max_iterations: products with B, >= 1.
        relative_tolerance: stop when the norm of g - B s is below this times the norm of g.
        absolute_tolerance: or below this.

    Returns:
        The step with its status.

    Complexity:
        One product with B and one with M per iteration, four vectors of length P.
    """
    g = np.asarray(gradient, np.float64)
    size_of_g = norm(g)
    if size_of_g == 0.0:
        return TruncatedStep(np.zeros_like(g), TruncationStatus.ZERO_GRADIENT, 0, 0.0, 0.0, 0.0, 0.0)
    tolerance = max(relative_tolerance * size_of_g, absolute_tolerance)
    run = _Run(g, np.zeros_like(g), np.zeros_like(g), g.copy(), g.copy())
    for iteration in range(1, max_iterations + 1):
        status = run.advance(product, metric, bound)
        if status is None and norm(run.r) <= tolerance:
            status = TruncationStatus.CONVERGED
        if status is not None:
            return run.result(status, iteration)
    return run.result(TruncationStatus.MAX_ITERATIONS, max_iterations)


@dataclass
class _Run:
    """The vectors of the iteration: gradient g, step s, M s, residual r = g - B s, direction p, all (P,)."""

    g: Array
    s: Array
    metric_s: Array
    r: Array
    p: Array
    curvature: float = 0.0

    def advance(self, product: Product, metric: Product | None, bound: float) -> TruncationStatus | None:
        """One iteration; the status if it was the last."""
        product_p = np.asarray(product(self.p), np.float64)
        metric_p = self.p if metric is None else np.asarray(metric(self.p), np.float64)
        p_b_p, p_m_p = dot(self.p, product_p), dot(self.p, metric_p)
        if not (math.isfinite(p_b_p) and math.isfinite(p_m_p)) or p_m_p <= 0.0:
            return TruncationStatus.BREAKDOWN
        self.curvature = p_b_p / dot(self.p, self.p)
        r_r = dot(self.r, self.r)
        is_concave = p_b_p > 0.0
        length = r_r / p_b_p if is_concave else math.inf
        to_boundary = self._length_to_boundary(metric_p, p_m_p, bound)
        if length >= to_boundary:
            length = to_boundary if math.isfinite(to_boundary) else 0.0
        self.s = self.s + length * self.p
        self.metric_s = self.metric_s + length * metric_p
        self.r = self.r - length * product_p
        if not is_concave:
            return TruncationStatus.NEGATIVE_CURVATURE
        if length == to_boundary:
            return TruncationStatus.BOUNDARY
        self.p = self.r + (dot(self.r, self.r) / r_r) * self.p
        return None

    def _length_to_boundary(self, metric_p: Array, p_m_p: float, bound: float) -> float:
        """The positive tau with 1/2 (s + tau p)'M(s + tau p) = bound, without cancellation."""
        s_m_p, s_m_s = dot(self.s, metric_p), dot(self.s, self.metric_s)
        room = max(2.0 * bound - s_m_s, 0.0)
        if math.isinf(room):
            return math.inf
        root = math.sqrt(s_m_p * s_m_p + p_m_p * room)
        return room / (s_m_p + root) if s_m_p > 0.0 else (root - s_m_p) / p_m_p

    def result(self, status: TruncationStatus, n_iterations: int) -> TruncatedStep:
        """The step so far; m(s) = g's - 1/2 s'Bs = 1/2 s'(g + r) since B s = g - r."""
        return TruncatedStep(
            step=self.s,
            status=status,
            n_iterations=n_iterations,
            residual=norm(self.r) / norm(self.g),
            predicted_improvement=0.5 * dot(self.s, self.g + self.r),
            size=0.5 * dot(self.s, self.metric_s),
            curvature=self.curvature,
        )
