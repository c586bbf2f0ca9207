"""Truncated conjugate gradient: Newton's step inside the region, the boundary, indefinite models, breakdowns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpg.updates.steihaug import TruncationStatus, truncated_newton_step

N = 8


def symmetric(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """A symmetric matrix with these eigenvalues."""
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    return (basis * values) @ basis.T


@pytest.fixture
def gradient() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(N)


def model(g: np.ndarray, matrix: np.ndarray, s: np.ndarray) -> float:
    return float(g @ s - 0.5 * s @ matrix @ s)


def test_concave_model_in_a_wide_region_gives_newtons_step(gradient: np.ndarray) -> None:
    matrix = symmetric(np.geomspace(1.0, 50.0, N))
    found = truncated_newton_step(
        gradient, lambda v: matrix @ v, bound=math.inf, max_iterations=50, relative_tolerance=1e-12
    )
    assert found.status is TruncationStatus.CONVERGED
    np.testing.assert_allclose(found.step, np.linalg.solve(matrix, gradient), rtol=1e-8)
    assert found.predicted_improvement == pytest.approx(model(gradient, matrix, found.step), rel=1e-10)
    assert found.residual < 1e-12


def test_narrow_region_ends_on_its_boundary_along_the_gradient(gradient: np.ndarray) -> None:
    """Within a tiny ball nothing but the slope counts: s = sqrt(2 delta) g / |g|."""
    matrix = symmetric(np.geomspace(1.0, 50.0, N))
    found = truncated_newton_step(gradient, lambda v: matrix @ v, bound=1e-8, max_iterations=50)
    assert found.status is TruncationStatus.BOUNDARY
    np.testing.assert_allclose(found.step, math.sqrt(2e-8) * gradient / np.linalg.norm(gradient), rtol=1e-12)


@pytest.mark.parametrize("bound", [1e-6, 1e-3, 0.1, 10.0])
@pytest.mark.parametrize("seed", range(5))
def test_step_is_feasible_and_not_worse_than_the_best_along_the_gradient(bound: float, seed: int) -> None:
    """Indefinite models, an ellipsoid as region."""
    rng = np.random.default_rng(seed)
    matrix = symmetric(rng.standard_normal(N), seed)
    metric = symmetric(np.geomspace(0.1, 10.0, N), seed + 100)
    g = rng.standard_normal(N)
    found = truncated_newton_step(
        g, lambda v: matrix @ v, metric=lambda v: metric @ v, bound=bound, max_iterations=20, relative_tolerance=1e-10
    )
    assert 0.5 * found.step @ metric @ found.step <= bound * (1.0 + 1e-10)
    assert found.size == pytest.approx(0.5 * found.step @ metric @ found.step, rel=1e-8)
    assert found.predicted_improvement == pytest.approx(model(g, matrix, found.step), rel=1e-8)
    longest = math.sqrt(2.0 * bound / (g @ metric @ g))
    curvature = g @ matrix @ g
    cauchy = min(longest, g @ g / curvature) if curvature > 0.0 else longest
    assert found.predicted_improvement >= model(g, matrix, cauchy * g) * (1.0 - 1e-10)


def test_negative_curvature_is_followed_to_the_boundary(gradient: np.ndarray) -> None:
    matrix = -np.eye(N)
    found = truncated_newton_step(gradient, lambda v: matrix @ v, bound=0.5, max_iterations=5)
    assert found.status is TruncationStatus.NEGATIVE_CURVATURE
    assert found.n_iterations == 1
    assert found.curvature == pytest.approx(-1.0)
    np.testing.assert_allclose(found.step, gradient / np.linalg.norm(gradient), rtol=1e-12)


def test_negative_curvature_that_shows_later_is_found() -> None:
    """g sees the positive eigenvalues first: the concave part is solved, then the convex one followed outwards."""
    matrix = np.diag([5.0, 1.0, -0.1])
    found = truncated_newton_step(np.array([1.0, 1.0, 1e-3]), lambda v: matrix @ v, bound=50.0, max_iterations=10)
    assert found.status is TruncationStatus.NEGATIVE_CURVATURE
    assert found.n_iterations == 3
    assert found.size == pytest.approx(50.0)
    assert found.curvature < 0.0


def test_negative_curvature_without_a_region_keeps_the_concave_part() -> None:
    """What the damped Newton step asks for: no boundary to follow the direction to."""
    found = truncated_newton_step(np.ones(3), lambda v: -v, bound=math.inf, max_iterations=10)
    assert found.status is TruncationStatus.NEGATIVE_CURVATURE
    assert not found.step.any()


def test_zero_gradient_asks_for_no_product() -> None:
    def fail(v: np.ndarray) -> np.ndarray:
        raise AssertionError("no product is needed")

    found = truncated_newton_step(np.zeros(N), fail, bound=1.0, max_iterations=5)
    assert found.status is TruncationStatus.ZERO_GRADIENT
    assert not found.step.any()
    assert found.n_iterations == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_product_that_is_not_finite_keeps_the_last_step(gradient: np.ndarray, value: float) -> None:
    matrix = symmetric(np.geomspace(1.0, 50.0, N))
    n_calls = 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal n_calls
        n_calls += 1
        return matrix @ v if n_calls < 3 else np.full(N, value)

    found = truncated_newton_step(gradient, product, bound=math.inf, max_iterations=50)
    assert found.status is TruncationStatus.BREAKDOWN
    assert np.isfinite(found.step).all()
    assert found.step.any()


def test_metric_that_is_not_positive_is_a_breakdown(gradient: np.ndarray) -> None:
    found = truncated_newton_step(gradient, lambda v: v, metric=np.zeros_like, bound=1.0, max_iterations=5)
    assert found.status is TruncationStatus.BREAKDOWN
    assert not found.step.any()


def test_iterations_can_run_out(gradient: np.ndarray) -> None:
    matrix = symmetric(np.geomspace(1.0, 1e4, N))
    found = truncated_newton_step(
        gradient, lambda v: matrix @ v, bound=math.inf, max_iterations=2, relative_tolerance=1e-12
    )
    assert found.status is TruncationStatus.MAX_ITERATIONS
    assert found.n_iterations == 2
    assert found.residual > 0.0
