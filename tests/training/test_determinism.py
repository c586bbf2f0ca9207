"""The same seed gives the same bits: twice, with any number of threads, in one piece or in two."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.kernels import backends
from tests.envs import ContinuousTargetProbe, MatchingProbe, scripted_fns
from tests.training.tools import N_SAMPLES, fingerprint, small_model


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
