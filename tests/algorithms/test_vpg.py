"""VPG: its arguments, what they compose, REINFORCE's returns, resuming, and small problems that it must learn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.algorithms.vpg import GAE_LAMBDA, VPGConfig, vpg
from fastpg.errors import ConfigError
from fastpg.training.advantages import make_batch
from fastpg.types import Rollout
from fastpg.updates.critic import AdamCritic, NoCritic
from fastpg.updates.directions import Gradient
from fastpg.updates.gradient_step import AdamDirection, NormStep, ScheduledUpdate, TongaDirection
from fastpg.updates.lm_critic import LMCritic
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.schedules import LinearSchedule
from tests.envs import ActionRewardProbe, ContinuousTargetProbe, MatchingProbe

NAN, INF = float("nan"), float("inf")
BAD_VALUES: dict[str, list[Any]] = {
    "learning_rate": [0, -1.0, NAN],
    "critic_learning_rate": [0, NAN, None],
    "gae_lambda": [-0.1, 1.1, NAN],
    "optimizer": ["rmsprop", 3],
    "step_rule": ["kl", None],
    "radius": [0, -1, INF],
    "use_critic": [1, None],
    "ent_coef": [NAN, None],
    "critic_solver": ["sgd"],
    "critic_damping": [0, 1e9, NAN],
    "critic_cg_max_steps": [0, 1.5],
    "n_critic_updates": [0],
    "batch_size": [0],
    "tonga_rank": [0, 1.5],
    "tonga_n_minibatches": [0],
    "tonga_decay": [-0.1, 1.0],
    "tonga_damping": [0.0, INF],
    "tonga_block": ["row"],
    "preset": ["unheard-of"],
}
CONTRADICTIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"radius": 0.1}, {"radius", "step_rule"}),
    ({"step_rule": "norm", "optimizer": "sgd"}, {"radius", "step_rule"}),
    ({"step_rule": "norm", "radius": 0.1}, {"optimizer", "step_rule"}),
    ({"step_rule": "norm", "radius": 0.1, "optimizer": "sgd", "learning_rate": 0.1}, {"learning_rate", "step_rule"}),
    ({"use_critic": False, "gae_lambda": 0.9}, {"gae_lambda", "use_critic"}),
    ({"use_critic": False, "critic_learning_rate": 0.1}, {"critic_learning_rate", "use_critic"}),
    ({"use_critic": False, "critic_solver": "lm"}, {"critic_solver", "use_critic"}),
    ({"critic_solver": "lm", "batch_size": 64}, {"batch_size", "critic_solver"}),
    ({"critic_solver": "lm", "critic_learning_rate": 0.1}, {"critic_learning_rate", "critic_solver"}),
    ({"critic_damping": 0.5}, {"critic_damping", "critic_solver"}),
    ({"tonga_rank": 3}, {"tonga_rank", "optimizer"}),
    ({"optimizer": "tonga", "n_steps": 4}, {"tonga_n_minibatches", "n_steps"}),
    ({"n_steps": 1}, {"n_steps", "normalize_advantage"}),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_VALUES.items() for value in values])
def test_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"- {name}: expected ") as info:
        VPGConfig(**{name: value})
    assert repr(value) in str(info.value)


@pytest.mark.parametrize(("arguments", "names"), CONTRADICTIONS)
def test_contradiction_names_both_arguments(arguments: dict[str, Any], names: set[str]) -> None:
    with pytest.raises(ConfigError) as info:
        VPGConfig(**arguments)
    text = str(info.value)
    assert all(re.search(rf"\b{name}\b", text) for name in names), text
    assert "an argument is wrong" in text


@pytest.mark.parametrize("model_class", [fastpg.NPG, fastpg.TRPO])
def test_critics_of_other_algorithms(model_class: Any) -> None:
    """Where ``learning_rate`` is the value network's, Levenberg-Marquardt has no use for it."""
    with pytest.raises(ConfigError, match=r"learning_rate: expected its default .* with critic_solver='lm'"):
        model_class("MlpPolicy", MatchingProbe, critic_solver="lm", learning_rate=0.5)
    model = model_class("MlpPolicy", [MatchingProbe] * 2, **SETTINGS, critic_solver="lm").learn(512)
    assert model.optimizer_state.scalars["critic_damping"] < 1.0
    assert model.optimizer_state.step == 0  # no step of Adam


def test_lambda_follows_the_critic_unless_it_is_given() -> None:
    assert VPGConfig().gae_lambda == GAE_LAMBDA
    assert VPGConfig(use_critic=False).gae_lambda == 1.0
    assert VPGConfig(gae_lambda=0.5).gae_lambda == 0.5


@pytest.mark.parametrize("preset", sorted(VPGConfig.presets))
def test_presets_are_consistent_and_survive_json(preset: str) -> None:
    config = VPGConfig.from_arguments({"preset": preset})
    assert VPGConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    for name, value in VPGConfig.presets[preset].items():
        assert getattr(config, name) == value


def test_every_field_has_help_and_a_source() -> None:
    for name, spec in VPGConfig.fields().items():
        assert spec.metadata["help"].endswith("."), name
        assert spec.metadata["source"], name


def test_composition_takes_every_number_from_the_config() -> None:
    update = vpg(VPGConfig(learning_rate="lin_0.5", critic_learning_rate=0.25, batch_size=32, n_critic_updates=7))
    assert isinstance(update, ScheduledUpdate)
    assert update.learning_rate == LinearSchedule(0.5)
    assert isinstance(update.update.direction, AdamDirection)
    critic = update.update.critic
    assert isinstance(critic, AdamCritic)
    assert (critic.learning_rate, critic.batch_size, critic.n_epochs) == (0.25, 32, 7)

    update = vpg(VPGConfig(optimizer="sgd", step_rule="norm", radius=0.3, use_critic=False, ent_coef=0.1))
    assert isinstance(update, LocalModelUpdate)
    assert (update.direction, update.radius, update.critic) == (Gradient(), NormStep(0.3), NoCritic())
    assert update.surrogate.ent_coef == 0.1

    update = vpg(
        VPGConfig(optimizer="tonga", tonga_rank=3, tonga_block="layer", critic_solver="lm", critic_damping=0.5)
    )
    assert isinstance(update, ScheduledUpdate)
    assert isinstance(update.update.direction, TongaDirection)
    assert (update.update.direction.tonga.rank, update.update.direction.tonga.block) == (3, "layer")
    assert isinstance(update.update.critic, LMCritic)
    assert update.update.critic.method.damping.initial == 0.5


def test_without_a_critic_advantages_are_discounted_returns() -> None:
    """Two environments, gamma 1/2: one terminates after the second step, one is cut by the rollout."""
    ones = np.ones((3, 2), np.float32)
    terminated = np.array([[False, False], [True, False], [False, False]])
    rollout = Rollout(
        observations=np.zeros((3, 2, 1), np.float32),
        actions=np.zeros((3, 2, 1), np.int32),
        rewards=np.array([[1, 1], [2, 1], [4, 1]], np.float32),
        terminated=terminated,
        truncated=np.zeros_like(terminated),
        values=100 * ones,
        next_values=100 * ones,
        log_probs=ones,
        valid=np.ones_like(terminated),
    )
    batch = make_batch(rollout, VPGConfig(use_critic=False, gamma=0.5, n_steps=3, n_envs=2))
    expected = [[1 + 0.5 * 2, 1.75], [2, 1.5], [4, 1]]
    np.testing.assert_allclose(batch.advantages.reshape(3, 2), expected)
    np.testing.assert_array_equal(batch.returns, batch.advantages)
    assert not batch.old_values.any()


SETTINGS: dict[str, Any] = {"n_steps": 32, "seed": 0, "policy_kwargs": {"net_arch": [16]}, "gamma": 0.9}
VARIANTS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": 0.02},
    "reinforce": {"learning_rate": 0.02, "preset": "reinforce"},
    "sgd": {"optimizer": "sgd", "learning_rate": 1.0},
    "normalized": {"preset": "normalized"},
    "tonga": {"preset": "tonga"},
    "tonga-layer": {"optimizer": "tonga", "learning_rate": 3.0, "tonga_block": "layer"},
    "lm": {"learning_rate": 0.02, "critic_solver": "lm"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns_which_action_matches(variant: str) -> None:
    model = fastpg.VPG("MlpPolicy", [MatchingProbe] * 4, **{**SETTINGS, **VARIANTS[variant]}).learn(8_000)
    actions, _ = model.predict(np.array([[-1.0], [1.0]], np.float32), deterministic=True)
    assert actions.tolist() == [0, 1]


def test_gaussian_mean_moves_to_the_target() -> None:
    model = fastpg.VPG("MlpPolicy", [ContinuousTargetProbe] * 4, **{**SETTINGS, "learning_rate": 0.02}).learn(16_000)
    action, _ = model.predict(np.zeros(1, np.float32), deterministic=True)
    assert action == pytest.approx([0.5], abs=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_in_pieces_and_through_a_file_is_training_in_one(variant: str, tmp_path: Path) -> None:
    arguments = {**SETTINGS, **VARIANTS[variant]}
    steps = 4 * 32 * 2
    whole = fastpg.VPG("MlpPolicy", [ActionRewardProbe] * 4, **arguments).learn(2 * steps)
    half = fastpg.VPG("MlpPolicy", [ActionRewardProbe] * 4, **arguments).learn(steps)
    half.save(tmp_path / "half.fastpg")
    loaded = fastpg.load(tmp_path / "half.fastpg", [ActionRewardProbe] * 4)
    assert isinstance(loaded, fastpg.VPG)
    loaded.learn(steps, reset_num_timesteps=False)
    np.testing.assert_array_equal(loaded.policy.params, whole.policy.params)
    for name, array in whole.optimizer_state.memory.items():
        np.testing.assert_array_equal(loaded.optimizer_state.memory[name], array)
    assert loaded.optimizer_state.scalars == whole.optimizer_state.scalars
