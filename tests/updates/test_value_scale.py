"""Standardised targets: the same function in other units, and a critic that does not see the scale of the rewards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.kernels.mlp import mlp_forward
from fastpg.policies.problem import SampledProblem
from fastpg.types import Array, Batch
from fastpg.updates.critic import AdamCritic, with_tail
from fastpg.updates.state import OptimizerState
from fastpg.updates.value_scale import ValueScale

LAYOUT = ActorCriticLayout(MLPLayout((3, 8, 2), "tanh"), MLPLayout((3, 64, 1), "tanh"), HeadLayout("categorical", (2,)))
CONTEXT = {"progress_remaining": 1.0, "seed": 3, "update_index": 0}


def problem_with(returns: Array) -> SampledProblem:
    rng = np.random.default_rng(0)
    batch = Batch(
        observations=rng.standard_normal((32, 3)).astype(np.float32),
        actions=rng.integers(0, 2, (32, 1)).astype(np.int32),
        old_log_probs=rng.standard_normal(32).astype(np.float32),
        advantages=rng.standard_normal(32).astype(np.float32),
        returns=returns,
        old_values=rng.standard_normal(32).astype(np.float32),
    )
    return SampledProblem(batch=batch, layout=LAYOUT, backend="reference")


@pytest.fixture
def returns() -> Array:
    return np.random.default_rng(1).standard_normal(32).astype(np.float32)


@pytest.fixture
def state() -> OptimizerState:
    rng = np.random.default_rng(2)
    return OptimizerState.start((0.5 * rng.standard_normal(LAYOUT.n_params)).astype(np.float32))


def values_of(params: Array, observations: Array) -> Array:
    value = LAYOUT.split(params)[2]
    return mlp_forward(value, observations, layout=LAYOUT.value, backend="reference")[:, 0]


def test_units_are_those_of_the_returns(returns: Array) -> None:
    targets = 20.0 * returns - 60.0
    standard = ValueScale.of(targets).standard(targets)
    assert standard.dtype == np.float32
    assert standard.mean() == pytest.approx(0.0, abs=1e-5)
    assert standard.std() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("constant", [0.0, 3.7, -1e9])
def test_equal_returns_have_deviation_one(constant: float) -> None:
    scale = ValueScale.of(np.full(7, constant, np.float32))
    assert scale.deviation == 1.0
    assert scale.mean == pytest.approx(constant)


def test_network_in_standard_units_is_the_same_function(state: OptimizerState) -> None:
    value = LAYOUT.split(state.params)[2].astype(np.float64)
    observations = np.random.default_rng(3).standard_normal((9, 3))
    values = mlp_forward(value, observations, layout=LAYOUT.value, backend="reference")[:, 0]
    scale = ValueScale(mean=-60.0, deviation=20.0)
    standard = scale.standard_network(value, LAYOUT.value)
    outputs = mlp_forward(standard, observations, layout=LAYOUT.value, backend="reference")[:, 0]
    np.testing.assert_allclose(outputs, scale.standard(values), rtol=1e-13)
    np.testing.assert_allclose(scale.network(standard, LAYOUT.value), value, rtol=1e-13)


def test_no_units_change_no_bit(state: OptimizerState, returns: Array) -> None:
    scale, value = ValueScale(), LAYOUT.split(state.params)[2]
    assert scale.standard(returns).tobytes() == returns.tobytes()
    assert scale.standard_network(value, LAYOUT.value).tobytes() == value.tobytes()
    assert scale.network(value, LAYOUT.value).tobytes() == value.tobytes()


def test_fit_does_not_depend_on_the_unit_of_reward(state: OptimizerState, returns: Array) -> None:
    """A network in units of 1024 on returns in units of 1024 learns 1024 times what it learns in units of 1."""
    critic = AdamCritic(learning_rate=1e-2, n_epochs=3, batch_size=8, clip_range_vf=0.7, is_scaled=True)
    large = ValueScale(deviation=1024.0).network(LAYOUT.split(state.params)[2], LAYOUT.value)
    observations = problem_with(returns).batch.observations
    small_problem, large_problem = problem_with(returns), problem_with(1024.0 * returns)
    clipped = replace(critic, clip_range_vf=1024.0 * 0.7)
    large_batch = replace(large_problem.batch, old_values=1024.0 * small_problem.batch.old_values)
    small, small_report = critic(state, small_problem, **CONTEXT)
    big, big_report = clipped(
        replace(state, params=with_tail(state.params, large)), replace(large_problem, batch=large_batch), **CONTEXT
    )
    np.testing.assert_allclose(
        values_of(big.params, observations), 1024.0 * values_of(small.params, observations), rtol=1e-6
    )
    assert big_report.value_loss == pytest.approx(1024.0**2 * small_report.value_loss, rel=1e-6)


def test_far_targets_are_reached_in_few_steps(state: OptimizerState, returns: Array) -> None:
    """240 steps of Adam at 1e-3 take the values of the plain critic a small part of the way to -60."""
    targets = 20.0 * returns - 60.0
    errors = {}
    for is_scaled in (False, True):
        critic = AdamCritic(learning_rate=1e-3, n_epochs=60, batch_size=8, is_scaled=is_scaled)
        new, _ = critic(state, problem_with(targets), **CONTEXT)
        errors[is_scaled] = np.mean((values_of(new.params, problem_with(targets).batch.observations) - targets) ** 2)
    assert errors[True] < 1.5 * targets.var()
    assert errors[False] > 5.0 * targets.var()
