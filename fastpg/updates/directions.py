"""In which direction theta moves: rays x with their slope g'x and their curvature in the metric of the proximity.

    Gradient          x = g
    NaturalGradient   (c F + lambda S) x = g,    S = I or diag(c F),    c F = Hessian of the mean proximity

Kakade 2001, "A Natural Policy Gradient"; Schulman et al. 2015, Appendix C for the truncated solve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np

from fastpg.kernels.linear_solve import CGStatus, dot
from fastpg.types import Array
from fastpg.updates.damping import Damping
from fastpg.updates.problem import Curvature, DenseSolver, FisherKind, PolicyProblem

CG_START = "cg_start"


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A direction, and the local model along it.

    At t x the surrogate is predicted to have gained t * slope + t^2/2 * model_curvature, at a proximity of
    t^2/2 * curvature.

    Attributes:
        vector: (P,), x, in the dtype of the parameters.
        slope: g'x.
        curvature: x'(cF + lambda S)x.
        fisher_curvature: x'cFx, without the damping.
        model_curvature: second derivative of the predicted surrogate along x; 0 for a linear model.
        is_step: x has its length already; it is not to be scaled.
        is_interior: such a step that the radius did not limit.
        has_broken_down: the solver met a direction without positive curvature or a number that is not finite.
        has_stagnated: rounding stopped the solver; x is the best of its iterates.
        iterations: products with the matrix, 0 for a direct solver.
        residual: of the linear system, relative to g; None where there is none.
        damping: lambda.
        memory: arrays to remember for the next update.
        alternatives: make the earlier iterates of the solver, in their order, for a product with the matrix each.
        numbers: fields of the ``UpdateReport`` that only this direction knows.
    """

    vector: Array
    slope: float
    curvature: float
    fisher_curvature: float
    model_curvature: float = 0.0
    is_step: bool = False
    is_interior: bool = False
    has_broken_down: bool = False
    has_stagnated: bool = False
    iterations: int = 0
    residual: float | None = None
    damping: float | None = None
    memory: Mapping[str, Array] = field(default_factory=dict)
    alternatives: tuple[Callable[[], Ray], ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def predicted(self, length: float) -> float:
        """The improvement of the surrogate that the model predicts at ``length`` times x."""
        return length * self.slope + 0.5 * length * length * self.model_curvature


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a direction may look at beside problem and gradient.

    Attributes:
        metric_scale: c, see ``Proximity``.
        radius: bound on the proximity, None where the step has none.
        scalars: what the optimiser state remembers.
        memory: its arrays.
        seed: key of the random numbers.
        update_index: number of the update.
    """

    metric_scale: float = 1.0
    radius: float | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, Array] = field(default_factory=dict)
    seed: int = 0
    update_index: int = 0


class Direction(Protocol):
    """From a gradient that is not zero to a ray."""

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray for ``gradient`` (P,) at theta_old."""

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """Numbers to remember, after a step along ``ray`` that gained ``actual`` where ``predicted`` was promised.

        ``signal`` is the share of the gradient that is not noise; 1 where it was not measured.
        """


@dataclass(frozen=True)
class Gradient:
    """x = g: steepest ascent. Its curvature is not computed; take a step length that needs none."""

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray."""
        return Ray(vector=gradient, slope=dot(gradient, gradient), curvature=math.nan, fisher_curvature=math.nan)

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class ConjugateGradient:
    """Truncated conjugate gradient, one kernel call.

    Attributes:
        max_iterations: >= 1.
        relative_tolerance: the residual's norm over the gradient's at which it ends.
        absolute_tolerance: the residual's norm at which it ends.
        warm_start: the start is this times the last update's solution; 0 starts at 0 (Martens 2010, section 4.5).
        start: (P,) a start that is always the same, for comparisons; None for none.
        spacing: keep the iterates of iterations spacing^i as alternatives, None for none (Martens 2010, section 4.6:
            1.3).
    """

    max_iterations: int
    relative_tolerance: float = 0.0
    absolute_tolerance: float = 0.0
    warm_start: float = 0.0
    start: Array | None = None
    spacing: float | None = None

    def __call__(
        self, fisher: Curvature, gradient: Array, *, damping: float, damping_scale: Array | None, start: Array | None
    ) -> Any:
        """The ``CGSolution``; ``start`` is the last one's."""
        if start is not None:
            start = (self.warm_start * start).astype(gradient.dtype)
        return fisher.solve(
            gradient,
            damping=damping,
            damping_scale=damping_scale,
            max_iterations=self.max_iterations,
            relative_tolerance=self.relative_tolerance,
            absolute_tolerance=self.absolute_tolerance,
            start=self.start if start is None else start,
            spacing=self.spacing,
        )


@dataclass(frozen=True, kw_only=True)
class NaturalGradient:
    """x with (c F + lambda S) x = g.

    Attributes:
        solver: conjugate gradient, or the name of a direct solver for small problems.
        damping: lambda.
        damping_metric: S: ``identity``, or ``diag`` for the diagonal of the matrix (Fletcher), which makes x
            independent of the scale of each parameter.
        fisher: ``exact``: the expectation over actions in closed form; ``empirical``: the actions that were taken.
        is_quadratic: predict the improvement by g's - 1/2 s'(cF + lambda S)s instead of by g's.
    """

    solver: ConjugateGradient | DenseSolver
    damping: Damping
    damping_metric: Literal["identity", "diag"] = "identity"
    fisher: FisherKind = "exact"
    is_quadratic: bool = False

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray. With y = c x the system is (F + lambda' S') y = g, so that the kernel needs no c."""
        damping = self.damping.current(context.scalars)
        matrix = _Matrix(problem, self, damping, context.metric_scale)
        solution = self._solve(problem, matrix, gradient, context)
        ray = matrix.ray(solution.solution, gradient, float(solution.curvature))
        memory = {CG_START: solution.solution} if self._is_warm and np.isfinite(solution.solution).all() else {}
        return Ray(
            **ray,
            has_broken_down=solution.status.name == CGStatus.BREAKDOWN.name,
            has_stagnated=solution.status.name == CGStatus.STAGNATION.name,
            iterations=int(solution.iterations),
            residual=float(solution.residual),
            damping=damping,
            memory=memory,
            alternatives=tuple(partial(matrix.iterate, iterate, gradient) for iterate in solution.iterates),
        )

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """The next damping."""
        damping = 0.0 if ray.damping is None else ray.damping
        return self.damping.adapted(damping, actual=actual, predicted=predicted, signal=signal)

    @property
    def _is_warm(self) -> bool:
        return isinstance(self.solver, ConjugateGradient) and self.solver.warm_start > 0.0

    def _solve(self, problem: PolicyProblem, matrix: _Matrix, gradient: Array, context: Context) -> Any:
        damping, scale = matrix.damping, matrix.scale
        if not isinstance(self.solver, ConjugateGradient):
            return problem.solve_dense(
                gradient, solver=self.solver, kind=self.fisher, damping=damping, damping_scale=scale
            )
        start = context.memory.get(CG_START) if self._is_warm else None
        return self.solver(matrix.fisher, gradient, damping=damping, damping_scale=scale, start=start)


class _Matrix:
    """F + lambda' S' for one update, and rays from solutions with it."""

    def __init__(self, problem: PolicyProblem, parts: NaturalGradient, damping: float, metric_scale: float) -> None:
        is_diag = parts.damping_metric == "diag"
        self._metric_scale = metric_scale
        self._is_quadratic = parts.is_quadratic
        self.fisher = problem.fisher(parts.fisher)
        self.scale = _positive(self.fisher.diagonal()) if is_diag else None
        self.damping = damping if is_diag else damping / metric_scale

    def iterate(self, y: Array, gradient: Array) -> Ray:
        """The ray of an iterate ``y`` of the solver."""
        return Ray(**self.ray(y.copy(), gradient))

    def ray(self, y: Array, gradient: Array, curvature: float | None = None) -> dict[str, Any]:
        """The fields of the ray x = y / c; ``curvature`` is y'(F + lambda' S')y where it is known."""
        if curvature is None:
            curvature = dot(y, self.fisher.product(y, damping=self.damping, damping_scale=self.scale))
        scaled = y if self.scale is None else self.scale * y
        c = self._metric_scale
        return {
            "vector": y if c == 1.0 else (y / c).astype(y.dtype),
            "slope": dot(gradient, y) / c,
            "curvature": curvature / c,
            "fisher_curvature": (curvature - self.damping * dot(y, scaled)) / c,
            "model_curvature": -curvature / c if self._is_quadratic else 0.0,
        }


def _positive(diagonal: Array) -> Array:
    """``diagonal`` of F with 1 for 0: no sample knows the parameter (a dead input), and its row and gradient are 0."""
    return np.where(diagonal == 0, diagonal.dtype.type(1), diagonal)
