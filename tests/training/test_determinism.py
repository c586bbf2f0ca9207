"""The same seed gives the same bits: twice, with any number of threads, in one piece or in two."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import fastpg
from fastpg.callbacks import CheckpointCallback
from fastpg.kernels import backends
from fastpg.training.checkpoint import load_checkpoint
from tests.envs import ContinuousTargetProbe, MatchingProbe, scripted_fns
from tests.training.tools import N_SAMPLES, fingerprint, small_model

ROOT = Path(__file__).parents[2]
HAS_MODES = hasattr(gym.vector, "AutoresetMode")  # Gymnasium >= 1.1


def make(env: Any = "CartPole-v1", **changes: Any) -> fastpg.PPO:
    return small_model(env, normalize=True, **changes)


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_same_seed_same_bits(backend: str, env: str) -> None:
    first, second = (make(env, backend=backend).learn(4 * N_SAMPLES) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize("backend", backends.available())
def test_number_of_threads_does_not_matter(backend: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_threads=2 is more than")
        one, two = (make(backend=backend, n_threads=n_threads).learn(4 * N_SAMPLES) for n_threads in (1, 2))
    np.testing.assert_array_equal(one.policy.params, two.policy.params)
    np.testing.assert_array_equal(one.optimizer_state.second_moment, two.optimizer_state.second_moment)


TRAINING = """
import sys
sys.path.append({root!r})
import fastpg
from tests.training.tools import fingerprint, small_model
nets = {{"policy_kwargs": {{"net_arch": [64, 32, 20]}}, "n_envs": 5, "n_steps": 40, "batch_size": 72}}
ppo = [small_model(env, backend="native", **nets).learn(400) for env in ("CartPole-v1", "Pendulum-v1")]
relu = {{"net_arch": [33], "activation_fn": "relu"}}
ppo.append(small_model("Pendulum-v1", backend="native", **{{**nets, "policy_kwargs": relu}}).learn(400))
trpo = [
    fastpg.TRPO("MlpPolicy", env, backend="native", n_envs=5, n_steps=40, seed=0).learn(400)
    for env in ("CartPole-v1", "Pendulum-v1")
]
print([fingerprint(model) for model in (*ppo, *trpo)])
"""


def printed(command: list[str], environment: dict[str, str]) -> str:
    """What a process prints."""
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


needs_extension = pytest.mark.skipif(
    importlib.util.find_spec("fastpg._native") is None, reason="no compiled extension here"
)


@pytest.fixture
def _both_instruction_sets() -> None:
    """AVX2 and AVX-512 (real, or emulated with FASTPG_EMULATE_AVX512)."""
    available = importlib.import_module("fastpg._native").build_info()["isa_available"]
    if not {"avx2", "avx512"} <= set(available):
        pytest.skip(f"this build or processor has {', '.join(available)}")


@needs_extension
@pytest.mark.usefixtures("_both_instruction_sets")
def test_instruction_set_does_not_matter() -> None:
    """Whole runs of PPO and TRPO with AVX2 and AVX-512."""
    command = [sys.executable, "-c", TRAINING.format(root=str(ROOT))]
    digests = [printed(command, {"FASTPG_ISA": isa}) for isa in ("avx2", "avx512")]
    assert digests[0].count(",") == 4
    assert digests[0] == digests[1]


BITS = f"import sys; sys.path.append({str(ROOT)!r}); from tests.training.bits import main; main(sys.argv[1:])"


def digests_of_trainings(inputs: Path, environment: dict[str, str]) -> dict[str, str]:
    """Of ``tests.training.bits``, in a process of its own."""
    return json.loads(printed([sys.executable, "-c", BITS, "--inputs", str(inputs)], environment))


def older_processor() -> dict[str, str]:
    """What makes NumPy, its BLAS and the kernels compute as on another processor: without what NumPy finds here."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    environment = {"NPY_DISABLE_CPU_FEATURES": " ".join(found), "OPENBLAS_CORETYPE": "Nehalem"}
    available = importlib.import_module("fastpg._native").build_info()["isa_available"]
    return environment | ({"FASTPG_ISA": "avx2"} if "avx2" in available else {})


@needs_extension
def test_processor_does_not_matter(tmp_path: Path) -> None:
    """Every algorithm, from the same initial parameters, as on this processor and as on an older one."""
    inputs = tmp_path / "parameters.npz"
    assert digests_of_trainings(inputs, {}) == digests_of_trainings(inputs, older_processor())


@needs_extension
def test_threads_do_not_matter_to_any_algorithm(tmp_path: Path) -> None:
    found = digests_of_trainings(tmp_path / "parameters.npz", {})
    pairs = {name: found[name.replace("=2", "=1")] for name in found if name.endswith("n_threads=2")}
    assert len(pairs) == 9
    assert pairs == {name: found[name] for name in pairs}


def test_other_seed_other_bits() -> None:
    first, second = (make(seed=seed).learn(N_SAMPLES) for seed in (0, 1))
    assert not np.array_equal(first.policy.params, second.policy.params)


def test_global_random_state_is_neither_read_nor_changed() -> None:
    np.random.seed(1)  # noqa: NPY002 - the legacy state is what must not change
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = make().learn(2 * N_SAMPLES)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert fingerprint(make().learn(2 * N_SAMPLES)) == fingerprint(first)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("pieces", [(10, 10), (1, 19), (7, 7, 6)])
def test_training_in_pieces_is_training_in_one(env: str, pieces: tuple[int, ...]) -> None:
    whole = make(env).learn(20 * N_SAMPLES)
    model = make(env)
    for n_iterations in pieces:
        model.learn(n_iterations * N_SAMPLES, reset_num_timesteps=False)
    assert fingerprint(model) == fingerprint(whole)


def test_loaded_model_goes_on_as_the_saved_one_in_new_environments(tmp_path: Path) -> None:
    """With environments that restart alike, a checkpoint loses nothing: parameters, moments, counters, statistics."""
    model = make().learn(10 * N_SAMPLES)
    model.save(tmp_path / "model.fastpg")
    loaded = fastpg.PPO.load(tmp_path / "model.fastpg", "CartPole-v1")
    model.set_env("CartPole-v1")
    for each in (model, loaded):
        each.learn(10 * N_SAMPLES, reset_num_timesteps=False)
    assert fingerprint(model) == fingerprint(loaded)


class StatefulWalk(gym.Env):
    """A random walk that can be taken down and set up again; episodes of random length."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.standard_normal(2)
        return self.position.astype(np.float32), {}

    def step(self, action):
        self.position += 0.1 * self.np_random.standard_normal(2) + 0.05 * (2 * action - 1)
        ended = bool(self.np_random.random() < 0.1)
        return self.position.astype(np.float32), float(-abs(self.position).sum()), ended, False, {}

    def get_state(self) -> dict[str, np.ndarray]:
        generator = json.dumps(self.np_random.bit_generator.state).encode()
        return {"position": self.position.copy(), "generator": np.frombuffer(generator, np.uint8)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.position = state["position"].copy()
        self.np_random = np.random.default_rng()
        self.np_random.bit_generator.state = json.loads(state["generator"].tobytes())


@pytest.mark.parametrize("mode", ["serial", *(("SameStep", "NextStep") if HAS_MODES else ())])
def test_loaded_model_goes_on_in_the_middle_of_episodes(tmp_path: Path, mode: str) -> None:
    """With environments that offer their state, 10 + 10 iterations through a file are 20, bit for bit."""

    def environment() -> Any:
        fns = [StatefulWalk, StatefulWalk, StatefulWalk]
        return fns if mode == "serial" else StatefulSync(fns, autoreset_mode=gym.vector.AutoresetMode(mode))

    whole = make(environment()).learn(20 * 24)
    make(environment()).learn(7 * 24).save(tmp_path / "first.fastpg")
    second = fastpg.PPO.load(tmp_path / "first.fastpg", environment())
    while second.num_timesteps < whole.num_timesteps:
        second.learn(1, reset_num_timesteps=False)
    assert fingerprint(second) == fingerprint(whole)
    with pytest.warns(UserWarning, match="cannot take them over"):
        fastpg.PPO.load(tmp_path / "first.fastpg", [StatefulWalk])


class StatefulSync(gym.vector.SyncVectorEnv):
    """Gymnasium's vector environment with the state of its parts."""

    def get_state(self) -> dict[str, np.ndarray]:
        parts = {f"{i}.{name}": array for i, env in enumerate(self.envs) for name, array in env.get_state().items()}
        return parts | {"autoreset": self._autoreset_envs.copy()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self._autoreset_envs = state["autoreset"].copy()
        for i, env in enumerate(self.envs):
            env.set_state({name: state[f"{i}.{name}"] for name in ("position", "generator")})


def test_checkpoint_within_a_rollout_begins_new_episodes(tmp_path: Path) -> None:
    model = make([StatefulWalk, StatefulWalk])
    model.learn(2 * N_SAMPLES, CheckpointCallback(11, tmp_path))
    arrays, _ = load_checkpoint(tmp_path / "rl_model_22_steps.fastpg")
    assert not [name for name in arrays if name.startswith("running/")]
    assert [name for name in model.state_dict()[0] if name.startswith("running/env/")]


def test_loaded_model_sees_new_episodes(tmp_path: Path) -> None:
    model = make().learn(N_SAMPLES)
    first = model.collector._observations[0].copy()
    model.save(tmp_path / "model.fastpg")
    loaded = fastpg.PPO.load(tmp_path / "model.fastpg", "CartPole-v1")
    loaded.learn(N_SAMPLES, reset_num_timesteps=False)
    assert not np.array_equal(loaded.collector._observations[0], first)


@pytest.mark.parametrize("env", [MatchingProbe, ContinuousTargetProbe])
@pytest.mark.parametrize("backend", backends.available())
def test_backends_train_alike(env: Any, backend: str) -> None:
    """Not the same bits, but the same random numbers: after a few iterations the policies are still close."""
    reference = small_model([env, env], backend="reference").learn(4 * N_SAMPLES)
    model = small_model([env, env], backend=backend).learn(4 * N_SAMPLES)
    np.testing.assert_allclose(model.policy.params, reference.policy.params, rtol=1e-3, atol=1e-4)


def test_interrupted_training_in_scripted_environments_continues() -> None:
    model = small_model(scripted_fns(2)).learn(3 * N_SAMPLES)
    assert model.collector.episodes.n_episodes > 10
