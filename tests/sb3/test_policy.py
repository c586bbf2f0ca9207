"""The policy's members, and models that stable-baselines3 itself has saved."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastpg.errors import CheckpointError, ConfigError
from fastpg.sb3 import A2C, PPO, TRPO
from fastpg.sb3.common.env_util import make_vec_env
from fastpg.sb3.torch_file import read_torch_file
from tests.sb3.tools import CountingEnv, small

REFERENCES = Path(__file__).parents[1] / "references"
MODELS = {
    "ppo_pendulum": (PPO, "Pendulum-v1"),
    "trpo_cartpole": (TRPO, "CartPole-v1"),
    "a2c_cartpole": (A2C, "CartPole-v1"),
}


@pytest.fixture(params=MODELS)
def saved(request):
    """(class, id, path of the zip, what it predicts)."""
    cls, env_id = MODELS[request.param]
    with np.load(REFERENCES / f"sb3_model_{request.param}.npz") as file:
        return cls, env_id, REFERENCES / f"sb3_model_{request.param}.zip", dict(file)


@pytest.mark.parametrize("with_env", [True, False])
def test_a_model_of_stable_baselines3_is_read(saved, with_env) -> None:
    cls, env_id, path, expected = saved
    model = cls.load(path, env=make_vec_env(env_id) if with_env else None)
    for name, array in model.policy.state_dict().items():
        assert np.array_equal(array, expected[name])
    observations = expected["observations"]
    actions = model.predict(observations, deterministic=True)[0]
    np.testing.assert_allclose(actions, expected["actions"], rtol=1e-5, atol=1e-6)
    values, log_probs, entropies = model.policy.evaluate_actions(observations, expected["actions"])
    np.testing.assert_allclose(values, expected["values"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_probs, expected["log_probs"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(entropies, expected["entropies"], rtol=1e-5)
    assert model.num_timesteps == -(-64 // model.n_steps) * model.n_steps
    if with_env:
        model.learn(8, reset_num_timesteps=False)
        assert model.num_timesteps > 64


def test_arguments_and_moments_of_stable_baselines3_are_read(saved) -> None:
    cls, _, path, expected = saved
    model = cls.load(path)
    entries = model.get_parameters()["policy.optimizer"]["state"]
    for key, moment in expected.items():
        if key.startswith("moment/") and not key.endswith(("step", "momentum_buffer", "grad_avg")):
            _, index, name = key.split("/")
            assert np.array_equal(entries[int(index)][name], moment)
    if cls is PPO:
        assert (model.gamma, model.n_steps, model.batch_size, model.clip_range(1.0)) == (0.9, 32, 16, 0.2)
        assert model.policy.layout.policy.sizes == (3, 6, 5, 1)
        assert model.policy.layout.policy.activation == "relu"
    other = small(cls, MODELS["ppo_pendulum" if cls is PPO else "a2c_cartpole"][1], policy_kwargs=model.policy_kwargs)
    other.set_parameters(path)
    assert np.array_equal(other.policy.params, model.policy.params)


def test_another_algorithm_or_environment_is_refused(saved) -> None:
    cls, _, path, _ = saved
    other = A2C if cls is PPO else PPO
    with pytest.raises(CheckpointError, match=f"expected a model of {other.__name__}, got one of {cls.__name__}"):
        other.load(path)
    with pytest.raises(CheckpointError, match="does not fit"):
        cls.load(path, env="Acrobot-v1")


def torch_zip(pickle: bytes, n_numbers: int = 4) -> bytes:
    """A file as torch.save writes it, around a description of one's own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", pickle)
        file.writestr("archive/data/0", np.arange(n_numbers, dtype="<f4").tobytes())
    return buffer.getvalue()


def tensor_pickle(offset: int = 0, shape: bytes = b"K\x02K\x02\x86", strides: bytes = b"K\x02K\x01\x86") -> bytes:
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK" + bytes([offset]) + shape + strides + b"\x89}tR."
    )


def test_tensors_are_read_with_their_strides() -> None:
    assert read_torch_file(torch_zip(tensor_pickle()), "x").tolist() == [[0, 1], [2, 3]]
    assert read_torch_file(torch_zip(tensor_pickle(strides=b"K\x01K\x02\x86")), "x").tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    ("pickle", "message"),
    [
        (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", r"a call of os\.system"),
        (b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.", r"a call of builtins\.eval"),
        (b"(S'x'\nios\nsystem\n.", "instruction"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "instruction NEWOBJ"),
        (tensor_pickle(offset=1), "a tensor beyond its numbers"),
        (tensor_pickle(shape=b"K\xffK\xff\x86"), "a tensor beyond its numbers"),
        (tensor_pickle(shape=b"K\xffK\xff\x86", strides=b"K\x00K\x00\x86"), "a tensor beyond its numbers"),
        (b"\x80\x02K\x01", "damaged|no end"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"", "damaged|no end"),
    ],
)
def test_nothing_runs_from_a_file(pickle, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_torch_file(torch_zip(pickle), "x")


def test_numbers_cannot_be_multiplied() -> None:
    """A small file would take much memory."""
    tensors = b"\x80\x02(" + tensor_pickle(shape=b"K\x40K\x40\x86")[2:-1] * 2000 + b"t."
    with pytest.raises(CheckpointError, match="the same numbers again and again"):
        read_torch_file(torch_zip(tensors, n_numbers=64 * 64), "x")


def test_a_damaged_zip_is_an_error(tmp_path) -> None:
    data = (REFERENCES / "sb3_model_ppo_pendulum.zip").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        damaged = bytearray(data)
        if number % 2:
            damaged = damaged[: int(rng.integers(4, len(data)))]
        else:
            damaged[int(rng.integers(4, len(data)))] ^= 0xFF
        (tmp_path / "m.zip").write_bytes(damaged)
        try:
            model = PPO.load(tmp_path / "m.zip")
        except (CheckpointError, ConfigError):
            continue
        assert np.isfinite(model.policy.params).all()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({":type:": "<class 'gymnasium.spaces.discrete.Discrete'>", "n": 10**9}, "does not fit: expected"),
        (
            {":type:": "<class 'x.Box'>", "_shape": [10**10], "dtype": "float32", "low": "[-1. ... ]", "high": "1"},
            "does not say its spaces in words",
        ),
    ],
    ids=["discrete", "box"],
)
def test_a_description_takes_no_memory_that_the_file_does_not_hold(tmp_path, space, message) -> None:
    source, target = REFERENCES / "sb3_model_ppo_pendulum.zip", tmp_path / "m.zip"
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(target, "w") as written:
        for name in given.namelist():
            content = given.read(name)
            if name == "data":
                content = json.dumps({**json.loads(content), "observation_space": space}).encode()
            written.writestr(name, content)
    with pytest.raises(CheckpointError, match=message):
        PPO.load(target)


def test_policy_members() -> None:
    model = small(PPO, make_vec_env(CountingEnv))
    policy = model.policy
    observations = np.ones((5, 2), np.float32)
    actions, values, log_probs = policy.forward(observations)
    assert (actions.shape, values.shape, log_probs.shape) == ((5, 2), (5, 1), (5,))
    again = policy.evaluate_actions(observations, actions)
    np.testing.assert_allclose(again[1], log_probs, rtol=1e-6)
    assert values.detach().cpu().numpy().shape == (5, 1)
    tensor, is_batch = policy.obs_to_tensor(np.ones(2, np.float32))
    assert (tensor.shape, is_batch) == ((1, 2), False)
    mode = policy.get_distribution(tensor).mode()
    assert np.array_equal(model.predict(np.ones(2, np.float32), deterministic=True)[0], np.clip(mode[0], -1, 1))
    assert policy.log_std.shape == (2,)
    assert policy.scale_action(np.array([1.0, -1.0])).tolist() == [1.0, -1.0]
    assert policy.unscale_action(policy.scale_action(np.array([0.5, -0.25]))).tolist() == [0.5, -0.25]
    with pytest.raises(ConfigError, match="use_sde"):
        policy.reset_noise()


def test_probabilities_of_choices() -> None:
    policy = small(PPO, "CartPole-v1").policy
    distribution = policy.get_distribution(np.ones((3, 4), np.float32))
    np.testing.assert_allclose(distribution.probs.sum(axis=1), 1.0, rtol=1e-6)
    log_probs = distribution.log_prob(np.ones(3, np.int64))
    np.testing.assert_allclose(np.exp(log_probs), distribution.distribution.probs[:, 1], rtol=1e-5)
    np.testing.assert_allclose(distribution.entropy(), np.log(2), atol=1e-2)
    with pytest.raises(AttributeError):
        policy.log_std  # noqa: B018


def test_vectors_and_dicts_of_parameters_go_round(tmp_path) -> None:
    model, other = small(PPO), small(PPO, seed=5)
    other.policy.load_from_vector(model.policy.parameters_to_vector())
    assert np.array_equal(other.policy.params, model.policy.params)
    other.learn(16)
    assert not np.array_equal(other.policy.params, model.policy.params)
    other.policy.load_state_dict(model.policy.state_dict())
    assert np.array_equal(other.optimizer_state.params, model.policy.params)
    model.policy.save(tmp_path / "policy.pth")
    fresh = small(PPO, seed=6)
    fresh.policy.load_parameters(tmp_path / "policy.pth")
    assert np.array_equal(fresh.policy.params, model.policy.params)
    with pytest.raises(ConfigError, match="vector: expected shape"):
        model.policy.load_from_vector(np.zeros(3))


def test_predict_takes_one_observation_or_many() -> None:
    model = small(PPO, "CartPole-v1")
    action, state = model.predict(np.zeros(4, np.float32))
    assert (np.shape(action), state) == ((), None)
    assert model.predict(np.zeros((3, 4), np.float32), deterministic=True)[0].shape == (3,)
    assert model.policy.predict(np.zeros((3, 4), np.float32))[0].shape == (3,)
    with pytest.raises(ValueError, match="tuple"):
        model.predict(model.env.envs[0].reset())


def test_networks_are_functions_of_arrays() -> None:
    model = small(PPO, "CartPole-v1", policy_kwargs={"net_arch": {"pi": [8, 6], "vf": [5]}, "activation_fn": "relu"})
    policy = model.policy
    observations = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    latent_pi, latent_vf = policy.mlp_extractor(policy.extract_features(observations))
    assert (latent_pi.shape, latent_vf.shape) == ((7, 6), (7, 5))
    assert (policy.mlp_extractor.latent_dim_pi, policy.mlp_extractor.latent_dim_vf) == (6, 5)
    np.testing.assert_allclose(policy.value_net(latent_vf), policy.predict_values(observations), atol=1e-6)
    shifted = np.exp(policy.action_net(policy.mlp_extractor.forward_actor(observations)))
    probabilities = policy.get_distribution(observations).probs
    np.testing.assert_allclose(shifted / shifted.sum(axis=1, keepdims=True), probabilities, rtol=1e-5)
    assert np.array_equal(policy.mlp_extractor.forward_critic(observations), latent_vf)
    assert "Linear(in_features=4, out_features=8), ReLU()" in repr(policy)
    linear = small(PPO, "CartPole-v1", policy_kwargs={"net_arch": []}).policy
    assert linear.action_net(linear.mlp_extractor.policy_net(observations)).shape == (7, 2)
    with pytest.raises(ValueError, match="read-only"):
        policy.action_net.bias[:] = 1.0


def test_parameters_one_by_one() -> None:
    policy = small(PPO).policy
    named = dict(policy.named_parameters())
    assert list(named) == list(policy.state_dict())
    assert sum(parameter.numel() for parameter in policy.parameters()) == policy.layout.n_params
    bias = named["action_net.bias"]
    assert np.array_equal(bias.clone().detach().cpu().numpy(), policy.state_dict()["action_net.bias"])
    bias.clone()[:] = 1.0  # a copy: the policy stays
    assert not named["action_net.bias"].any()
    assert policy.eval().train().to("cpu") is policy
    assert (policy.device, policy.device.type) == ("cpu", "cpu")


@pytest.mark.parametrize("cls", [PPO, A2C])
def test_optimizer_of_the_policy(cls) -> None:
    model, other = small(cls, learning_rate=lambda progress: 1e-3 * progress), small(cls, seed=3)
    assert model.policy.optimizer.param_groups[0]["lr"] == 1e-3
    assert model.policy.optimizer.state_dict()["state"] == {}
    model.learn(64)
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(0.0)
    before = other.policy.params
    other.policy.optimizer.load_state_dict(model.policy.optimizer.state_dict())
    assert np.array_equal(other.optimizer_state.second_moment, model.optimizer_state.second_moment)
    assert other.optimizer_state.step == model.optimizer_state.step > 0
    assert np.array_equal(other.policy.params, before)
    with pytest.raises(ConfigError, match="expected the state_dict of an optimiser"):
        other.policy.optimizer.load_state_dict({})
