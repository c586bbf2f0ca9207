"""Krylov subspace descent: maximise the true objective in the space of a few Fisher-vector products.

    V = orthonormal basis of {g, F g, ..., F^(m-1) g, last step},      s = V a,  a = argmax objective(theta + V a)

Vinyals and Povey 2012, "Krylov Subspace Descent for Deep Learning", Algorithm 1: the gradient g comes from all samples,
F from one half of them and the coefficients a from the other half, so that they do not fit the noise of the basis. The
coordinates are whitened with V'FV, eigenvalues floored (section 3). The objective is the surrogate minus beta times
the mean KL divergence; beta is the multiplier of "mean KL <= delta" in the local model of the subspace, so that on a
quadratic the maximiser is the natural gradient step of length delta. (The paper minimises a loss that needs no bound.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastpg.types import Array
from fastpg.updates.damping import Damping
from fastpg.updates.directions import Context, Ray
from fastpg.updates.lbfgs import LBFGS, dot, norm
from fastpg.updates.problem import FisherKind, PolicyProblem

Product = Callable[[Array], Array]
#: step s (P,), coefficient of the KL divergence -> (surrogate - coefficient * mean KL) and its gradient (P,)
PenalisedObjective = Callable[[Array, float], tuple[float, Array]]

#: A vector is dependent on the basis when this part of its norm, or less, is orthogonal to it.
_INDEPENDENCE = math.sqrt(np.finfo(np.float64).eps)
#: Of the coefficients: gradients in float32 on half of the samples say nothing beyond three digits.
_INNER = LBFGS(max_iterations=20, relative_tolerance=1e-3)
_LAST_STEP = "krylov_last_step"


@dataclass(frozen=True)
class Subspace:
    """An orthonormal basis with the metric in it.

    Attributes:
        basis: (n, P) float64, orthonormal rows.
        metric: (n, n) basis F basis', symmetric.
        n_products: products with F that were needed.
    """

    basis: Array
    metric: Array
    n_products: int

    @property
    def dimension(self) -> int:
        """n: at most the dimension asked for plus one; fewer where the Krylov space is exhausted."""
        return len(self.basis)


def krylov_subspace(gradient: Array, product: Product, *, dimension: int, last_step: Array | None = None) -> Subspace:
    """The space of {g, F g, ..., F^(dimension - 1) g, last_step} by Arnoldi's iteration.

    Args:
        gradient: (P,) g, not zero.
        product: v (P,) -> F v (P,).
        dimension: Krylov vectors, >= 1.
        last_step: (P,) or None; left out if it is zero or in the space already.

    Returns:
        The space. It ends early when F maps it into itself, and at a product that is not finite.
    """
    rows: list[Array] = []
    images: list[Array] = []
    candidate: Array | None = np.asarray(gradient, np.float64)
    while candidate is not None and len(rows) < dimension:
        candidate = _next_image(rows, images, candidate, product)
    if last_step is not None and len(rows) > 0:
        _next_image(rows, images, np.asarray(last_step, np.float64), product)
    basis = np.array(rows).reshape(len(rows), len(gradient))
    metric = np.array([[dot(row, image) for image in images] for row in rows]).reshape(len(rows), len(rows))
    return Subspace(basis, 0.5 * (metric + metric.T), len(rows))


def _next_image(rows: list[Array], images: list[Array], candidate: Array, product: Product) -> Array | None:
    """Add the part of ``candidate`` outside of the space; its image under F, None if there is none."""
    row = _orthonormalised(candidate, rows)
    if row is None:
        return None
    image = np.asarray(product(row), np.float64)
    if not np.isfinite(image).all():
        return None
    rows.append(row)
    images.append(image)
    return image


def _orthonormalised(candidate: Array, rows: list[Array]) -> Array | None:
    """``candidate`` without its part in the space, of norm 1; None if nothing is left."""
    size = norm(candidate)
    if size == 0.0 or not math.isfinite(size):
        return None
    row = candidate / size
    for _ in range(2):  # Gram and Schmidt twice is enough (Parlett 1980, section 6.9)
        for other in rows:
            row = row - dot(other, row) * other
        left = norm(row)
        if left <= _INDEPENDENCE:
            return None
        row = row / left
    return row


@dataclass(frozen=True)
class SubspaceStep:
    """What the ascent in the subspace found.

    Attributes:
        step: (P,) float64, zero if nothing higher was found.
        kl_coef: beta.
        objective: surrogate - beta * mean KL at the step, minus its value at step 0.
        n_evaluations: of the objective with its gradient.
    """

    step: Array
    kl_coef: float
    objective: float
    n_evaluations: int


@dataclass(frozen=True, kw_only=True)
class SubspaceAscent:
    """Maximise surrogate - beta * mean KL over a subspace.

    Attributes:
        inner: the optimiser of the coordinates.
        eigenvalue_floor: of the whitening, relative to the largest eigenvalue (Vinyals and Povey, section 3: 1e-4).
    """

    inner: LBFGS = _INNER
    eigenvalue_floor: float = 1e-4

    def __call__(
        self, space: Subspace, gradient: Array, objective: PenalisedObjective, *, bound: float
    ) -> SubspaceStep:
        """The step in ``space`` of mean KL about ``bound``.

        Args:
            space: of dimension n.
            gradient: (P,) of the surrogate at step 0.
            objective: surrogate - beta * mean KL at a step, and its gradient.
            bound: delta > 0 on the mean KL.
        """
        to_step = self._whitening(space)
        slope = norm(_times(to_step, gradient))
        if to_step.size == 0 or slope == 0.0 or not math.isfinite(slope):
            return SubspaceStep(np.zeros(space.basis.shape[1]), 0.0, 0.0, 0)
        beta = slope / math.sqrt(2.0 * bound)  # the multiplier of 1/2 |b|^2 <= delta beside slope * |b|

        def in_coordinates(b: Array) -> tuple[float, Array]:
            value, gradient_of_step = objective(_combine(to_step, b), beta)
            return value, _times(to_step, gradient_of_step)

        start = np.zeros(space.dimension)
        before = in_coordinates(start)[0]
        ascent = self.inner.maximise(in_coordinates, start, first_length=math.sqrt(2.0 * bound))
        gain = ascent.value - before
        return SubspaceStep(_combine(to_step, ascent.point), beta, gain, ascent.n_evaluations + 1)

    def _whitening(self, space: Subspace) -> Array:
        """(n, P): rows r_i with r_i'F r_j = 1 for i = j, else 0, where the floor does not act."""
        if space.dimension == 0:
            return space.basis
        values, vectors = np.linalg.eigh(space.metric)
        floored = np.maximum(values, self.eigenvalue_floor * max(values[-1], 0.0))
        if not floored[0] > 0.0:  # F vanishes on the space: only the gradient's direction is known
            return space.basis
        rows: Array = np.einsum("ji,jp->ip", vectors / np.sqrt(floored), space.basis)
        return rows


_ASCENT = SubspaceAscent()


@dataclass(frozen=True, kw_only=True)
class KrylovDescent:
    """Krylov subspace descent as a direction; its ray is a step. It needs a radius.

    The halves are the samples of even and of odd number: neighbours in time (or, with several environments, other
    environments), so that both halves have seen the same policy for as long.

    Attributes:
        dimension: Krylov vectors, >= 1; the last step is one more.
        damping: lambda, added to F in the products; the objective has -beta lambda/2 s's for it.
        fisher: ``exact`` or ``empirical``.
        ascent: of the coefficients.
    """

    dimension: int
    damping: Damping
    fisher: FisherKind = "exact"
    ascent: SubspaceAscent = _ASCENT

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray, with the last step's direction in ``memory``."""
        if context.radius is None:
            raise ValueError("Krylov subspace descent needs a radius. Fix: use a step rule with a bound on the KL.")
        damping = self.damping.current(context.scalars)
        fisher = problem.part(0, 2).fisher(self.fisher)
        space = krylov_subspace(
            gradient,
            lambda v: fisher.product(v.astype(gradient.dtype), damping=damping),
            dimension=self.dimension,
            last_step=context.memory.get(_LAST_STEP),
        )
        objective = _penalised(problem.part(1, 2), damping)
        found = self.ascent(space, gradient, objective, bound=context.radius / context.metric_scale)
        step = found.step.astype(gradient.dtype)
        curvature = _curvature(space, found.step)
        return Ray(
            vector=step,
            slope=dot(gradient, found.step),
            curvature=curvature,
            fisher_curvature=curvature - damping * dot(found.step, found.step),
            is_step=True,
            has_broken_down=not found.step.any(),
            iterations=space.n_products,
            damping=damping,
            memory={_LAST_STEP: step},
            numbers={"kl_coef": found.kl_coef, "n_inner_evaluations": found.n_evaluations},
        )

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """The next damping."""
        damping = 0.0 if ray.damping is None else ray.damping
        return self.damping.adapted(damping, actual=actual, predicted=predicted)


def _penalised(problem: PolicyProblem, damping: float) -> PenalisedObjective:
    """L - beta (mean KL(old || new) + lambda/2 s's) of ``problem`` as a function of the step s and beta.

    Without the damping the ascent would run far along directions that the divergence of these samples does not see.
    """

    def objective(step: Array, beta: float) -> tuple[float, Array]:
        params = problem.params + step.astype(problem.params.dtype)
        gradient, value = problem.surrogate_gradient(params)
        kl_gradient, kl_old_new = problem.kl_gradient(params)
        penalty = kl_old_new + 0.5 * damping * dot(step, step)
        penalty_gradient = kl_gradient + damping * step
        return value.surrogate - beta * penalty, gradient.astype(np.float64) - beta * penalty_gradient

    return objective


def _curvature(space: Subspace, step: Array) -> float:
    """The product s'Fs for s in the space."""
    coordinates = _times(space.basis, step)
    return dot(coordinates, np.einsum("ij,j->i", space.metric, coordinates))


def _times(rows: Array, vector: Array) -> Array:
    """``rows`` (n, P) times ``vector`` (P,); einsum without BLAS."""
    product: Array = np.einsum("ip,p->i", rows, np.asarray(vector, np.float64))
    return product


def _combine(rows: Array, coefficients: Array) -> Array:
    """Sum of ``coefficients`` (n,) times ``rows`` (n, P)."""
    total: Array = np.einsum("ip,i->p", rows, coefficients)
    return total
