"""The theoretical bound M = L - C max KL: its constant, its maximiser on quadratics, its guarantee on exact MDPs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpg.updates.lbfgs import LBFGS
from fastpg.updates.minorant import MinorantAscent, evaluate_minorant, penalty_constant, power_norm

GAMMA = 0.9


class QuadraticProblem:
    """mean(ratio A) = g's, KL of state i = 1/2 s'F_i s."""

    def __init__(self, gradient: np.ndarray, fishers: np.ndarray) -> None:
        self.gradient, self.fishers = gradient, fishers

    def surrogate(self, step: np.ndarray) -> tuple[float, np.ndarray]:
        return float(self.gradient @ step), self.gradient

    def kl_old_new(self, step: np.ndarray) -> np.ndarray:
        return 0.5 * np.einsum("i,bij,j->b", step, self.fishers, step)

    def kl_old_new_gradient(self, step: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.einsum("b,bij,j->i", weights, self.fishers, step)


def test_constant_of_theorem_1() -> None:
    assert penalty_constant(2.0, 0.9) == pytest.approx(4.0 * 2.0 * 0.9 / 0.01)
    assert penalty_constant(0.0, 0.9) == penalty_constant(1.0, 0.0) == 0.0


@pytest.mark.parametrize("power", [2.0, 8.0, math.inf])
def test_power_norm_bounds_the_maximum_and_has_its_derivative(power: float) -> None:
    values = np.random.default_rng(0).random(7)
    norm, weights = power_norm(values, power)
    assert norm >= values.max()
    difference = [
        (power_norm(values + 1e-6 * e, power)[0] - power_norm(values - 1e-6 * e, power)[0]) / 2e-6 for e in np.eye(7)
    ]
    np.testing.assert_allclose(weights, difference, atol=1e-7)


def test_power_norm_of_zero_of_rounding_and_of_no_numbers() -> None:
    for values in (np.zeros(3), np.array([-1e-9, 0.0, -0.0])):
        norm, weights = power_norm(values, 8.0)
        assert norm == 0.0
        assert not weights.any()
    assert math.isinf(power_norm(np.array([1.0, math.inf]), 8.0)[0])
    assert math.isnan(power_norm(np.array([1.0, math.nan]), 8.0)[0])
    assert power_norm(np.array([1e-300, 2e-300]), 64.0)[0] == pytest.approx(2e-300)


def test_one_state_has_a_closed_form() -> None:
    """With one F: s = F^-1 g / ((1 - gamma) C), M = g'F^-1 g / (2 (1 - gamma)^2 C)."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((6, 6))
    fisher, g = root @ root.T + 0.1 * np.eye(6), rng.standard_normal(6)
    problem = QuadraticProblem(g, fisher[None])
    ascent = MinorantAscent(inner=LBFGS(max_iterations=200, relative_tolerance=1e-10))
    found = ascent(problem, 6, max_abs_advantage=1.5, gamma=GAMMA)
    assert found.kl_coef == penalty_constant(1.5, GAMMA)
    x = np.linalg.solve(fisher, g)
    np.testing.assert_allclose(found.step, x / ((1.0 - GAMMA) * found.kl_coef), rtol=1e-5)
    assert found.value.minorant == pytest.approx(g @ x / (2.0 * (1.0 - GAMMA) ** 2 * found.kl_coef), rel=1e-8)
    assert found.value.surrogate == pytest.approx(2.0 * found.value.minorant, rel=1e-5)


def test_maximum_over_states_is_respected() -> None:
    """Two states that bound different directions: the best s has both at the maximum; known from symmetry."""
    problem = QuadraticProblem(np.array([1.0, 1.0]), np.array([np.diag([1.0, 0.1]), np.diag([0.1, 1.0])]))
    found = MinorantAscent()(problem, 2, max_abs_advantage=1.0, gamma=GAMMA)
    # s = (t, t): M = 2 t / (1 - gamma) - C 0.55 t^2
    t = 1.0 / ((1.0 - GAMMA) * 0.55 * found.kl_coef)
    assert found.value.minorant >= 0.99 * t / (1.0 - GAMMA)
    assert found.value.minorant <= t / (1.0 - GAMMA) * (1.0 + 1e-9)
    np.testing.assert_allclose(found.step, [t, t], rtol=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_many_states_come_close_to_the_maximum(seed: int) -> None:
    """Against the dual: for any weights w on the states, max M <= g'(sum w F)^-1 g / (2 (1 - gamma)^2 C)."""
    rng = np.random.default_rng(seed)
    roots = rng.standard_normal((40, 5, 5))
    fishers, g = roots @ roots.transpose(0, 2, 1) / 5.0, rng.standard_normal(5)
    problem = QuadraticProblem(g, fishers)
    found = MinorantAscent()(problem, 5, max_abs_advantage=1.0, gamma=GAMMA)
    weights, bound = np.full(40, 1.0 / 40.0), math.inf
    for _ in range(3000):  # mirror descent on the dual
        x = np.linalg.solve(np.einsum("b,bij->ij", weights, fishers), g)
        bound = min(bound, g @ x / (2.0 * (1.0 - GAMMA) ** 2 * found.kl_coef))
        kl = problem.kl_old_new(x)
        weights = weights * np.exp(0.05 * kl / kl.max())
        weights /= weights.sum()
    assert 0.99 * bound < found.value.minorant <= bound * (1.0 + 1e-9)


def test_zero_gradient_and_zero_advantages_stay() -> None:
    problem = QuadraticProblem(np.zeros(3), np.eye(3)[None])
    found = MinorantAscent()(problem, 3, max_abs_advantage=1.0, gamma=GAMMA)
    assert not found.step.any()
    assert found.value.minorant == found.value.kl_old_new_max == 0.0
    nothing = MinorantAscent()(problem, 3, max_abs_advantage=0.0, gamma=GAMMA)
    assert not nothing.step.any()
    assert nothing.kl_coef == 0.0


def test_values_that_are_not_finite_give_no_step() -> None:
    problem = QuadraticProblem(np.full(3, math.nan), np.eye(3)[None])
    found = MinorantAscent()(problem, 3, max_abs_advantage=1.0, gamma=GAMMA)
    assert not found.step.any()


def test_evaluation_has_the_terms() -> None:
    problem = QuadraticProblem(np.array([1.0, 0.0]), np.array([np.eye(2), 3.0 * np.eye(2)]))
    value = evaluate_minorant(problem, np.array([0.1, 0.0]), 2.0, GAMMA)
    assert value.kl_old_new_max == pytest.approx(0.015)
    assert value.kl_old_new == pytest.approx(0.01)
    assert value.surrogate == pytest.approx(1.0)
    assert value.minorant == pytest.approx(1.0 - 2.0 * 0.015)
