"""Krylov subspace descent: the basis, and the natural gradient step on quadratics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpg.updates.krylov import SubspaceAscent, krylov_subspace
from fastpg.updates.lbfgs import LBFGS
from tests.updates.test_steihaug import symmetric

N = 10


@pytest.fixture
def fisher() -> np.ndarray:
    return symmetric(np.geomspace(0.05, 5.0, N))


@pytest.fixture
def gradient() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(N)


def natural_step(fisher: np.ndarray, gradient: np.ndarray, bound: float) -> np.ndarray:
    x = np.linalg.solve(fisher, gradient)
    return math.sqrt(2.0 * bound / (x @ fisher @ x)) * x


def test_basis_is_orthonormal_and_spans_the_krylov_space(fisher: np.ndarray, gradient: np.ndarray) -> None:
    last = np.random.default_rng(2).standard_normal(N)
    space = krylov_subspace(gradient, lambda v: fisher @ v, dimension=4, last_step=last)
    assert space.dimension == space.n_products == 5
    np.testing.assert_allclose(space.basis @ space.basis.T, np.eye(5), atol=1e-13)
    np.testing.assert_allclose(space.metric, space.basis @ fisher @ space.basis.T, atol=1e-13)
    for vector in [*(np.linalg.matrix_power(fisher, i) @ gradient for i in range(4)), last]:
        inside = space.basis.T @ (space.basis @ vector)
        np.testing.assert_allclose(inside, vector, rtol=1e-9, atol=1e-9)


def test_exhausted_space_ends_early(gradient: np.ndarray) -> None:
    assert krylov_subspace(gradient, lambda v: 3.0 * v, dimension=5).dimension == 1
    projector = np.diag([1.0] * 5 + [0.0] * 5)
    assert krylov_subspace(gradient, lambda v: projector @ v, dimension=8).dimension == 2


def test_last_step_that_adds_nothing_is_left_out(fisher: np.ndarray, gradient: np.ndarray) -> None:
    for last in (np.zeros(N), 2.0 * gradient, np.full(N, math.nan)):
        assert krylov_subspace(gradient, lambda v: fisher @ v, dimension=3, last_step=last).dimension == 3


def test_product_that_is_not_finite_ends_the_space(fisher: np.ndarray, gradient: np.ndarray) -> None:
    calls = iter(range(9))
    space = krylov_subspace(gradient, lambda v: fisher @ v if next(calls) < 2 else np.full(N, math.nan), dimension=5)
    assert space.dimension == 2
    none = krylov_subspace(gradient, lambda v: np.full(N, math.nan), dimension=5)
    step = SubspaceAscent()(none, gradient, lambda s, beta: (0.0, np.zeros(N)), bound=0.01)
    assert not step.step.any()


@pytest.mark.parametrize("bound", [1e-4, 0.01, 1.0])
def test_complete_space_gives_the_natural_step(fisher: np.ndarray, gradient: np.ndarray, bound: float) -> None:
    """On a quadratic, with enough vectors: sqrt(2 delta / (g'x)) x with F x = g."""
    space = krylov_subspace(gradient, lambda v: fisher @ v, dimension=N)
    ascent = SubspaceAscent(inner=LBFGS(max_iterations=100, relative_tolerance=1e-10), eigenvalue_floor=1e-12)

    def penalised(s: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
        return gradient @ s - 0.5 * beta * s @ fisher @ s, gradient - beta * fisher @ s

    found = ascent(space, gradient, penalised, bound=bound)
    np.testing.assert_allclose(found.step, natural_step(fisher, gradient, bound), rtol=1e-6)
    assert 0.5 * found.step @ fisher @ found.step == pytest.approx(bound, rel=1e-6)


def test_more_vectors_gain_more(fisher: np.ndarray, gradient: np.ndarray) -> None:
    """Of steps of one length, that of the larger space has the larger slope; one vector is the gradient."""

    def penalised(s: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
        return gradient @ s - 0.5 * beta * s @ fisher @ s, gradient - beta * fisher @ s

    steps = [
        SubspaceAscent(eigenvalue_floor=1e-12)(
            krylov_subspace(gradient, lambda v: fisher @ v, dimension=n), gradient, penalised, bound=0.01
        ).step
        for n in (1, 2, 4, 8)
    ]
    slopes = [float(gradient @ s) for s in steps]
    assert slopes == sorted(slopes)
    assert slopes[-1] > 1.5 * slopes[0]
    scale = math.sqrt(0.02 / (gradient @ fisher @ gradient))
    np.testing.assert_allclose(steps[0], scale * gradient, rtol=1e-6)


def test_true_objective_decides_over_the_model(gradient: np.ndarray) -> None:
    """Where the objective bends more than its model says, the step is shorter; the better half decides."""
    space = krylov_subspace(gradient, lambda v: v, dimension=1)

    def bent(s: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
        return gradient @ s - 2.0 * beta * s @ s, gradient - 4.0 * beta * s

    found = SubspaceAscent()(space, gradient, bent, bound=0.01)
    assert np.linalg.norm(found.step) == pytest.approx(0.25 * math.sqrt(0.02), rel=1e-5)
    assert found.objective > 0.0


def test_zero_gradient_and_vanishing_metric() -> None:
    zero = krylov_subspace(np.zeros(N), lambda v: v, dimension=3)
    assert zero.dimension == 0
    found = SubspaceAscent()(zero, np.zeros(N), lambda s, beta: (0.0, np.zeros(N)), bound=0.01)
    assert not found.step.any()
    g = np.ones(N)
    singular = krylov_subspace(g, np.zeros_like, dimension=3)
    step = SubspaceAscent()(singular, g, lambda s, beta: (g @ s - 0.5 * beta * s @ s, g - beta * s), bound=0.01).step
    assert np.isfinite(step).all()
    assert g @ step > 0.0
