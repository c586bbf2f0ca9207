"""Conjugate gradient for A x = b with any symmetric positive definite operator A: what runs where no kernel fuses it.

The algorithm is that of Hestenes & Stiefel (1952); it reports how it ended and gives back the iterate that is worth
having. ``Fisher.solve`` is the same algorithm with the operator of ``fastpg.kernels.fisher``, in one call.

Vectors keep the dtype of the right-hand side; every scalar is accumulated in float64.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check

Array = NDArray[Any]

#: Iterations between two residuals computed as b - A x in place of the recursion, which drifts away from it. Source:
#: the default ``stabilise_every`` of lineax' CG; Shewchuk (1994), appendix B2, has 50 for matrices of any size.
REFRESH_INTERVAL = 10
#: Iterations without a better iterate after which rounding is taken to have stopped the progress. The value of the
#: quadratic model x'Ax/2 - b'x, which CG minimises, falls with every iteration; the norm of the residual may rise for
#: long where A is ill-conditioned. So an iterate is better where its model value is lower, or equal to rounding with a
#: smaller residual.
STAGNATION_PATIENCE = 20


class CGStatus(enum.Enum):
    """How a solve ended.

    Attributes:
        CONVERGED: the residual is within the tolerance.
        MAX_ITERATIONS: the iterations are used up; the usual end where ``max_iterations`` truncates on purpose.
        BREAKDOWN: p'Ap is not above rounding, or something is not finite; the iterate before that is returned.
        STAGNATION: no better iterate for ``STAGNATION_PATIENCE`` iterations; the best one is returned.
        ZERO_RHS: the right-hand side is 0, and so is the solution.
    """

    CONVERGED = 0
    MAX_ITERATIONS = 1
    BREAKDOWN = 2
    STAGNATION = 3
    ZERO_RHS = 4


@dataclass(frozen=True)
class CGSolution:
    """What conjugate gradient found.

    Attributes:
        solution: (P,), in the dtype of the right-hand side.
        status: how it ended.
        iterations: iterations done, each of which costs one product.
        residual: norm of b - A x over the norm of b; 0 for a zero right-hand side, NaN if b is not finite.
        curvature: x'Ax, >= 0 up to rounding.
        iterates: (n, P), the iterates that were asked for with ``spacing``; (0, P) without.
    """

    solution: Array
    status: CGStatus
    iterations: int
    residual: float
    curvature: float
    iterates: Array


def conjugate_gradient(
    product: Callable[[Array], Array],
    rhs: Array,
    *,
    max_iterations: int,
    relative_tolerance: float,
    absolute_tolerance: float,
    start: Array | None = None,
    spacing: float | None = None,
) -> CGSolution:
    """Solve A x = ``rhs`` for a symmetric positive definite A.

    It ends when the norm of the residual is at most max(relative_tolerance * norm of rhs, absolute_tolerance). It
    breaks down where p'Ap <= epsilon |p| |Ap|, epsilon of the dtype: there rounding decides about the sign.

    Args:
        product: v (P,) to A v (P,), same dtype; called once per iteration, and once more every 10 iterations.
        rhs: (P,) float32 or float64.
        max_iterations: >= 0.
        relative_tolerance: >= 0.
        absolute_tolerance: >= 0.
        start: (P,), same dtype, first iterate; None for 0. Costs one product.
        spacing: > 1, keeps the iterates of the iterations round(spacing^i), i = 0, 1, ...; None keeps none. Source:
            Martens (2010), section 4.6, with 1.3.

    Returns:
        The solution and how it was found.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "conjugate_gradient"
    dtype = _check.float_dtype(f"{kernel}: rhs", rhs)
    rhs = _check.array_of(f"{kernel}: rhs", rhs, dtype, ("P",))
    if start is not None:
        start = _check.array_of(f"{kernel}: start", start, dtype, rhs.shape)
    limits = checked_limits(kernel, max_iterations, relative_tolerance, absolute_tolerance)
    schedule = iterates_to_keep(kernel, limits[0], spacing)
    out, iterates = np.empty_like(rhs), np.empty((len(schedule), len(rhs)), dtype)
    stats = np.zeros(4)
    run_conjugate_gradient(product, rhs, limits, start=start, schedule=schedule, out=(out, iterates), stats=stats)
    return solution_of(out, iterates, schedule, stats)


def checked_limits(
    kernel: str, max_iterations: int, relative_tolerance: float, absolute_tolerance: float
) -> tuple[int, float, float]:
    """The three numbers that end a solve, checked."""
    return (
        _check.check_integer(f"{kernel}: max_iterations", max_iterations, 0, 2**31 - 1),
        _check.check_non_negative(f"{kernel}: relative_tolerance", relative_tolerance),
        _check.check_non_negative(f"{kernel}: absolute_tolerance", absolute_tolerance),
    )


def iterates_to_keep(kernel: str, max_iterations: int, spacing: float | None) -> Array:
    """Ascending int64 numbers of the iterations whose iterates ``spacing`` keeps."""
    if spacing is None:
        return np.zeros(0, np.int64)
    if not 1.0 < spacing < math.inf:
        raise ValueError(f"{kernel}: spacing: expected a finite number > 1 or None, got {spacing!r}.")
    numbers = []
    power = 1.0
    while (number := round(power)) <= max_iterations:
        numbers.append(number)
        power *= spacing
    return np.unique(np.array(numbers, np.int64))


def solution_of(out: Array, iterates: Array, schedule: Array, stats: Array) -> CGSolution:
    """From what an implementation wrote: ``stats`` is (status, iterations, residual, curvature)."""
    status, iterations = CGStatus(int(stats[0])), int(stats[1])
    n_kept = int(np.searchsorted(schedule, iterations, side="right"))
    return CGSolution(out, status, iterations, float(stats[2]), float(stats[3]), iterates[:n_kept])


@np.errstate(all="ignore")
def run_conjugate_gradient(
    product: Callable[[Array], Array],
    rhs: Array,
    limits: tuple[int, float, float],
    *,
    start: Array | None,
    schedule: Array,
    out: tuple[Array, Array],
    stats: Array,
) -> None:
    """The algorithm on checked arguments; ``out`` is (solution, iterates).

    Symbols: r = b - A x, p the search direction, rr = r'r.
    """
    max_iterations, relative_tolerance, absolute_tolerance = limits
    rhs_norm = math.sqrt(dot(rhs, rhs))
    x = np.zeros_like(rhs) if start is None or rhs_norm == 0 else start.copy()
    r = rhs.copy() if start is None or rhs_norm == 0 else rhs - product(x)
    state = _State(rhs, rhs_norm, x, r, max(relative_tolerance * rhs_norm, absolute_tolerance))
    p = r.copy()
    status = state.first_status()
    while status is None and state.iterations < max_iterations:
        status = _iterate(state, product, p, is_last=state.iterations + 1 == max_iterations)
        if status is not CGStatus.BREAKDOWN and state.iterations in schedule:
            out[1][np.searchsorted(schedule, state.iterations)] = state.x
    status = CGStatus.MAX_ITERATIONS if status is None else status
    if status is CGStatus.STAGNATION:
        state.restore_best()
    out[0][:] = state.x
    curvature = dot(state.x, rhs) - dot(state.x, state.r)
    stats[:] = status.value, state.iterations, state.relative_residual(), curvature


class _State:
    """Iterate and residual, and the best of them so far."""

    def __init__(self, rhs: Array, rhs_norm: float, x: Array, r: Array, threshold: float) -> None:
        self.rhs, self.rhs_norm, self.threshold = rhs, rhs_norm, threshold
        self.x, self.r, self.rr = x, r, dot(r, r)
        self.best_x, self.best_r, self.best_rr, self.best_model = x.copy(), r.copy(), self.rr, self.model()
        self.rounding = float(np.finfo(rhs.dtype).eps)
        self.iterations = self.best_iteration = 0

    def first_status(self) -> CGStatus | None:
        if self.rhs_norm == 0:
            return CGStatus.ZERO_RHS
        if not math.isfinite(self.rr):
            return CGStatus.BREAKDOWN
        return CGStatus.CONVERGED if math.sqrt(self.rr) <= self.threshold else None

    def status(self) -> CGStatus | None:
        """After an iteration; keeps the best iterate."""
        model = self.model()
        margin = self.rounding * abs(self.best_model)
        if model < self.best_model - margin or (model <= self.best_model + margin and self.rr < self.best_rr):
            self.best_x[:], self.best_r[:], self.best_rr, self.best_model = self.x, self.r, self.rr, model
            self.best_iteration = self.iterations
        if math.sqrt(self.rr) <= self.threshold:
            return CGStatus.CONVERGED
        is_stuck = self.iterations - self.best_iteration >= STAGNATION_PATIENCE
        return CGStatus.STAGNATION if is_stuck else None

    def model(self) -> float:
        """x'Ax/2 - b'x, by A x = b - r."""
        return -(dot(self.x, self.rhs) + dot(self.x, self.r)) / 2

    def restore_best(self) -> None:
        self.x, self.r, self.rr = self.best_x, self.best_r, self.best_rr

    def relative_residual(self) -> float:
        return math.sqrt(self.rr) / self.rhs_norm if self.rhs_norm > 0 else self.rhs_norm


def _iterate(state: _State, product: Callable[[Array], Array], p: Array, *, is_last: bool) -> CGStatus | None:
    """One step along ``p``, which becomes the next direction; a status ends the solve."""
    dtype = p.dtype.type
    a_p = product(p)
    curvature = dot(p, a_p)  # p'Ap
    guard = float(np.finfo(dtype).eps) * math.sqrt(dot(p, p) * dot(a_p, a_p))
    if not (curvature > guard and math.isfinite(curvature)):
        return CGStatus.BREAKDOWN
    alpha = dtype(state.rr / curvature)
    x, r = state.x + alpha * p, state.r - alpha * a_p
    if (state.iterations + 1) % REFRESH_INTERVAL == 0 and not is_last:
        r = state.rhs - product(x)
    rr = dot(r, r)
    if not math.isfinite(rr):
        return CGStatus.BREAKDOWN
    beta = dtype(rr / state.rr)
    state.x, state.r, state.rr = x, r, rr
    state.iterations += 1
    p[:] = r + beta * p
    return state.status()


def dot(a: Array, b: Array) -> float:
    """The product a'b in float64, by NumPy's pairwise summation.

    The BLAS of ``np.dot`` sums in another order on another processor, and on several threads.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # callers look at what is not finite
        return float(np.sum(a.astype(np.float64, copy=False) * b.astype(np.float64, copy=False)))
