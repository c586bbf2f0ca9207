"""The models: constructors, learning, attributes, parameters, files."""

from __future__ import annotations

import importlib
import inspect
import io
import random

import gymnasium as gym
import numpy as np
import pytest

import fastpg
from fastpg.errors import CheckpointError, ConfigError
from fastpg.sb3 import A2C, PPO, TRPO
from fastpg.sb3.common.callbacks import BaseCallback
from fastpg.sb3.common.env_util import make_vec_env
from fastpg.sb3.common.evaluation import evaluate_policy
from fastpg.sb3.common.utils import LinearSchedule
from fastpg.sb3.common.vec_env import DummyVecEnv, VecNormalize
from tests.sb3.tools import CLASSES, SMALL_NET, CountingEnv, small

COMMON = "stats_window_size=100, tensorboard_log=None, policy_kwargs=None, verbose=0, seed=None, device='auto', "
SDE = "use_sde=False, sde_sample_freq=-1, rollout_buffer_class=None, rollout_buffer_kwargs=None, "
#: The constructors of stable-baselines3 and sb3-contrib 2.9.
CONSTRUCTORS = {
    PPO: "policy, env, learning_rate=0.0003, n_steps=2048, batch_size=64, n_epochs=10, gamma=0.99, gae_lambda=0.95, "
    "clip_range=0.2, clip_range_vf=None, normalize_advantage=True, ent_coef=0.0, vf_coef=0.5, max_grad_norm=0.5, "
    f"{SDE}target_kl=None, {COMMON}_init_setup_model=True",
    TRPO: "policy, env, learning_rate=0.001, n_steps=2048, batch_size=128, gamma=0.99, cg_max_steps=15, "
    "cg_damping=0.1, line_search_shrinking_factor=0.8, line_search_max_iter=10, n_critic_updates=10, gae_lambda=0.95, "
    f"{SDE}normalize_advantage=True, target_kl=0.01, sub_sampling_factor=1, {COMMON}_init_setup_model=True",
    A2C: "policy, env, learning_rate=0.0007, n_steps=5, gamma=0.99, gae_lambda=1.0, ent_coef=0.0, vf_coef=0.5, "
    f"max_grad_norm=0.5, rms_prop_eps=1e-05, use_rms_prop=True, {SDE}normalize_advantage=False, "
    f"{COMMON}_init_setup_model=True",
}


@pytest.mark.parametrize("cls", CLASSES)
def test_constructor_has_the_order_and_the_defaults(cls) -> None:
    by_place = [p for p in inspect.signature(cls).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert ", ".join(str(parameter) for parameter in by_place) == CONSTRUCTORS[cls]


def test_positional_arguments_go_where_they_belong() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", 1e-3, 32, 16, 3, 0.9, 0.8, 0.1)
    assert (model.learning_rate, model.n_steps, model.batch_size, model.n_epochs) == (1e-3, 32, 16, 3)
    assert (model.gamma, model.gae_lambda, model.clip_range(1.0)) == (0.9, 0.8, 0.1)
    model = A2C("MlpPolicy", "CartPole-v1", 1e-3, 7, 0.9)
    assert (model.learning_rate, model.n_steps, model.gamma, model.gae_lambda) == (1e-3, 7, 0.9, 1.0)
    with pytest.raises(ConfigError, match=r"PPO: expected each argument once, got learning_rate by place and by name"):
        PPO("MlpPolicy", "CartPole-v1", 1e-3, learning_rate=1e-3)
    with pytest.raises(ConfigError, match="at most 26 positional arguments, got 40"):
        PPO("MlpPolicy", "CartPole-v1", *range(38))


@pytest.mark.parametrize("cls", CLASSES)
def test_learn_counts_and_logs(cls) -> None:
    env = make_vec_env(CountingEnv, n_envs=2, seed=0)
    rows = []

    class Rows(BaseCallback):
        def _on_training_end(self) -> None:
            rows.append(dict(self.logger.name_to_value))

    model = small(cls, env)
    assert model.learn(30, Rows(), 10**6) is model
    per_iteration = 2 * model.n_steps
    assert model.num_timesteps == -(-30 // per_iteration) * per_iteration
    assert [row["r"] for row in model.ep_info_buffer] == [6.0] * len(model.ep_info_buffer)
    assert {row["l"] for row in model.ep_info_buffer} == {3}
    assert 0 < len(model.ep_success_buffer) == len(model.ep_info_buffer)
    before = model.num_timesteps
    model.learn(1, reset_num_timesteps=False)
    assert model.num_timesteps == before + per_iteration
    model.learn(1)
    assert model.num_timesteps == per_iteration
    assert model._n_updates == model.n_updates > 0


@pytest.mark.parametrize(("cls", "keys"), [(PPO, {"clip_fraction", "loss", "approx_kl"}), (A2C, {"policy_loss"})])
def test_log_keys(cls, keys) -> None:
    logger = fastpg.training.logging.Logger()
    model = small(cls, make_vec_env(CountingEnv))
    model.set_logger(logger)
    seen = {}
    logger.dump = lambda step=0: seen.update(logger.name_to_value)
    model.learn(64, log_interval=1)
    common = {"train/n_updates", "train/std", "train/explained_variance", "train/value_loss", "train/learning_rate"}
    assert common | {f"train/{key}" for key in keys} <= set(seen)
    assert seen["rollout/ep_rew_mean"] == 6.0
    assert seen["rollout/success_rate"] == pytest.approx(0.5, abs=0.1)


def test_trpo_logs_the_divergence_per_dimension() -> None:
    """sb3-contrib bounds and logs KL(new || old) / D; ours, kl_old_new, is the sum: close to D times as large."""
    env = make_vec_env(CountingEnv, n_envs=4)
    model = TRPO("MlpPolicy", env, n_steps=64, seed=0, n_critic_updates=1, gamma=0.9, normalize_advantage=True)
    seen = {}
    logger = fastpg.training.logging.Logger()
    logger.dump = lambda step=0: seen.update(logger.name_to_value)
    model.set_logger(logger)
    model.learn(256)
    assert seen["train/is_line_search_success"] == 1.0
    assert 0.0 < seen["train/kl_divergence_loss"] < model.target_kl
    assert seen["train/kl_old_new"] == pytest.approx(2 * seen["train/kl_divergence_loss"], rel=0.2)
    assert seen["train/kl_old_new"] > model.target_kl  # per dimension it is not


def test_batch_size_beyond_the_buffer_is_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"batch_size=256 is more than n_steps \* n_envs = 8"):
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=256, policy_kwargs=SMALL_NET)
    assert model.batch_size == 256
    model.learn(8)
    with pytest.warns(UserWarning, match="does not divide"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=20, batch_size=16)
    with pytest.raises(ConfigError, match="batch_size: expected an integer >= 2"):
        PPO("MlpPolicy", "CartPole-v1", batch_size=1)
    with pytest.raises(ConfigError, match=r"n_steps \* n_envs >= 2"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=1)


class ReLU:
    """Stands for torch.nn.ReLU."""


class FlattenExtractor:
    """Stands for stable-baselines3's."""


class Adam:
    """Stands for torch.optim.Adam."""


def test_policy_kwargs_take_classes_by_name() -> None:
    kwargs = {
        "activation_fn": ReLU,
        "net_arch": {"pi": [4], "vf": [5, 6]},
        "features_extractor_class": FlattenExtractor,
        "share_features_extractor": True,
        "optimizer_class": Adam,
        "optimizer_kwargs": {"eps": 1e-7, "weight_decay": 0},
    }
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs)
    assert model.policy.layout.value.sizes == (4, 5, 6, 1)
    assert model.policy.layout.policy.activation == "relu"
    a2c = A2C("MlpPolicy", "CartPole-v1", policy_kwargs={"optimizer_class": Adam}, rms_prop_eps=1e-3)
    assert a2c.use_rms_prop is False
    assert A2C("MlpPolicy", "CartPole-v1", policy_kwargs={"optimizer_kwargs": {"eps": 1.0}}).use_rms_prop is True


@pytest.mark.parametrize(
    ("policy", "arguments", "message"),
    [
        ("CnnPolicy", {}, "policy: expected 'MlpPolicy', the only kind of policy, got 'CnnPolicy'"),
        ("MlpPolicy", {"use_sde": True}, "use_sde: expected False"),
        ("MlpPolicy", {"device": "cuda"}, "device: expected one of 'auto', 'cpu'"),
        ("MlpPolicy", {"rollout_buffer_class": dict}, "rollout_buffer_class: expected None"),
        ("MlpPolicy", {"n_envs": 4}, r"n_envs: .*make_vec_env\(id, n_envs"),
        ("MlpPolicy", {"policy_kwargs": {"squash_output": True}}, "squash_output"),
        ("MlpPolicy", {"learning_rat": 1.0}, "did you mean 'learning_rate'"),
    ],
)
def test_what_is_out_of_scope_is_said(policy, arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        PPO(policy, "CartPole-v1", **arguments)


def test_names_that_are_missing_say_why() -> None:
    with pytest.raises(ImportError):
        from fastpg.sb3 import SAC  # noqa: F401
    with pytest.raises(AttributeError, match="on-policy"):
        fastpg.sb3.DQN  # noqa: B018
    with pytest.raises(AttributeError, match="images"):
        fastpg.sb3.common.vec_env.VecTransposeImage  # noqa: B018


@pytest.mark.parametrize("name", ["train", "collect_rollouts", "_setup_model"])
def test_a_training_loop_of_ones_own_is_refused(name) -> None:
    """Nobody would call it: that must not go unnoticed."""
    with pytest.raises(ConfigError, match=rf"Mine\.{name}: expected a model without it"):
        type("Mine", (PPO,), {name: lambda self: None})
    mine = type("Mine", (PPO,), {"predict": lambda self, observation: 3})
    assert mine("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16).predict(None) == 3


def test_modules_have_their_names() -> None:
    for module, names in {
        "ppo.policies": ["MlpPolicy"],
        "a2c.policies": ["MlpPolicy"],
        "trpo.policies": ["MlpPolicy"],
        "common.buffers": ["RolloutBuffer", "RolloutBufferSamples"],
        "common.type_aliases": ["GymEnv", "MaybeCallback", "Schedule"],
        "common.policies": ["ActorCriticPolicy", "BasePolicy", "MlpPolicy"],
        "common.vec_env.base_vec_env": ["VecEnvIndices", "VecEnvObs", "VecEnvStepReturn"],
        "common.vec_env.vec_check_nan": ["VecCheckNan"],
        "common.vec_env.vec_extract_dict_obs": ["VecExtractDictObs"],
        "common.vec_env.vec_frame_stack": ["VecFrameStack"],
        "common.vec_env.vec_monitor": ["VecMonitor"],
    }.items():
        found = importlib.import_module(f"fastpg.sb3.{module}")
        assert all(hasattr(found, name) for name in names)
    with pytest.raises(AttributeError, match="on-policy"):
        importlib.import_module("fastpg.sb3.common.buffers").ReplayBuffer  # noqa: B018
    assert fastpg.sb3.__version__ == fastpg.__version__


def test_environments_of_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="make_vec_env"):
        PPO("MlpPolicy", gym.make_vec("CartPole-v1", num_envs=2))
    with pytest.raises(ConfigError, match="env: expected a Gymnasium id"):
        PPO("MlpPolicy", None)
    with pytest.raises(ConfigError, match="env_id: expected an id"):
        PPO("MlpPolicy", "NoSuchEnv-v0")


def test_arguments_can_be_changed_between_updates() -> None:
    model = small(PPO)
    model.ent_coef = 0.25
    model.clip_range = lambda progress: 0.3 * progress
    model.learning_rate = 1e-2
    model.learn(16)
    assert (model.ent_coef, model.clip_range(0.5), model.lr_schedule(1.0)) == (0.25, 0.15, 1e-2)
    assert model._update.penalty.ent_coef == 0.25
    with pytest.raises(ConfigError, match="n_steps: expected to stay"):
        model.n_steps = 3
    with pytest.raises(ConfigError, match="gamma: expected a number"):
        model.gamma = 2.0
    assert model.gamma == 0.99


def test_time_limits_bootstrap() -> None:
    """Reward 2, gamma 1/2, from the first of three steps: 4 if they are cut there, 2 + 1 + 1/2 if they end."""
    ends = {}
    for truncated in (True, False):
        env = make_vec_env(lambda truncated=truncated: CountingEnv(3, truncated=truncated), n_envs=4)
        scaled = VecNormalize(env, norm_obs=True, norm_reward=False)
        model = PPO(
            "MlpPolicy", scaled, n_steps=32, batch_size=32, gamma=0.5, gae_lambda=0.9, learning_rate=1e-2, seed=0
        )
        model.learn(128 * 12)
        ends[truncated] = float(model.policy.predict_values(model._last_obs).mean())
    assert ends[True] == pytest.approx(4.0, abs=0.2)
    assert ends[False] == pytest.approx(3.5, abs=0.2)


def test_seed_makes_runs_equal_and_seeds_the_global_generators() -> None:
    def run(seed: int) -> tuple[np.ndarray, float, float]:
        model = small(PPO, "CartPole-v1", seed=seed)
        drawn = (float(np.random.rand()), random.random())  # noqa: NPY002
        return model.learn(32).policy.parameters_to_vector(), *drawn

    first, again, other = run(3), run(3), run(4)
    assert np.array_equal(first[0], again[0])
    assert first[1:] == again[1:] != other[1:]
    assert not np.array_equal(first[0], other[0])


def test_seed_of_make_vec_env_counts_where_the_model_has_none() -> None:
    starts = [small(A2C, make_vec_env("CartPole-v1", 2, seed=7), seed=None).learn(1).env for _ in range(2)]
    assert starts[0].envs[0].unwrapped.np_random_seed == 7
    seeded = small(A2C, make_vec_env("CartPole-v1", 2, seed=7), seed=100).learn(1)
    assert [env.unwrapped.np_random_seed for env in seeded.env.envs] == [100, 101]


@pytest.mark.parametrize("cls", CLASSES)
def test_save_and_load(cls, tmp_path) -> None:
    env = make_vec_env("CartPole-v1", n_envs=2, seed=0)
    model = small(cls, env, learning_rate=2e-3).learn(40)
    model.save(tmp_path / "new" / "model")
    path = tmp_path / "new" / "model.zip"
    assert path.is_file()
    observation = env.reset()
    for loaded in (cls.load(path), cls.load(tmp_path / "new" / "model", env=env), fastpg.load(path)):
        assert type(loaded) is cls
        assert loaded.learning_rate == 2e-3
        assert loaded.num_timesteps == model.num_timesteps
        assert np.array_equal(loaded.policy.parameters_to_vector(), model.policy.parameters_to_vector())
        assert np.array_equal(
            loaded.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
        )
    loaded = cls.load(path, env=make_vec_env("CartPole-v1", n_envs=4), learning_rate=1e-4)
    assert (loaded.n_envs, loaded.learning_rate) == (4, 1e-4)
    loaded.learn(10, reset_num_timesteps=False)
    assert loaded.num_timesteps > model.num_timesteps
    with pytest.raises(ConfigError, match=r"has no environment"):
        cls.load(path).learn(1)
    others = set(CLASSES) - {cls}
    with pytest.raises(CheckpointError, match="algorithm: expected a model of"):
        others.pop().load(path)


def test_save_and_load_through_files(tmp_path) -> None:
    model = small(PPO)
    buffer = io.BytesIO()
    model.save(buffer)
    buffer.seek(0)
    assert PPO.load(buffer).policy.parameters_to_vector().shape == model.policy.params.shape
    model.save(tmp_path / "x.model")
    assert (tmp_path / "x.model").is_file()
    with pytest.raises(ConfigError, match="policy_kwargs: expected"):
        PPO.load(tmp_path / "x.model", policy_kwargs={"net_arch": [9]})
    assert PPO.load(tmp_path / "x.model", policy_kwargs=SMALL_NET).policy_kwargs["net_arch"]["pi"] == [8]
    loaded = PPO.load(tmp_path / "x.model", custom_objects={"learning_rate": 0.5, "lr_schedule": None})
    assert loaded.learning_rate == 0.5
    usual = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
    loaded = PPO.load(tmp_path / "x.model", env="CartPole-v1", custom_objects=usual)
    before = loaded.policy.params.copy()
    assert np.array_equal(loaded.learn(16).policy.params, before)
    with pytest.raises(FileNotFoundError):
        PPO.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("not a model at all")
    with pytest.raises(CheckpointError, match="not a fastpg checkpoint"):
        PPO.load(tmp_path / "text")


def test_a_function_as_schedule_is_asked_for_again(tmp_path) -> None:
    model = small(PPO, learning_rate=LinearSchedule(1e-3, 1e-4, 0.5), clip_range=lambda progress: 0.1 + 0.1 * progress)
    assert model.lr_schedule(0.75) == pytest.approx(5.5e-4)
    model.learn(16)
    model.save(tmp_path / "m")
    loaded = PPO.load(tmp_path / "m", env="CartPole-v1")
    with pytest.raises(ConfigError, match="was a Python function"):
        loaded.learn(16)
    PPO.load(tmp_path / "m", env="CartPole-v1", learning_rate=1e-3, clip_range=0.2).learn(16)


def test_parameters_have_stable_baselines3_names() -> None:
    model = small(PPO, make_vec_env(CountingEnv))
    policy = model.get_parameters()["policy"]
    nets = [f"mlp_extractor.{net}_net.0.{part}" for net in ("policy", "value") for part in ("weight", "bias")]
    outputs = [f"{net}_net.{part}" for net in ("action", "value") for part in ("weight", "bias")]
    assert list(policy) == ["log_std", *nets, *outputs]
    assert policy["mlp_extractor.policy_net.0.weight"].shape == (8, 2)
    assert policy["action_net.weight"].shape == (2, 8)


@pytest.mark.parametrize("cls", CLASSES)
def test_set_parameters_takes_what_get_parameters_gives(cls, tmp_path) -> None:
    source, target = small(cls).learn(32), small(cls, seed=9)
    given = source.get_parameters()
    target.set_parameters(given)
    again = target.get_parameters()
    assert all(np.array_equal(given["policy"][name], again["policy"][name]) for name in given["policy"])
    for index, entry in given["policy.optimizer"]["state"].items():
        assert all(np.array_equal(entry[key], again["policy.optimizer"]["state"][index][key]) for key in entry)
    source.save(tmp_path / "m")
    other = small(cls, seed=10)
    other.set_parameters(tmp_path / "m")
    assert np.array_equal(other.policy.params, source.policy.params)


def test_set_parameters_refuses_what_does_not_fit() -> None:
    model = small(PPO)
    before = model.policy.params.copy()
    given = model.get_parameters()
    bias = given["policy"].pop("value_net.bias")
    with pytest.raises(ConfigError, match=r"value_net.bias: missing"):
        model.set_parameters(given)
    with pytest.raises(ConfigError, match=r"entries \['policy', 'policy.optimizer'\], got \['policy'\]"):
        model.set_parameters({"policy": {}})
    model.set_parameters({"policy": {"value_net.bias": bias + 1.0}}, exact_match=False)
    assert np.count_nonzero(model.policy.params != before) == 1
    with pytest.raises(ConfigError, match=r"value_net.bias: expected numbers of shape \(1,\)"):
        model.set_parameters({"policy": {"value_net.bias": np.zeros(2)}}, exact_match=False)


def test_set_env() -> None:
    model = small(PPO, make_vec_env("CartPole-v1", 2))
    env = make_vec_env("CartPole-v1", 2)
    model.set_env(env)
    assert model.get_env() is model.env is env
    model.learn(32)
    with pytest.raises(ConfigError, match="expected 2 environments"):
        model.set_env(make_vec_env("CartPole-v1", 3))
    with pytest.raises(ConfigError, match="spaces differ"):
        model.set_env(make_vec_env("Acrobot-v1", 2))


def test_a_single_environment_gets_a_monitor() -> None:
    model = small(PPO, CountingEnv())
    assert isinstance(model.env, DummyVecEnv)
    model.learn(16)
    assert model.ep_info_buffer[0]["r"] == 6.0
    assert model._last_obs.shape == (1, 2)


def test_learning_cartpole() -> None:
    env = make_vec_env("CartPole-v1", n_envs=8, seed=2)
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=256, learning_rate=1e-3, seed=2)
    model.learn(20_000)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=20)
    assert mean > 150.0
