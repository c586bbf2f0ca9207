"""ProximalUpdate: what it hands to the kernel and makes of the result. The numbers are tested with the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpg.errors import ConfigError, NumericsError
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.kernels.ppo_update import ppo_update
from fastpg.policies.problem import SampledProblem
from fastpg.types import Batch
from fastpg.updates.inner_loop import KLStop, MinibatchAdam
from fastpg.updates.proximal import ClippedRatio, ProximalUpdate, ValueAndEntropy
from fastpg.updates.report import UpdateStatus
from fastpg.updates.schedules import LinearSchedule
from fastpg.updates.state import OptimizerState
from tests.ppo_updates import HYPER_PARAMETERS

LAYOUT = ActorCriticLayout(MLPLayout((3, 8, 2), "tanh"), MLPLayout((3, 8, 1), "tanh"), HeadLayout("categorical", (2,)))
N_SAMPLES = 32
BACKEND = "reference"


def make_batch(rng: np.random.Generator) -> Batch:
    floats = [rng.standard_normal(N_SAMPLES).astype(np.float32) for _ in range(3)]
    return Batch(
        observations=rng.standard_normal((N_SAMPLES, 3)).astype(np.float32),
        actions=rng.integers(0, 2, (N_SAMPLES, 1)).astype(np.int32),
        old_log_probs=np.full(N_SAMPLES, -0.7, np.float32),
        advantages=floats[0],
        returns=floats[1],
        old_values=floats[2],
    )


def make_update(**changes: Any) -> ProximalUpdate:
    """With the numbers of ``HYPER_PARAMETERS``."""
    parts: dict[str, Any] = {
        "surrogate": ClippedRatio(clip_range=0.2, normalize_advantage=True),
        "penalty": ValueAndEntropy(vf_coef=0.5, ent_coef=0.01, clip_range_vf=None),
        "inner_loop": MinibatchAdam(
            learning_rate=1e-3,
            n_epochs=3,
            batch_size=8,
            max_grad_norm=0.5,
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-5,
        ),
        "stop": KLStop(target_kl=None),
    }
    return ProximalUpdate(**{**parts, **changes})


@pytest.fixture
def batch() -> Batch:
    return make_batch(np.random.default_rng(0))


@pytest.fixture
def state() -> OptimizerState:
    rng = np.random.default_rng(1)
    return OptimizerState.start((0.1 * rng.standard_normal(LAYOUT.n_params)).astype(np.float32))


def run(update: ProximalUpdate, state: OptimizerState, batch: Batch, **changes: Any) -> Any:
    problem = SampledProblem(batch=batch, layout=LAYOUT, backend=BACKEND)
    context = {"progress_remaining": 0.5, "seed": 3, "update_index": 0}
    return update(state, problem, **{**context, **changes})


def test_is_one_kernel_call(state: OptimizerState, batch: Batch) -> None:
    new, report = run(make_update(), state, batch)
    expected = ppo_update(
        state.params,
        state.first_moment,
        state.second_moment,
        batch.observations,
        batch.actions,
        batch.old_log_probs,
        batch.advantages,
        batch.returns,
        batch.old_values,
        layout=LAYOUT,
        n_epochs=3,
        batch_size=8,
        **HYPER_PARAMETERS,
        seed=3,
        update_index=0,
        backend=BACKEND,
    )
    np.testing.assert_array_equal(new.params, expected.params)
    np.testing.assert_array_equal(new.second_moment, expected.second_moment)
    assert new.step == report.n_optimizer_steps == 12
    assert report.status is UpdateStatus.COMPLETED
    assert report.value_loss == expected.stats.value_loss


def test_old_state_is_untouched_and_read_only(state: OptimizerState, batch: Batch) -> None:
    before = state.params.copy()
    new, _ = run(make_update(), state, batch)
    np.testing.assert_array_equal(state.params, before)
    assert not np.array_equal(new.params, before)
    for array in (state.params, new.params, new.first_moment, new.second_moment):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_schedules_are_evaluated_at_the_progress(state: OptimizerState, batch: Batch) -> None:
    update = make_update(
        surrogate=ClippedRatio(clip_range=LinearSchedule(0.2), normalize_advantage=True),
        penalty=ValueAndEntropy(vf_coef=0.5, ent_coef=0.0, clip_range_vf=lambda progress: 2 * progress),
    )
    _, report = run(update, state, batch, progress_remaining=0.25)
    assert report.clip_range == pytest.approx(0.05)
    assert report.clip_range_vf == 0.5
    assert report.learning_rate == 1e-3


def test_bad_schedule_is_an_error_that_names_it(state: OptimizerState, batch: Batch) -> None:
    update = make_update(surrogate=ClippedRatio(clip_range=lambda progress: -1.0, normalize_advantage=True))
    with pytest.raises(ConfigError, match=r"clip_range: .* got -1\.0"):
        run(update, state, batch)


def test_kl_stop_is_reported(state: OptimizerState, batch: Batch) -> None:
    new, report = run(make_update(stop=KLStop(target_kl=1e-9)), state, batch)
    assert report.status is UpdateStatus.KL_STOP
    assert report.n_epochs == 1
    assert new.step < 4


def test_other_update_index_shuffles_differently(state: OptimizerState, batch: Batch) -> None:
    first, _ = run(make_update(), state, batch, update_index=0)
    second, _ = run(make_update(), state, batch, update_index=1)
    assert not np.array_equal(first.params, second.params)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_diverging_update_raises_and_says_what_to_do(state: OptimizerState, batch: Batch) -> None:
    huge = Batch(**{**vars(batch), "returns": np.full(N_SAMPLES, 3e38, np.float32)})
    with pytest.raises(NumericsError, match=r"Nothing was committed.*Fix: lower learning_rate"):
        run(make_update(), state, huge)
