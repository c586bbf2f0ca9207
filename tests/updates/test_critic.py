"""AdamCritic: one kernel call on the value network's part of the state; the policy's part is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastpg.errors import NumericsError
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.kernels.mlp import mlp_forward
from fastpg.kernels.value_update import value_update
from fastpg.policies.problem import SampledProblem
from fastpg.types import Array, Batch
from fastpg.updates.critic import AdamCritic, CriticReport, NoCritic, recentred, with_tail
from fastpg.updates.schedules import LinearSchedule
from fastpg.updates.state import OptimizerState

LAYOUT = ActorCriticLayout(MLPLayout((3, 8, 2), "tanh"), MLPLayout((3, 8, 1), "tanh"), HeadLayout("categorical", (2,)))
N_ACTOR = LAYOUT.actor.n_params
CRITIC = AdamCritic(learning_rate=LinearSchedule(2e-3), n_epochs=3, batch_size=8)
CONTEXT = {"progress_remaining": 0.5, "seed": 3, "update_index": 7}


@pytest.fixture
def problem() -> SampledProblem:
    rng = np.random.default_rng(0)
    floats = [rng.standard_normal(32).astype(np.float32) for _ in range(4)]
    batch = Batch(
        observations=rng.standard_normal((32, 3)).astype(np.float32),
        actions=rng.integers(0, 2, (32, 1)).astype(np.int32),
        old_log_probs=floats[0],
        advantages=floats[1],
        returns=floats[2],
        old_values=floats[3],
    )
    return SampledProblem(batch=batch, layout=LAYOUT, backend="reference")


@pytest.fixture
def state() -> OptimizerState:
    rng = np.random.default_rng(1)
    start = OptimizerState.start((0.1 * rng.standard_normal(LAYOUT.n_params)).astype(np.float32))
    return start.remember({"trust_radius": 0.02})


def values_of(state: OptimizerState, problem: SampledProblem) -> Array:
    value = LAYOUT.split(state.params)[2]
    return mlp_forward(value, problem.batch.observations, layout=LAYOUT.value, backend="reference")[:, 0]


def test_is_one_kernel_call_on_the_tail_of_the_state(problem: SampledProblem, state: OptimizerState) -> None:
    new, report = CRITIC(state, problem, **CONTEXT)
    expected = value_update(
        state.params[N_ACTOR:],
        state.first_moment[N_ACTOR:],
        state.second_moment[N_ACTOR:],
        problem.batch.observations,
        problem.batch.returns,
        problem.batch.old_values,
        layout=LAYOUT.value,
        n_epochs=3,
        batch_size=8,
        learning_rate=1e-3,
        adam_step=0,
        seed=3,
        update_index=7,
        backend="reference",
    )
    np.testing.assert_array_equal(new.params[N_ACTOR:], expected.params)
    np.testing.assert_array_equal(new.first_moment[N_ACTOR:], expected.first_moment)
    np.testing.assert_array_equal(new.second_moment[N_ACTOR:], expected.second_moment)
    np.testing.assert_array_equal(new.params[:N_ACTOR], state.params[:N_ACTOR])
    assert not new.first_moment[:N_ACTOR].any()
    assert new.step == report.n_optimizer_steps == 12
    assert new.scalars == {"trust_radius": 0.02}
    assert report == CriticReport(
        value_loss=expected.stats.value_loss, n_optimizer_steps=12, learning_rate=pytest.approx(1e-3)
    )


def test_the_values_approach_the_returns(problem: SampledProblem, state: OptimizerState) -> None:
    losses = []
    for update_index in range(5):
        state, report = CRITIC(state, problem, progress_remaining=1.0, seed=0, update_index=update_index)
        losses.append(report.value_loss)
    assert sorted(losses, reverse=True) == losses  # type: ignore[type-var]  # floats with a critic


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_diverging_critic_raises_and_says_what_to_do(problem: SampledProblem, state: OptimizerState) -> None:
    huge = Batch(**{**vars(problem.batch), "returns": np.full(32, 3e38, np.float32)})
    with pytest.raises(NumericsError, match=r"value_loss: expected .*Nothing was committed.*Fix: lower learning_rate"):
        CRITIC(state, SampledProblem(batch=huge, layout=LAYOUT, backend="reference"), **CONTEXT)


def test_no_critic(problem: SampledProblem, state: OptimizerState) -> None:
    new, report = NoCritic()(state, problem, **CONTEXT)
    assert new is state
    assert report == CriticReport()


@pytest.mark.parametrize("constant", [-60.0, 1e4])
def test_far_targets_are_reached_at_once(problem: SampledProblem, state: OptimizerState, constant: float) -> None:
    """240 steps of Adam at 1e-3 take the values of the plain critic a small part of the way."""
    targets = problem.batch.returns + np.float32(constant)
    batch = replace(problem.batch, returns=targets, old_values=values_of(state, problem))
    errors = {}
    for is_centred in (False, True):
        critic = AdamCritic(learning_rate=1e-3, n_epochs=60, batch_size=8, is_centred=is_centred)
        new, _ = critic(state, replace(problem, batch=batch), **CONTEXT)
        errors[is_centred] = float(np.mean((values_of(new, problem) - targets) ** 2))
    assert errors[True] < 2.0 * targets.var()
    assert errors[False] > 0.9 * constant**2


def test_values_are_shifted_before_their_first_fit_only(problem: SampledProblem, state: OptimizerState) -> None:
    plain, centred = CRITIC, replace(CRITIC, is_centred=True)
    params = LAYOUT.split(state.params)[2]
    shifted = recentred(params, problem.batch.returns, problem.batch.old_values)
    first, _ = centred(state, problem, **CONTEXT)
    expected, _ = plain(replace(state, params=with_tail(state.params, shifted)), problem, **CONTEXT)
    assert np.array_equal(first.params, expected.params)
    second, _ = centred(first, problem, **CONTEXT)
    assert np.array_equal(second.params, plain(first, problem, **CONTEXT)[0].params)


def test_values_are_shifted_by_their_mean_error(problem: SampledProblem, state: OptimizerState) -> None:
    params, values = LAYOUT.split(state.params)[2], values_of(state, problem)
    noise = problem.batch.returns - problem.batch.returns.mean()
    shifted = recentred(params, values + noise + np.float32(0.7), values)
    assert shifted[-1] - params[-1] == pytest.approx(0.7, rel=1e-5)
    assert np.array_equal(shifted[:-1], params[:-1])
