"""First-order step rules: the maximisers of their models, on vectors and on a real policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastpg.kernels.adam import adam_step
from fastpg.policies.problem import SampledPolicy, SampledProblem
from fastpg.updates.acceptance import AcceptFinite
from fastpg.updates.directions import Context, Direction, Gradient
from fastpg.updates.gradient_step import FACTORS, N_GRADIENTS, AdamDirection, NormStep, ScheduledUpdate, TongaDirection
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.report import UpdateStatus
from fastpg.updates.schedules import LinearSchedule
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import FixedStep, KLRadius, StepLength
from fastpg.updates.tonga import Tonga
from tests.updates.quadratic import random_problem
from tests.updates.samples import log_probs, make_data

SCHEDULE: dict[str, Any] = {"progress_remaining": 1.0, "seed": 0, "update_index": 0}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def make_update(direction: Direction, radius: StepLength, **surrogate: Any) -> LocalModelUpdate:
    return LocalModelUpdate(
        surrogate=Ratio(**surrogate),
        proximity=KLOldNew(),
        direction=direction,
        radius=radius,
        acceptance=AcceptFinite(),
    )


def policy_of(state: OptimizerState, data: SampledProblem) -> SampledPolicy:
    return data.policy_problem(state.params, normalize_advantage=False)


def test_plain_step_maximises_the_gradient_model(rng: np.random.Generator) -> None:
    """No other step has a larger g's - |s|^2 / 2t, and the gap is |s - t g|^2 / 2t exactly."""
    rate = 0.3
    state, data = make_data(1)
    gradient, _ = policy_of(state, data).surrogate_gradient()
    new, _ = make_update(Gradient(), FixedStep(rate), normalize_advantage=False)(state, data, **SCHEDULE)
    best = (new.params - state.params)[: data.layout.actor.n_params]

    def model(step: np.ndarray) -> float:
        return float(gradient @ step - step @ step / (2.0 * rate))

    for scale in (1e-2, 1.0, 1e2):
        other = best + scale * rng.standard_normal(data.layout.actor.n_params)
        gap = float(np.sum((other - best) ** 2)) / (2.0 * rate)
        assert model(best) - model(other) == pytest.approx(gap, rel=1e-9)


def test_gradient_of_the_surrogate_is_the_policy_gradient(rng: np.random.Generator) -> None:
    """mean(A grad log pi), by finite differences of mean(A log pi), which has no ratio in it."""
    state, data = make_data(1)
    gradient, _ = policy_of(state, data).surrogate_gradient()
    batch, h = data.batch, 1e-6
    for _ in range(3):
        direction = np.zeros(state.params.size)
        direction[: data.layout.actor.n_params] = rng.standard_normal(data.layout.actor.n_params)
        ends = [
            np.mean(
                batch.advantages
                * log_probs(data.layout, state.params + sign * h * direction, batch.observations, batch.actions)
            )
            for sign in (1.0, -1.0)
        ]
        slope = (ends[0] - ends[1]) / (2.0 * h)
        assert gradient @ direction[: data.layout.actor.n_params] == pytest.approx(slope, rel=1e-6)


def test_norm_step_maximises_the_linear_model_on_its_ball(rng: np.random.Generator) -> None:
    radius = 0.7
    problem = random_problem(3)
    move = make_update(Gradient(), NormStep(radius)).move(problem, OptimizerState.start(problem.params))
    assert move.params is not None
    best = move.params - problem.params
    assert np.linalg.norm(best) == pytest.approx(radius, rel=1e-12)
    for _ in range(20):
        other = rng.standard_normal(best.size)
        other *= radius / np.linalg.norm(other)
        assert problem.gradient @ best > problem.gradient @ other


def test_length_of_a_norm_step_does_not_depend_on_the_gradient() -> None:
    for scale in (1e-6, 1.0, 1e6):
        problem = random_problem(4)
        problem.gradient = scale * problem.gradient
        move = make_update(Gradient(), NormStep(0.5)).move(problem, OptimizerState.start(problem.params))
        assert move.params is not None
        assert np.linalg.norm(move.params - problem.params) == pytest.approx(0.5, rel=1e-9)


def test_adam_takes_the_steps_of_the_kernel(rng: np.random.Generator) -> None:
    update = make_update(AdamDirection(beta1=0.9, beta2=0.999, epsilon=1e-5), FixedStep(0.1))
    problem = random_problem(5)
    state = OptimizerState.start(problem.params)
    params, first, second = problem.params, np.zeros(6), np.zeros(6)
    for step in (1, 2, 3):
        problem.gradient = rng.standard_normal(6)
        params, first, second = adam_step(params, -problem.gradient, first, second, step=step, learning_rate=0.1)
        move = update.move(problem, state)
        assert move.params is not None
        assert move.ray is not None
        state = state.remember(move.scalars, move.ray.memory)
        problem.params = move.params
        np.testing.assert_allclose(move.params, params, rtol=1e-12)
    assert state.memory[N_GRADIENTS] == 3


def test_adam_follows_its_mean_against_the_gradient() -> None:
    """After large gradients one way, a small one the other way does not turn the step round; that is no breakdown."""
    update = make_update(AdamDirection(beta1=0.9, beta2=0.999, epsilon=1e-5), FixedStep(0.1))
    problem = random_problem(6)
    state = OptimizerState.start(problem.params)
    for scale in (1.0, -0.01):
        problem.gradient = np.full(6, scale)
        move = update.move(problem, state)
        assert move.ray is not None
        state = state.remember(move.scalars, move.ray.memory)
    assert move.status is UpdateStatus.IMPROVED
    assert move.ray.vector @ problem.gradient < 0.0


def test_tonga_sees_the_parts_of_the_samples(rng: np.random.Generator) -> None:
    state, data = make_data(1)
    problem = policy_of(state, data)
    gradient, _ = problem.surrogate_gradient()
    plain, bent = (
        TongaDirection(tonga=Tonga(rank=3, n_minibatches=7, decay=0.9, damping=damping, block="neuron"))
        for damping in (1e12, 0.1)
    )
    np.testing.assert_allclose(plain(problem, gradient, Context()).vector, gradient, rtol=1e-9, atol=1e-12)
    ray = bent(problem, gradient, Context())
    assert ray.memory[FACTORS].shape == (3, data.layout.actor.n_params)
    assert 0.0 < ray.slope < gradient @ gradient
    measured = TongaDirection(tonga=bent.tonga, is_measured=True)(problem, gradient, Context())
    length = KLRadius(target_kl=0.01).length(measured, 0.01)
    fisher = problem.fisher()
    assert 0.5 * length**2 * (ray.vector @ fisher.product(ray.vector)) == pytest.approx(0.01, rel=1e-9)
    again = bent(problem, gradient, Context(memory=ray.memory))
    assert again.memory[N_GRADIENTS] == 2


def test_step_size_follows_its_schedule(rng: np.random.Generator) -> None:
    state, data = make_data(1)
    update = ScheduledUpdate(update=make_update(Gradient(), FixedStep(1.0)), learning_rate=LinearSchedule(0.4))
    norms = []
    for progress in (1.0, 0.5):
        _, report = update(state, data, progress_remaining=progress, seed=0, update_index=0)
        assert report.learning_rate == 0.4 * progress
        norms.append(report.step_norm)
    assert norms[1] == pytest.approx(0.5 * norms[0], rel=1e-12)
    assert report.improvement_ratio == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    "direction", [Gradient(), AdamDirection(beta1=0.9, beta2=0.999, epsilon=1e-5)], ids=["sgd", "adam"]
)
def test_zero_gradient_is_no_step_and_is_counted(rng: np.random.Generator, direction: Direction) -> None:
    state, data = make_data(1)
    constant = replace(data, batch=replace(data.batch, advantages=np.ones(len(data.batch))))
    new, report = make_update(direction, FixedStep(0.1))(state, constant, **SCHEDULE)
    np.testing.assert_array_equal(new.params, state.params)
    assert report.status is UpdateStatus.ZERO_GRADIENT
    assert (report.n_zero_gradients, report.step_norm) == (1, 0.0)


def test_step_into_overflow_is_refused(rng: np.random.Generator) -> None:
    state, data = make_data(1)
    new, report = make_update(Gradient(), FixedStep(1e308))(state, data, **SCHEDULE)
    np.testing.assert_array_equal(new.params, state.params)
    assert report.status is UpdateStatus.NO_ACCEPTABLE_STEP
    assert report.n_line_search_failures == 1
