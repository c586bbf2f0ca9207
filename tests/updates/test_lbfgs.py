"""L-BFGS: closed forms, a kink, forbidden points, and what it says when it cannot go on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpg.updates.lbfgs import LBFGS, AscentStatus


def concave_quadratic(n: int, condition: float, seed: int = 0):
    """f = g's - 1/2 s'A s with eigenvalues of A from 1 to ``condition``; (f, g, A)."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    matrix = (basis * np.geomspace(1.0, condition, n)) @ basis.T
    g = rng.standard_normal(n)
    return lambda s: (g @ s - 0.5 * s @ matrix @ s, g - matrix @ s), g, matrix


@pytest.mark.parametrize("condition", [1.0, 100.0, 1e3])
def test_finds_the_maximum_of_a_quadratic(condition: float) -> None:
    f, g, matrix = concave_quadratic(12, condition)
    ascent = LBFGS(max_iterations=500, relative_tolerance=1e-6).maximise(f, np.zeros(12))
    assert ascent.status is AscentStatus.CONVERGED
    np.testing.assert_allclose(ascent.point, np.linalg.solve(matrix, g), rtol=1e-4, atol=1e-6)


def test_finds_the_maximum_of_rosenbrocks_function() -> None:
    def f(x: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = 1.0 - x[0], x[1] - x[0] ** 2
        return -(a**2 + 100.0 * b**2), np.array([2.0 * a + 400.0 * x[0] * b, -200.0 * b])

    ascent = LBFGS(max_iterations=200, relative_tolerance=1e-8).maximise(f, np.array([-1.2, 1.0]))
    assert ascent.status is AscentStatus.CONVERGED
    np.testing.assert_allclose(ascent.point, [1.0, 1.0], atol=1e-6)


def test_climbs_to_a_kink() -> None:
    """f = -max(|x - a|^2, |x + a|^2) / 2 has its maximum -|a|^2 / 2 at 0, where it has no gradient."""
    a = np.array([1.0, 2.0, 0.5])

    def f(x: np.ndarray) -> tuple[float, np.ndarray]:
        farther = x + (a if a @ x > 0.0 else -a)
        return -0.5 * float(farther @ farther), -farther

    ascent = LBFGS(max_iterations=100).maximise(f, np.array([3.0, 1.0, -2.0]))
    assert ascent.value == pytest.approx(-0.5 * float(a @ a), rel=1e-3)


def test_never_ends_below_the_start() -> None:
    """From a minimum of a convex function, and from a point beside which everything is forbidden."""
    up = LBFGS(max_iterations=3).maximise(lambda x: (float(x @ x), 2.0 * x), np.array([1.0, 0.0]))
    assert up.value > 1.0
    assert up.status is AscentStatus.MAX_ITERATIONS

    def cliff(x: np.ndarray) -> tuple[float, np.ndarray]:
        return (0.0 if not x.any() else math.nan), np.ones(2)

    stuck = LBFGS().maximise(cliff, np.zeros(2))
    assert stuck.status is AscentStatus.NO_PROGRESS
    assert not stuck.point.any()


def test_stays_on_the_allowed_side_of_a_wall() -> None:
    """log(1 - x) + 2x has its maximum at 1/2; beyond 1 it is not a number."""

    def f(x: np.ndarray) -> tuple[float, np.ndarray]:
        if x[0] >= 1.0:
            return -math.inf, np.array([math.nan])
        return math.log(1.0 - x[0]) + 2.0 * x[0], np.array([2.0 - 1.0 / (1.0 - x[0])])

    ascent = LBFGS().maximise(f, np.zeros(1), first_length=5.0)
    assert ascent.status is AscentStatus.CONVERGED
    np.testing.assert_allclose(ascent.point, 0.5, atol=1e-6)


def test_start_without_a_slope_and_start_that_is_not_finite() -> None:
    flat = LBFGS().maximise(lambda x: (3.0, np.zeros_like(x)), np.ones(2))
    assert (flat.status, flat.n_evaluations, flat.value) == (AscentStatus.CONVERGED, 1, 3.0)
    bad = LBFGS().maximise(lambda x: (math.nan, np.zeros_like(x)), np.ones(2))
    assert bad.status is AscentStatus.NOT_FINITE
    np.testing.assert_array_equal(bad.point, np.ones(2))


def test_counts_what_it_evaluates() -> None:
    n_calls = 0
    f, _, _ = concave_quadratic(5, 10.0)

    def counted(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal n_calls
        n_calls += 1
        return f(x)

    ascent = LBFGS(max_iterations=4).maximise(counted, np.zeros(5))
    assert ascent.n_evaluations == n_calls
    assert ascent.n_iterations == 4
