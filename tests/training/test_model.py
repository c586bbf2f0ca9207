"""The model as users hold it: construction, prediction, environments, parameters, files."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import fastpg
from fastpg import machine
from fastpg.algorithms.config import OnPolicyConfig
from fastpg.algorithms.natural import NaturalGradientConfig
from fastpg.algorithms.npg import NPGConfig
from fastpg.algorithms.ppo import PPOConfig
from fastpg.algorithms.trpo import TRPOConfig
from fastpg.algorithms.vpg import VPGConfig
from fastpg.training.agent import Agent
from fastpg.training.checkpoint import save_checkpoint
from fastpg.training.space_json import space_from_json, space_to_json
from tests.envs import ScriptedEnv, scripted_fns
from tests.training.tools import N_ENVS, N_SAMPLES, fingerprint, small_model

N_PARAMS = small_model().policy.layout.n_params
HAS_MODES = hasattr(gym.vector, "AutoresetMode")  # Gymnasium >= 1.1


class SpaceEnv(gym.Env):
    """Random observations of one space, any actions of another; episodes of four steps."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.n_steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.n_steps += 1
        return self.observation_space.sample(), 1.0, self.n_steps == 4, False, {}


OBSERVATION_SPACES = [
    spaces.Box(-1.0, 1.0, (3,), np.float32),
    spaces.Box(-1.0, np.inf, (2, 2), np.float64),
    spaces.Box(-1.0, 1.0, (), np.float32),
    spaces.Box(np.array([-1, 0], np.int16), np.array([1, 9], np.int16), dtype=np.int16),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(3),
]
ACTION_SPACES = [
    spaces.Discrete(3),
    spaces.Discrete(3, start=1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(2),
    spaces.Box(-0.01, 0.01, (2,), np.float32),
    spaces.Box(-1.0, 1.0, (2, 1), np.float64),
]
PAIRS = [(space, spaces.Discrete(2)) for space in OBSERVATION_SPACES] + [
    (OBSERVATION_SPACES[0], space) for space in ACTION_SPACES
]


# --- construction ---------------------------------------------------------------------------------------------------


def test_signature_and_docstring_come_from_the_config() -> None:
    parameters = inspect.signature(fastpg.PPO).parameters
    assert list(parameters) == ["policy", "env", *PPOConfig.fields()]
    assert parameters["n_steps"].default == 2048
    assert parameters["clip_range"].kind is inspect.Parameter.KEYWORD_ONLY
    for name in parameters:
        assert re.search(rf"^    {name}: ", fastpg.PPO.__doc__, re.MULTILINE), name


def test_bad_arguments_are_reported_together_before_anything_is_made() -> None:
    with pytest.raises(fastpg.ConfigError) as info:
        fastpg.PPO("MlpPolicy", "CartPole-v1", n_steps=-1, gama=0.9, clip_range=0, device="cuda")
    for line in ("n_steps: expected", "did you mean 'gamma'?", "clip_range: expected", "device: expected"):
        assert line in str(info.value)


@pytest.mark.parametrize("policy", ["CnnPolicy", "MlpLstmPolicy", object, None])
def test_other_policies_are_refused(policy: Any) -> None:
    with pytest.raises(fastpg.ConfigError, match="policy: expected 'MlpPolicy'"):
        fastpg.PPO(policy, "CartPole-v1")


def test_unsupported_space_is_an_error_at_construction() -> None:
    env = SpaceEnv(spaces.Dict(a=spaces.Discrete(2)), spaces.Discrete(2))
    with pytest.raises(fastpg.SpaceError, match="FlattenObservation"):
        fastpg.PPO("MlpPolicy", env)


@pytest.mark.parametrize(
    ("config_class", "arguments"),
    [
        (PPOConfig, {"n_steps": 10**9}),
        (PPOConfig, {"n_steps": 10**6, "n_envs": 2**16}),
        (PPOConfig, {"policy_kwargs": {"net_arch": [65536] * 9}}),
        (TRPOConfig, {"n_steps": 10**7, "n_envs": 8}),
        (VPGConfig, {"optimizer": "tonga", "tonga_rank": 10**5, "n_steps": 1000}),
        (NPGConfig, {"preset": "tonga", "tonga_rank": 10**6, "tonga_block": "layer", "n_steps": 1000}),
    ],
    ids=str,
)
def test_model_beyond_the_memory_is_an_error_at_construction(
    monkeypatch: pytest.MonkeyPatch, config_class: type[OnPolicyConfig], arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 64 * 2**30)
    config = config_class.from_arguments({**arguments, "seed": 0})
    text = r"expected a model for the 64 GiB of memory that are available, got .* Fix: lower n_steps"
    with pytest.raises(fastpg.ConfigError, match=text) as caught:
        Agent.create(config, spaces.Box(-1.0, 1.0, (4,)), spaces.Discrete(2))
    assert isinstance(caught.value, MemoryError)
    assert ("activations of" in str(caught.value)) == issubclass(config_class, NaturalGradientConfig)
    assert ("tonga_rank" in str(caught.value)) == ("tonga_rank" in arguments)


def test_unavailable_backend_is_an_error_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPG_BACKEND", "fortran")
    with pytest.raises(fastpg.ConfigError, match="reference"):
        small_model(backend=None)


@pytest.mark.parametrize(
    ("env", "arguments", "n_envs"),
    [
        (lambda: "CartPole-v1", {"n_envs": 3}, 3),
        (ScriptedEnv, {}, 1),
        (lambda: scripted_fns(4), {}, 4),
        (lambda: gym.vector.SyncVectorEnv(scripted_fns(2)), {}, 2),
        (lambda: lambda: ScriptedEnv(3), {"n_envs": 2}, 2),
    ],
    ids=["id", "env", "list", "vector", "callable"],
)
def test_every_form_of_environment(env: Any, arguments: dict[str, Any], n_envs: int) -> None:
    model = small_model(env(), **arguments)
    assert (model.n_envs, model.get_env().num_envs) == (n_envs, n_envs)
    model.learn(8 * n_envs)
    assert model.num_timesteps >= 8 * n_envs


def test_vector_environment_without_a_number_is_named() -> None:
    class Unfinished(gym.vector.VectorEnv):
        """Sets nothing."""

    with pytest.raises(fastpg.ConfigError, match="expected a vector environment with the attribute num_envs"):
        small_model(Unfinished())


@pytest.mark.parametrize("n_envs", [1, 3])
def test_number_of_environments_has_to_agree(n_envs: int) -> None:
    for env in (scripted_fns(2), gym.vector.SyncVectorEnv(scripted_fns(2))):
        with pytest.raises(fastpg.ConfigError, match="n_envs: expected 2, the number of environments in env, got"):
            small_model(env, n_envs=n_envs)


def test_arguments_are_readable_attributes() -> None:
    model = small_model(gamma=0.9)
    assert (model.gamma, model.n_steps, model.batch_size, model.device) == (0.9, 8, 8, "auto")
    with pytest.raises(AttributeError):
        model.gamma = 0.5


def test_seed_is_drawn_and_kept_where_none_is_given() -> None:
    first, second = (small_model(seed=None) for _ in range(2))
    assert first.seed != second.seed
    again = small_model(seed=first.seed)
    np.testing.assert_array_equal(first.policy.params, again.policy.params)


def test_warnings_point_at_the_line_of_the_user() -> None:
    env = SpaceEnv(spaces.Box(-1, 1, (2,)), spaces.Box(-np.inf, np.inf, (1,)))
    with pytest.warns(UserWarning) as caught:  # noqa: PT030 - both are looked at below
        fastpg.PPO("MlpPolicy", env, n_steps=100)
    texts = [str(warning.message) for warning in caught]
    assert [text.split()[0] for text in texts] == ["batch_size=64", "action"]
    assert {warning.filename for warning in caught} == {__file__}


# --- learn ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("goal", "n_steps"), [(0, 0), (1, 16), (16, 16), (17, 32), (32.0, 32), (np.int64(3), 16)])
def test_total_timesteps_is_rounded_up_to_iterations(goal: Any, n_steps: int) -> None:
    assert small_model().learn(goal).num_timesteps == n_steps


@pytest.mark.parametrize("goal", [-1, 1.5, True, "100", None, np.nan, np.inf, [100]])
def test_bad_total_timesteps(goal: Any) -> None:
    with pytest.raises(fastpg.ConfigError, match="total_timesteps: expected a whole number >= 0"):
        small_model().learn(goal)


def test_learn_counts_on_or_from_zero() -> None:
    model = small_model().learn(N_SAMPLES)
    model.learn(N_SAMPLES, reset_num_timesteps=False)
    assert (model.num_timesteps, model.total_timesteps, model.iteration) == (32, 32, 2)
    model.learn(N_SAMPLES)
    assert (model.num_timesteps, model.total_timesteps, model.iteration, model.n_updates) == (16, 16, 3, 6)


def test_reset_forgets_finished_episodes() -> None:
    model = small_model(scripted_fns(2)).learn(4 * N_SAMPLES)
    n_before = len(model.ep_info_buffer)
    model.learn(N_SAMPLES)
    assert 0 < len(model.ep_info_buffer) < n_before


@pytest.mark.skipif(not HAS_MODES, reason="Gymnasium 1.0 has one mode")
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_steps_that_only_reset_are_not_counted(mode: str) -> None:
    env = gym.vector.SyncVectorEnv(scripted_fns(2), autoreset_mode=gym.vector.AutoresetMode(mode))
    seen: list[int] = []
    model = small_model(env).learn(4 * N_SAMPLES, lambda variables, _: seen.append(variables["self"].num_timesteps))
    n_steps = len(seen) * 2
    n_resets = 0 if mode == "SameStep" else model.collector.episodes.n_episodes
    assert n_steps - 2 - n_resets <= model.num_timesteps <= n_steps - max(0, n_resets - 2)
    assert seen[-1] == model.num_timesteps


def test_schedules_follow_progress() -> None:
    seen: list[float] = []

    def learning_rate(progress: float) -> float:
        seen.append(progress)
        return 1e-3 * progress

    model = small_model(learning_rate=learning_rate)
    seen.clear()
    model.learn(4 * N_SAMPLES)
    model.learn(4 * N_SAMPLES, reset_num_timesteps=False)
    model.learn(N_SAMPLES - 1)
    assert seen == [0.75, 0.5, 0.25, 0.0, 0.375, 0.25, 0.125, 0.0, 0.0]


def test_schedules_may_end_at_zero() -> None:
    model = small_model(learning_rate="lin_1e-3", clip_range="lin_0.2", clip_range_vf="lin_0.2")
    before = model.learn(N_SAMPLES).policy.params
    np.testing.assert_array_equal(model.learn(N_SAMPLES).policy.params, before)  # one iteration, at its end


def test_schedule_that_turns_bad_stops_with_the_state_kept() -> None:
    model = small_model(clip_range=lambda progress: 0.2 if progress > 0.3 else float("nan"))
    with pytest.raises(fastpg.ConfigError, match="clip_range: expected the schedule to return a finite number"):
        model.learn(4 * N_SAMPLES)
    assert model.iteration == 2


# --- predict --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:action space .* is not bounded:UserWarning")
@pytest.mark.parametrize(("observation_space", "action_space"), PAIRS, ids=str)
@pytest.mark.parametrize("is_deterministic", [True, False])
def test_spaces_train_and_predict(
    observation_space: gym.Space, action_space: gym.Space, is_deterministic: bool
) -> None:
    model = small_model(SpaceEnv(observation_space, action_space), normalize=True).learn(8)
    observations = [observation_space.sample() for _ in range(3)]
    state = object()
    action, same_state = model.predict(observations[0], state=state, deterministic=is_deterministic)
    assert action_space.contains(action)
    assert same_state is state
    actions, _ = model.predict(np.stack(observations), deterministic=is_deterministic)
    assert len(actions) == 3
    assert all(action_space.contains(action) for action in actions)
    if is_deterministic:
        np.testing.assert_allclose(actions[0], action, rtol=1e-5)


def test_predict_explains_the_tuple_of_reset() -> None:
    model = small_model()
    with pytest.raises(ValueError, match=r"observation, info = env\.reset\(\)"):
        model.predict(gym.make("CartPole-v1").reset(seed=0))


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 3), (1, 1, 4), ()])
def test_predict_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"expected shape (4,), or (n, ...) for a batch, got {shape}")):
        small_model().predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predict_refuses_non_finite_observations(value: float) -> None:
    with pytest.raises(fastpg.EnvDataError, match="at index 2"):
        small_model().predict(np.array([0, 0, value, 0], np.float32))


def test_sampled_actions_follow_the_seed() -> None:
    observations = np.zeros((64, 4), np.float32)
    first, second = (small_model() for _ in range(2))
    one, two = (model.predict(observations)[0] for model in (first, second))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, first.predict(observations)[0])


def test_predict_normalises_with_the_statistics_of_training() -> None:
    model = small_model(normalize=True).learn(4 * N_SAMPLES)
    observations = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    moments = model.normalizer.observation_moments
    normalised = np.clip((observations - moments.mean) / np.sqrt(moments.variance + 1e-8), -10, 10)
    expected = model.policy.act(normalised.astype(np.float32), deterministic=True)[:, 0]
    np.testing.assert_array_equal(model.predict(observations, deterministic=True)[0], expected)
    assert moments.count == pytest.approx(4 * N_SAMPLES + N_ENVS, abs=0.1)


# --- environments ---------------------------------------------------------------------------------------------------


def test_set_env_goes_on_with_another_environment() -> None:
    model = small_model().learn(N_SAMPLES)
    old = model.get_env()
    model.set_env("CartPole-v1")
    assert model.get_env() is not old
    model.learn(N_SAMPLES, reset_num_timesteps=False)
    assert model.num_timesteps == 2 * N_SAMPLES


def test_set_env_refuses_what_does_not_fit() -> None:
    model = small_model()
    with pytest.raises(fastpg.ConfigError, match=r"observation_space: expected Box.*\n.*action_space: expected"):
        model.set_env("Pendulum-v1")
    with pytest.raises(fastpg.ConfigError, match="expected 2 environments, as the model has, got 3"):
        model.set_env(scripted_fns(3))
    model.learn(1)


def test_model_without_environment_predicts_and_says_what_learn_needs(tmp_path: Path) -> None:
    small_model().save(tmp_path / "model.fastpg")
    model = fastpg.PPO.load(tmp_path / "model.fastpg")
    model.predict(np.zeros(4, np.float32))
    assert model.get_env() is None
    with pytest.raises(fastpg.ConfigError, match=r"no environment to train on.*set_env"):
        model.learn(1)
    model.set_env("CartPole-v1")
    assert model.learn(1).num_timesteps == N_SAMPLES


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_go_through_a_file(copied: Any) -> None:
    with pytest.raises(TypeError, match=r"A PPO model cannot be pickled or copied: .* fastpg\.load\(path, env\)"):
        copied(small_model())


def test_parameters_round_trip() -> None:
    model, other = small_model().learn(N_SAMPLES), small_model(seed=1)
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(model.policy.params, other.policy.params)
    assert other.optimizer_state.step == model.optimizer_state.step > 0
    assert set(model.get_parameters()["policy"]) == {
        f"{net}/{layer}/{kind}" for net in ("policy", "value") for layer in (0, 1) for kind in ("weight", "bias")
    }


def test_part_of_the_parameters_can_be_set() -> None:
    model = small_model()
    bias = np.arange(8, dtype=np.float32)
    model.set_parameters({"policy": {"policy/0/bias": bias}}, exact_match=False)
    np.testing.assert_array_equal(model.get_parameters()["policy"]["policy/0/bias"], bias)
    np.testing.assert_array_equal(model.policy.named_parameters()["policy/0/bias"], bias)


@pytest.mark.parametrize(
    ("name", "value", "error", "text"),
    [
        ("policy/0/bias", np.full(8, np.nan), fastpg.NumericsError, "got nan"),
        ("policy/0/bias", np.zeros(9), fastpg.ConfigError, r"policy/0/bias: expected shape \(8,\), got \(9,\)"),
        ("policy/9/bias", np.zeros(8), fastpg.ConfigError, "policy/9/bias: unknown"),
        ("policy/0/bias", np.full(8, 1e300), fastpg.NumericsError, "got inf"),
        ("policy/0/bias", np.full(8, 1j), fastpg.ConfigError, "policy/0/bias: expected an array of real numbers"),
        ("policy/0/bias", ["a"] * 8, fastpg.ConfigError, "policy/0/bias: expected an array of real numbers, got list"),
        ("second_moment", np.full(N_PARAMS, -1.0), fastpg.ConfigError, "the second >= 0, .* smallest second -1"),
        ("first_moment", "zero", fastpg.ConfigError, "first_moment: expected an array of real numbers, got str"),
        ("step", np.nan, fastpg.ConfigError, r"step: expected an integer in \[0, .* got nan"),
        ("step", 2**70, fastpg.ConfigError, r"step: expected an integer in \[0, "),
    ],
)
def test_bad_parameters_change_nothing(name: str, value: Any, error: type[Exception], text: str) -> None:
    model = small_model()
    before = fingerprint(model)
    parameters = model.get_parameters()
    parameters["policy" if "/" in name else "policy.optimizer"][name] = value
    with pytest.raises(error, match=text):
        model.set_parameters(parameters)
    assert fingerprint(model) == before


@pytest.mark.parametrize("parameters", [None, 5, {"policy": 5, "policy.optimizer": {}}, {"polcy": {}}], ids=repr)
@pytest.mark.parametrize("exact_match", [True, False])
def test_what_is_no_parameters_is_refused(parameters: Any, exact_match: bool) -> None:
    with pytest.raises(fastpg.ConfigError, match="Parameters: expected"):
        small_model().set_parameters(parameters, exact_match=exact_match)


def test_missing_parameters_are_named() -> None:
    model = small_model()
    parameters = model.get_parameters()
    del parameters["policy"]["value/1/weight"]
    with pytest.raises(fastpg.ConfigError, match="value/1/weight: missing"):
        model.set_parameters(parameters)
    with pytest.raises(fastpg.ConfigError, match=r"expected the entries \['policy', 'policy.optimizer'\]"):
        model.set_parameters({"policy": {}})


# --- files ----------------------------------------------------------------------------------------------------------


def test_save_and_load_keep_every_bit(tmp_path: Path) -> None:
    model = small_model(normalize=True, learning_rate="lin_1e-3", max_grad_norm=np.inf).learn(4 * N_SAMPLES)
    model.save(tmp_path / "model.fastpg")
    loaded = fastpg.PPO.load(tmp_path / "model.fastpg", "CartPole-v1")
    assert fingerprint(loaded) == fingerprint(model)
    assert loaded.config == model.config
    assert loaded.ep_info_buffer == model.ep_info_buffer
    observations = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    for is_deterministic in (True, False):
        fresh = fastpg.PPO.load(tmp_path / "model.fastpg")
        again = fastpg.PPO.load(tmp_path / "model.fastpg")
        np.testing.assert_array_equal(
            fresh.predict(observations, deterministic=is_deterministic)[0],
            again.predict(observations, deterministic=is_deterministic)[0],
        )


def test_state_is_json() -> None:
    _, meta = small_model(normalize={"clip_obs": 5}).learn(N_SAMPLES).state_dict()
    assert json.loads(json.dumps(meta, allow_nan=False)) == meta
    assert meta["algorithm"] == "PPO"
    assert meta["env_id"] == "CartPole-v1"


def test_load_can_draw_a_new_seed(tmp_path: Path) -> None:
    small_model(seed=3).save(tmp_path / "model.fastpg")
    loaded = fastpg.load(tmp_path / "model.fastpg", "CartPole-v1", seed=None)
    assert loaded.learn(1).seed not in (None, 3)


EDITS: list[tuple[tuple[str, ...], Any]] = [
    (("config",), [1, 2]),
    (("observation_space",), 5),
    (("action_space", "n"), 2**70),
    (("progress", "update_index"), 2**40),
    (("progress", "adam_step"), -1),
    (("progress", "num_timesteps"), 1.5),
    (("collector",), "x"),
    (("collector", "action_step"), 2**56),
    (("collector", "n_rollouts"), None),
    (("collector", "episodes"), 5),
    (("collector", "episodes", "returns"), "x"),
    (("collector", "episodes", "lengths"), [None]),
    (("collector", "episodes", "successes"), 1),
]


@pytest.mark.parametrize(("place", "value"), EDITS, ids=str)
def test_edited_checkpoint_is_refused(tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
    arrays, meta = small_model().learn(N_SAMPLES).state_dict()
    edited = part = copy.deepcopy(meta)
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    save_checkpoint(tmp_path / "model.fastpg", arrays, edited)
    with pytest.raises(fastpg.CheckpointError):
        fastpg.load(tmp_path / "model.fastpg", "CartPole-v1")


def test_negative_variance_in_a_checkpoint_is_refused() -> None:
    arrays, meta = small_model(normalize=True).learn(N_SAMPLES).state_dict()
    with pytest.raises(fastpg.ConfigError, match="normaliser state: expected numbers >= 0 for return_variance"):
        fastpg.PPO.from_state({**arrays, "normalizer/return_variance": np.array([-1.0])}, meta)


def test_load_with_overrides(tmp_path: Path) -> None:
    small_model(clip_range=lambda progress: 0.2).save(tmp_path / "model.fastpg")
    lost = fastpg.PPO.load(tmp_path / "model.fastpg", "CartPole-v1")
    with pytest.raises(fastpg.ConfigError, match="clip_range was a Python function"):
        lost.learn(1)
    found = fastpg.PPO.load(tmp_path / "model.fastpg", "CartPole-v1", clip_range=0.1, n_envs=4)
    assert found.learn(1).num_timesteps == 32
    with pytest.raises(fastpg.ConfigError, match="did you mean 'gamma'"):
        fastpg.PPO.load(tmp_path / "model.fastpg", gama=0.9)
    with pytest.raises(fastpg.CheckpointError, match=r"policy/0/weight: expected shape \(4, 16\)"):
        fastpg.PPO.load(tmp_path / "model.fastpg", policy_kwargs={"net_arch": [16]})
    with pytest.raises(fastpg.ConfigError, match="its spaces differ"):
        fastpg.PPO.load(tmp_path / "model.fastpg", "Pendulum-v1")


def test_damaged_state_is_refused() -> None:
    arrays, meta = small_model().state_dict()
    with pytest.raises(fastpg.CheckpointError, match="value/0/bias: missing"):
        fastpg.PPO.from_state({name: array for name, array in arrays.items() if name != "value/0/bias"}, meta)
    with pytest.raises(fastpg.CheckpointError, match="adam/first_moment"):
        fastpg.PPO.from_state({name: array for name, array in arrays.items() if "first" not in name}, meta)
    with pytest.raises(fastpg.CheckpointError, match="expected a model of PPO, got 'TRPO'"):
        fastpg.PPO.from_state(arrays, {**meta, "algorithm": "TRPO"})
    with pytest.raises(fastpg.CheckpointError, match="num_timesteps"):
        fastpg.PPO.from_state(arrays, {**meta, "progress": {}})


@pytest.mark.parametrize("space", OBSERVATION_SPACES + ACTION_SPACES, ids=str)
def test_spaces_survive_json(space: gym.Space) -> None:
    assert space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False))) == space


@pytest.mark.parametrize("encoded", [{}, {"type": "Text"}, {"type": "Box", "shape": [2]}, {"type": "Discrete", "n": 0}])
def test_bad_space_is_refused(encoded: dict[str, Any]) -> None:
    with pytest.raises(fastpg.CheckpointError, match=r"does not describe a space|unknown space"):
        space_from_json({"start": 0, **encoded})


# --- import ---------------------------------------------------------------------------------------------------------


IMPORT = """
import sys, threading, time
import gymnasium
start = time.process_time()
import fastpg
assert not {"numba", "fastpg.training"} & set(sys.modules)
for name in fastpg.__all__:
    getattr(fastpg, name)
elapsed = time.process_time() - start
heavy = {"torch", "numba", "rich", "click", "tensorboardX", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1
assert set(fastpg.__all__) <= set(dir(fastpg))
print(elapsed)
"""


def test_import_is_light() -> None:
    result = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 1.0  # CPU seconds for every public name; others cannot lengthen them much; 0.1 alone


def test_packages_are_attributes_that_are_loaded_when_they_are_used() -> None:
    code = "import sys, fastpg; assert 'fastpg.kernels' not in sys.modules; fastpg.kernels.gae, fastpg.tabular.MDP"
    code += ", fastpg.sb3.PPO, fastpg.callbacks.EvalCallback; assert 'tabular' in dir(fastpg)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_unknown_names_of_the_package() -> None:
    with pytest.raises(AttributeError, match="module 'fastpg' has no attribute 'TRPPO'"):
        fastpg.TRPPO  # noqa: B018
