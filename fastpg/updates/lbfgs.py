"""Maximise a function of a vector by limited-memory BFGS: the inner loop of small problems without a quadratic model.

The direction is the two-loop recursion of Nocedal (1980, "Updating Quasi-Newton Matrices with Limited Storage";
Nocedal and Wright 2006, Algorithms 7.4 and 7.5), the line search bisects for the weak Wolfe conditions (Lewis and
Overton 2013, "Nonsmooth optimization via quasi-Newton methods", Algorithm 2.6), which also works where the function has
a kink, as a maximum over states has. Everything is in float64; sums are NumPy's and not the BLAS', whose bits would
depend on its threads.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: point (n,) -> value and gradient (n,) there; a value that is not finite marks a forbidden point
Objective = Callable[[Array], tuple[float, Array]]


class AscentStatus(Enum):
    """Why the iteration ended; the value is a sentence."""

    CONVERGED = "the gradient is small enough"
    MAX_ITERATIONS = "the number of iterations is used up"
    NO_PROGRESS = "the line search found no higher point"
    NOT_FINITE = "value or gradient at the start is not finite"


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """Options of the iteration.

    Attributes:
        max_iterations: steps, >= 0.
        memory: pairs (step, change of the gradient) that are kept; Nocedal and Wright recommend 3 to 20.
        relative_tolerance: converged when the gradient's norm is below this times its norm at the start.
        sufficient_increase: c1 of the Wolfe conditions, part of the linear prediction to be gained (Nocedal and Wright,
            section 3.1: 1e-4).
        curvature: c2 of the Wolfe conditions, part of the slope that may be left (the same: 0.9).
        max_evaluations: of the function within one line search; 40 halvings reach 1e-12.
    """

    max_iterations: int = 50
    memory: int = 10
    relative_tolerance: float = 1e-6
    sufficient_increase: float = 1e-4
    curvature: float = 0.9
    max_evaluations: int = 40

    def maximise(self, objective: Objective, start: Array, *, first_length: float | None = None) -> Ascent:
        """Climb ``objective`` from ``start`` (n,).

        Args:
            objective: value and gradient.
            start: (n,) float64.
            first_length: Euclidean length of the first trial step, where the curvature is unknown yet; None is 1.

        Returns:
            The highest point seen; its value is never below that of ``start``.
        """
        value, gradient = objective(start)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return Ascent(start, value, gradient, AscentStatus.NOT_FINITE, 0, 1)
        state = Ascent(start, value, gradient, AscentStatus.MAX_ITERATIONS, 0, 1)
        tolerance = self.relative_tolerance * norm(gradient)
        pairs = _Pairs(self.memory)
        for iteration in range(self.max_iterations + 1):
            if norm(state.gradient) <= tolerance:
                return state.ended(AscentStatus.CONVERGED)
            if iteration == self.max_iterations:
                break
            direction = pairs.direction(state.gradient)
            scale = 1.0 if pairs.pairs else (first_length or 1.0) / norm(direction)
            found = self._search(objective, state, direction, scale)
            if found.status is AscentStatus.NO_PROGRESS:
                return found
            pairs.add(found.point - state.point, state.gradient - found.gradient)
            state = found
        return state

    def _search(self, objective: Objective, state: Ascent, direction: Array, scale: float) -> Ascent:
        """The first point along ``direction`` that satisfies the weak Wolfe conditions, else the best one seen."""
        slope = dot(state.gradient, direction)
        low, high, length = 0.0, math.inf, scale
        best = state
        n_evaluations = state.n_evaluations
        for _ in range(self.max_evaluations):
            n_evaluations += 1
            point = state.point + length * direction
            value, gradient = objective(point)
            is_finite = math.isfinite(value) and bool(np.isfinite(gradient).all())
            is_higher = is_finite and value >= state.value + self.sufficient_increase * length * slope
            if is_finite and value > best.value:
                best = Ascent(point, value, gradient, AscentStatus.MAX_ITERATIONS, state.n_iterations + 1, 0)
            if not is_higher:
                high = length
            elif dot(gradient, direction) > self.curvature * slope:
                low = length
            else:
                best = Ascent(point, value, gradient, AscentStatus.MAX_ITERATIONS, state.n_iterations + 1, 0)
                break
            length = 2.0 * low if math.isinf(high) else 0.5 * (low + high)
            if length == low:  # the bracket is below the resolution of floats
                break
        if best is state:
            return state.ended(AscentStatus.NO_PROGRESS, n_evaluations)
        return best.ended(AscentStatus.MAX_ITERATIONS, n_evaluations)


@dataclass(frozen=True)
class Ascent:
    """Where an ascent ended.

    Attributes:
        point: (n,) float64.
        value: of the function there.
        gradient: (n,) there.
        status: why it ended.
        n_iterations: steps taken.
        n_evaluations: of value and gradient.
    """

    point: Array
    value: float
    gradient: Array
    status: AscentStatus
    n_iterations: int
    n_evaluations: int

    def ended(self, status: AscentStatus, n_evaluations: int | None = None) -> Ascent:
        """This point with another status and number of evaluations."""
        n_total = self.n_evaluations if n_evaluations is None else n_evaluations
        return Ascent(self.point, self.value, self.gradient, status, self.n_iterations, n_total)


@dataclass
class _Pairs:
    """The last steps s and changes of the gradient y = g_before - g_after; s'y > 0 where the function is concave."""

    memory: int
    pairs: deque[tuple[Array, Array, float]] = field(default_factory=deque)

    def add(self, step: Array, change: Array) -> None:
        """Keep a pair with positive curvature; drop the oldest beyond ``memory``."""
        curvature = dot(step, change)
        if curvature > np.finfo(np.float64).eps * norm(step) * norm(change):
            self.pairs.append((step, change, curvature))
        while len(self.pairs) > self.memory:
            self.pairs.popleft()

    def direction(self, gradient: Array) -> Array:
        """The inverse of the estimated curvature times ``gradient``: Nocedal and Wright, Algorithm 7.4."""
        q: Array = gradient.copy()
        coefficients = []
        for step, change, curvature in reversed(self.pairs):
            alpha = dot(step, q) / curvature
            q -= alpha * change
            coefficients.append(alpha)
        if self.pairs:
            _, change, curvature = self.pairs[-1]
            q *= curvature / dot(change, change)
        for (step, change, curvature), alpha in zip(self.pairs, reversed(coefficients), strict=True):
            q += (alpha - dot(change, q) / curvature) * step
        return q


def dot(a: Array, b: Array) -> float:
    """The product a'b by NumPy's pairwise summation in float64: the same bits whatever the threads of the BLAS."""
    with np.errstate(invalid="ignore", over="ignore"):  # callers look at what is not finite
        return float(np.sum(a * b, dtype=np.float64))


def norm(a: Array) -> float:
    """Euclidean norm."""
    return math.sqrt(dot(a, a))
