"""Levenberg-Marquardt: exact on linear networks, monotone on others, and indifferent to the unit of reward."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastpg.kernels.layout import MLPLayout
from fastpg.updates.damping import MarquardtDamping
from fastpg.updates.lm_critic import LevenbergMarquardt, ValueFit

LINEAR = MLPLayout((3, 1), "tanh")
HIDDEN = MLPLayout((3, 16, 1), "tanh")
BACKEND = "reference"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def rule(**changes: Any) -> LevenbergMarquardt:
    defaults = {"n_steps": 10, "damping": MarquardtDamping(initial=1.0), "cg_max_steps": 50, "cg_tolerance": 1e-10}
    return LevenbergMarquardt(**{**defaults, **changes})


def make_fit(rng: np.random.Generator, layout: MLPLayout, n_samples: int = 64) -> tuple[np.ndarray, ValueFit]:
    observations = rng.standard_normal((n_samples, 3))
    returns = np.sin(observations[:, 0]) + 0.5 * observations[:, 1] ** 2
    params = 0.3 * rng.standard_normal(layout.n_params)
    return params, ValueFit(layout=layout, observations=observations, returns=returns, backend=BACKEND)


def test_gradient_is_minus_half_the_derivative_of_the_error(rng: np.random.Generator) -> None:
    params, problem = make_fit(rng, HIDDEN)
    error, gradient = problem.gradient(params)
    assert error == problem.error(params)
    direction, h = rng.standard_normal(params.size), 1e-6
    slope = (problem.error(params + h * direction) - problem.error(params - h * direction)) / (2.0 * h)
    assert gradient @ direction == pytest.approx(-0.5 * slope, rel=1e-6)


def test_matrix_is_that_of_gauss_newton(rng: np.random.Generator) -> None:
    params, problem = make_fit(rng, LINEAR)
    jacobian = np.column_stack([problem.observations, np.ones(64)])
    vector = rng.standard_normal(4)
    product = problem.gauss_newton(params).product(np.append(vector, 0.0))
    np.testing.assert_allclose(product[:-1], jacobian.T @ (jacobian @ vector) / 64, rtol=1e-12)
    assert product[-1] == 0.0


def test_one_undamped_step_solves_linear_least_squares(rng: np.random.Generator) -> None:
    params, problem = make_fit(rng, LINEAR)
    jacobian = np.column_stack([problem.observations, np.ones(64)])
    best, *_ = np.linalg.lstsq(jacobian, problem.returns, rcond=None)
    result = rule(n_steps=1).fit(params, problem, damping=0.0)
    np.testing.assert_allclose(result.params, best, rtol=1e-9)
    assert result.n_accepted == 1


def test_error_falls_far_below_that_of_a_linear_fit(rng: np.random.Generator) -> None:
    params, problem = make_fit(rng, HIDDEN)
    linear = rule(n_steps=1).fit(np.zeros(4), replace(problem, layout=LINEAR), damping=0.0)
    result = rule(n_steps=30).fit(params, problem, damping=0.1)
    assert problem.error(result.params) < 0.05 * replace(problem, layout=LINEAR).error(linear.params)


@pytest.mark.parametrize("damping", [1e-8, 1e-3, 1.0])
def test_error_never_rises_and_inputs_stay(rng: np.random.Generator, damping: float) -> None:
    params, problem = make_fit(rng, HIDDEN)
    before = params.copy()
    params.flags.writeable = False
    errors = []
    current = params
    for _ in range(6):
        result = rule(n_steps=1).fit(current, problem, damping=damping)
        errors.append(result.error)
        current, damping = result.params, result.damping
    assert errors == sorted(errors, reverse=True)
    np.testing.assert_array_equal(params, before)


def test_steps_do_not_depend_on_the_unit_of_reward(rng: np.random.Generator) -> None:
    """The last layer scales with the returns; hidden layers then make the same steps."""
    _, problem = make_fit(rng, LINEAR)
    small = rule(n_steps=1).fit(np.zeros(4), problem, damping=0.5)
    large = rule(n_steps=1).fit(np.zeros(4), replace(problem, returns=1e4 * problem.returns), damping=0.5)
    np.testing.assert_allclose(large.params, 1e4 * small.params, rtol=1e-9)
    assert large.damping == small.damping


def test_damping_falls_where_the_model_is_right_and_rises_where_it_is_not(rng: np.random.Generator) -> None:
    params, problem = make_fit(rng, LINEAR)
    right = rule(n_steps=1).fit(params, problem, damping=0.5)
    assert right.damping == pytest.approx(0.5 * 2.0 / 3.0)
    params, problem = make_fit(rng, HIDDEN)
    wrong = rule(n_steps=1).fit(params, problem, damping=1e-8)
    assert wrong.damping == pytest.approx(1.5e-8)
    assert wrong.n_accepted == 0
    np.testing.assert_array_equal(wrong.params, params)


def test_perfect_fit_and_overflow_take_no_step(rng: np.random.Generator) -> None:
    _, problem = make_fit(rng, LINEAR)
    done = rule().fit(np.zeros(4), replace(problem, returns=np.zeros(64)), damping=0.5)
    assert (done.n_accepted, done.damping) == (0, 0.5)
    assert not done.params.any()
