"""Conjugate gradient on matrices that are known, and Cholesky's factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastpg.kernels import CGStatus, cholesky_solve, conjugate_gradient
from fastpg.kernels.linear_solve import STAGNATION_PATIENCE, dot

Array = NDArray[Any]
TIGHT: Any = {"relative_tolerance": 1e-12, "absolute_tolerance": 0.0}


def spd(rng: np.random.Generator, eigenvalues: Array) -> Array:
    """A random symmetric matrix with these eigenvalues."""
    basis, _ = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))
    return (basis * eigenvalues) @ basis.T


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(0.0, 4.0))
def test_equals_the_direct_solution(seed: int, n: int, log_condition: float) -> None:
    """The error is at most the residual times the condition number; the energy falls from iterate to iterate."""
    rng = np.random.default_rng(seed)
    a = spd(rng, np.logspace(-log_condition, 0, n))
    b = rng.standard_normal(n)
    solution = conjugate_gradient(
        lambda v: a @ v, b, max_iterations=50 * n, relative_tolerance=1e-8, absolute_tolerance=0.0, spacing=1.3
    )
    assert solution.status is CGStatus.CONVERGED
    assert solution.residual <= 1e-8
    error = np.linalg.norm(solution.solution - np.linalg.solve(a, b))
    assert error <= 1e-7 * 10**log_condition * np.linalg.norm(b)
    assert solution.curvature == pytest.approx(solution.solution @ a @ solution.solution, rel=1e-6)
    energies = [0.0] + [x @ a @ x / 2 - b @ x for x in solution.iterates]
    assert (np.diff(energies) <= 1e-9 * abs(energies[-1])).all()


def test_few_eigenvalues_take_few_iterations() -> None:
    """As many as there are different ones (Hestenes & Stiefel 1952)."""
    rng = np.random.default_rng(0)
    a = spd(rng, np.repeat([1.0, 3.0, 10.0], 8))
    solution = conjugate_gradient(lambda v: a @ v, rng.standard_normal(24), max_iterations=24, **TIGHT)
    assert (solution.status, solution.iterations) == (CGStatus.CONVERGED, 3)


def test_truncation_returns_the_last_iterate() -> None:
    rng = np.random.default_rng(1)
    a, b = spd(rng, np.logspace(-3, 0, 40)), rng.standard_normal(40)
    solution = conjugate_gradient(lambda v: a @ v, b, max_iterations=6, spacing=1.4, **TIGHT)
    assert (solution.status, solution.iterations) == (CGStatus.MAX_ITERATIONS, 6)
    assert len(solution.iterates) == 5, "iterations 1, 2, 3, 4, 5; round(1.4^5) = 5, the next is 8"
    assert solution.residual == pytest.approx(np.linalg.norm(b - a @ solution.solution) / np.linalg.norm(b))


def test_no_iterations_return_the_start() -> None:
    a, b, start = np.eye(3), np.ones(3), np.array([1.0, 0.0, 0.5])
    solution = conjugate_gradient(lambda v: a @ v, b, start=start, max_iterations=0, **TIGHT)
    assert (solution.status, solution.iterations) == (CGStatus.MAX_ITERATIONS, 0)
    np.testing.assert_array_equal(solution.solution, start)
    assert conjugate_gradient(lambda v: a @ v, b, start=b, max_iterations=0, **TIGHT).status is CGStatus.CONVERGED


def test_an_absolute_tolerance_ends_it_too() -> None:
    b = np.array([1e-8, 0.0])
    options: Any = {"max_iterations": 5, "relative_tolerance": 0.0}
    assert conjugate_gradient(lambda v: 2 * v, b, absolute_tolerance=1e-6, **options).iterations == 0


def test_negative_curvature_is_a_breakdown_that_keeps_the_iterate() -> None:
    a, b = np.diag([4.0, 1.0, -2.0]), np.array([1.0, 1.0, 0.1])
    solution = conjugate_gradient(lambda v: a @ v, b, max_iterations=10, **TIGHT)
    assert solution.status is CGStatus.BREAKDOWN
    assert solution.iterations > 0
    assert b @ solution.solution > 0, "an ascent direction"
    assert conjugate_gradient(lambda v: -v, b, max_iterations=10, **TIGHT).iterations == 0


def test_progress_that_rounding_stops_is_stagnation() -> None:
    """float32, condition 1e7, a tolerance below what float32 can reach: the best iterate comes back."""
    rng = np.random.default_rng(2)
    a = spd(rng, np.logspace(-7, 0, 60)).astype(np.float32)
    b = rng.standard_normal(60).astype(np.float32)
    solution = conjugate_gradient(
        lambda v: a @ v, b, max_iterations=5000, relative_tolerance=1e-12, absolute_tolerance=0.0
    )
    assert solution.status in {CGStatus.STAGNATION, CGStatus.BREAKDOWN}
    assert solution.iterations < 5000
    assert np.isfinite(solution.solution).all()


def test_an_operator_without_progress_is_stagnation() -> None:
    """One that changes with every call: the residual grows, and what came first is returned."""
    rng = np.random.default_rng(3)
    b = rng.standard_normal(20)
    solution = conjugate_gradient(lambda v: spd(rng, np.logspace(-1, 1, 20)) @ v, b, max_iterations=500, **TIGHT)
    assert solution.status is CGStatus.STAGNATION
    assert solution.iterations >= STAGNATION_PATIENCE
    assert solution.residual <= 1.0


@pytest.mark.parametrize(
    ("argument", "value", "text"),
    [
        ("max_iterations", -1, "max_iterations: expected an integer in"),
        ("relative_tolerance", -0.1, "relative_tolerance: expected a number in"),
        ("absolute_tolerance", np.nan, "absolute_tolerance: expected a finite number"),
        ("spacing", 1.0, "spacing: expected a finite number > 1 or None, got 1.0"),
        ("start", np.ones(2), r"start: expected shape \(3,\), got \(2,\)"),
    ],
)
def test_a_wrong_argument_is_named(argument: str, value: Any, text: str) -> None:
    options = {"max_iterations": 3, **TIGHT, argument: value}
    with pytest.raises(ValueError, match=f"conjugate_gradient: {text}"):
        conjugate_gradient(lambda v: v, np.ones(3), **options)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_cholesky_equals_the_direct_solution(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = spd(rng, np.logspace(-3, 0, n)), rng.standard_normal(n)
    x, is_positive_definite = cholesky_solve(np.tril(a), b, damping=0.25)
    assert is_positive_definite
    np.testing.assert_allclose((a + 0.25 * np.eye(n)) @ x, b, rtol=0, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize(
    "matrix",
    [np.diag([1.0, 0.0]), np.diag([1.0, -1.0]), np.ones((3, 3)), np.full((2, 2), np.nan), np.zeros((1, 1))],
    ids=["semi-definite", "indefinite", "rank 1", "nan", "zero"],
)
def test_cholesky_says_what_is_not_positive_definite(backend: str, matrix: Array) -> None:
    x, is_positive_definite = cholesky_solve(matrix, np.ones(len(matrix)), backend=backend)
    assert not is_positive_definite
    np.testing.assert_array_equal(x, 0)


def test_dot_products_have_known_bits() -> None:
    """By pairwise summation, on every processor; a BLAS has an order of its own."""
    a, b = 1.0 / np.arange(1.0, 2001.0), np.sqrt(np.arange(2.0, 2002.0))
    assert dot(a, b).hex() == "0x1.649eebf5229c4p+6"
    assert dot(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(dot(a, b), rel=1e-7)


def test_dot_products_of_what_is_not_finite_do_not_warn() -> None:
    assert dot(np.array([1e200, 1.0]), np.array([1e200, 1.0])) == np.inf
    assert np.isnan(dot(np.array([np.inf, 1.0]), np.array([0.0, 1.0])))
