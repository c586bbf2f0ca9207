"""A2C's arguments and composition; its update is compared with stable-baselines3's in tests/updates."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.algorithms.a2c import RMSPROP_ALPHA, A2CConfig, a2c
from fastpg.errors import ConfigError, NumericsError
from fastpg.policies.problem import SampledProblem
from fastpg.types import Batch
from fastpg.updates.first_order import Adam, RMSprop, policy_loss
from fastpg.updates.schedules import LinearSchedule
from fastpg.updates.state import OptimizerState
from tests.envs import MatchingProbe
from tests.kernels.case import LAYOUTS, random_actor_critic_params, random_samples

#: stable-baselines3 2.9.
SB3_DEFAULTS = {
    "learning_rate": 7e-4,
    "n_steps": 5,
    "gamma": 0.99,
    "gae_lambda": 1.0,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "rms_prop_eps": 1e-5,
    "use_rms_prop": True,
    "normalize_advantage": False,
    "stats_window_size": 100,
}


def test_defaults_are_those_of_stable_baselines3_but_for_the_learning_rate() -> None:
    config = A2CConfig()
    differing = {name for name in SB3_DEFAULTS if getattr(config, name) != SB3_DEFAULTS[name]}
    assert differing == {"learning_rate"}
    assert set(SB3_DEFAULTS) <= set(inspect.signature(fastpg.A2C).parameters)


def test_the_preset_has_every_default_of_stable_baselines3() -> None:
    config = A2CConfig.from_arguments({"preset": "sb3"})
    assert {name: getattr(config, name) for name in SB3_DEFAULTS} == SB3_DEFAULTS
    assert A2CConfig.from_arguments({"preset": "sb3", "learning_rate": 1e-2}).learning_rate == 1e-2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rms_prop_eps", -1e-9),
        ("rms_prop_eps", 0.0),
        ("rms_prop_eps", math.nan),
        ("use_rms_prop", 1),
        ("use_rms_prop", None),
        ("n_steps", 0),
        ("gae_lambda", 1.1),
        ("learning_rate", 0),
        ("normalize_advantage", "no"),
    ],
)
def test_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"- {name}: expected "):
        A2CConfig(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"n_steps": 1, "normalize_advantage": True}, ("n_steps * n_envs", "normalize_advantage")),
        ({"policy_kwargs": {"optimizer_kwargs": {"eps": 1e-8}}}, ("use_rms_prop", "optimizer_kwargs")),
        ({"policy_kwargs": {"optimizer_class": "Adam"}}, ("use_rms_prop", "optimizer_class")),
        ({"use_rms_prop": False, "rms_prop_eps": 1e-3}, ("use_rms_prop=False", "rms_prop_eps")),
    ],
)
def test_contradictions_name_both(arguments: dict[str, Any], names: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as info:
        A2CConfig(**arguments)
    assert all(name in str(info.value) for name in names)


def test_composition_takes_every_number_from_the_config() -> None:
    schedule = LinearSchedule(1e-3)
    config = A2CConfig(learning_rate=schedule, rms_prop_eps=0.25, vf_coef=0.3, ent_coef=0.1, max_grad_norm=7.0)
    update = a2c(config)
    assert update.optimizer == RMSprop(alpha=RMSPROP_ALPHA, epsilon=0.25)
    assert (update.learning_rate, update.vf_coef, update.ent_coef) == (schedule, 0.3, 0.1)
    assert (update.max_grad_norm, update.normalize_advantage) == (7.0, False)
    options = {"optimizer_kwargs": {"eps": 1e-3, "betas": (0.5, 0.6)}}
    adam = a2c(A2CConfig(use_rms_prop=False, policy_kwargs=options)).optimizer
    assert adam == Adam(beta1=0.5, beta2=0.6, epsilon=1e-3)


def samples(size: int = 12) -> tuple[OptimizerState, Batch]:
    layout = LAYOUTS["cartpole"]
    rng = np.random.default_rng(0)
    params = random_actor_critic_params(layout, np.float64, rng)
    return OptimizerState.start(params), Batch(**random_samples(layout, params, size, rng))


def update_with(old: OptimizerState, batch: Batch, **arguments: Any) -> tuple[OptimizerState, Any]:
    problem = SampledProblem(batch=batch, layout=LAYOUTS["cartpole"])
    return a2c(A2CConfig(**arguments))(old, problem, progress_remaining=0.5, seed=0, update_index=0)


def test_the_schedule_is_asked_for_the_learning_rate() -> None:
    old, batch = samples()
    _, report = update_with(old, batch, learning_rate="lin_1e-2")
    assert report.learning_rate == pytest.approx(5e-3)


def test_the_loss_of_standardised_advantages() -> None:
    _, batch = samples()
    standardised = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std(ddof=1) + 1e-8)
    assert policy_loss(batch, is_normalized=True) == pytest.approx(-(standardised * batch.old_log_probs).mean())
    assert policy_loss(batch, is_normalized=False) == pytest.approx(-(batch.advantages * batch.old_log_probs).mean())


@pytest.mark.parametrize("size", [1, 2])
def test_few_samples_and_equal_advantages(size: int) -> None:
    """One sample is not standardised; equal advantages are standardised to 0, and the policy does not move."""
    old, batch = samples(size)
    batch.advantages[:] = 3.0
    new, report = update_with(old, batch, n_steps=2, normalize_advantage=True)
    n_policy = LAYOUTS["cartpole"].actor.n_params
    assert np.isfinite(new.params).all()
    assert (new.params[:n_policy] == old.params[:n_policy]).all() == (size > 1)
    assert (new.params[n_policy:] != old.params[n_policy:]).any()
    assert report.n_optimizer_steps == 1


@pytest.mark.parametrize("name", ["advantages", "returns"])
def test_numbers_that_are_not_finite_stop_the_update(name: str) -> None:
    old, batch = samples()
    getattr(batch, name)[3] = np.nan
    before = old.params.copy()
    with pytest.raises(NumericsError, match="Nothing was committed"):
        update_with(old, batch)
    np.testing.assert_array_equal(old.params, before)


def test_a_loaded_model_goes_on_as_the_saved_one(tmp_path: Path) -> None:
    """Both in new episodes: the square average of RMSprop is part of the checkpoint."""
    envs = [MatchingProbe, MatchingProbe]
    model = fastpg.A2C("MlpPolicy", envs, n_steps=4, policy_kwargs={"net_arch": [8]}, seed=3).learn(40)
    model.save(tmp_path / "model.fastpg")
    loaded = [fastpg.load(tmp_path / "model.fastpg", envs).learn(40, reset_num_timesteps=False) for _ in range(2)]
    assert all(isinstance(each, fastpg.A2C) for each in loaded)
    assert loaded[0].optimizer_state.step == 10
    for name in ("params", "second_moment"):
        first, second = (getattr(each.optimizer_state, name) for each in loaded)
        np.testing.assert_array_equal(first, second)
        assert (first != getattr(model.optimizer_state, name)).any()
    saved = fastpg.load(tmp_path / "model.fastpg").optimizer_state
    np.testing.assert_array_equal(saved.second_moment, model.optimizer_state.second_moment)


def test_it_learns_to_look_at_the_observation() -> None:
    model = fastpg.A2C(
        "MlpPolicy", [MatchingProbe] * 4, seed=0, learning_rate=3e-3, policy_kwargs={"net_arch": [16]}
    ).learn(8_000)
    actions, _ = model.predict(np.array([[-1.0], [1.0]], np.float32), deterministic=True)
    assert actions.tolist() == [0, 1]
    assert model.collector.episodes.ep_rew_mean > 0.9
