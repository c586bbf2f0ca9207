"""Acting: one observation at a time as in the buffers, and the same bits for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.actor import Actor
from tests.kernels.cases import LAYOUTS, random_actor_critic_params

Array = NDArray[Any]
DTYPES = [np.float32, np.float64]
FILL = 7


def bound(
    name: str, observations: Array, *, backend: str, n_threads: int = 1
) -> tuple[Actor, Array, tuple[Array, Array]]:
    """An actor with parameters, its actions, and its log-probabilities and values, both filled with 7."""
    layout, dtype, rows = LAYOUTS[name], observations.dtype, observations.shape[:2]
    actions = np.full((*rows, layout.head.n_actions), FILL, layout.head.action_dtype(dtype))
    columns = np.full(rows, FILL, dtype), np.full(rows, FILL, dtype)
    options: dict[str, Any] = {"seed": 3, "stream": 1, "n_threads": n_threads, "backend": backend}
    actor = kernels.bind_actor(observations, actions, *columns, layout=layout, **options)
    actor.set_parameters(random_actor_critic_params(layout, dtype, np.random.default_rng(0)))
    return actor, actions, columns


def random_observations(name: str, n_envs: int, dtype: Any) -> Array:
    rng = np.random.default_rng(n_envs)
    return rng.standard_normal((1, n_envs, LAYOUTS[name].observation_size)).astype(dtype)


@pytest.mark.parametrize("is_deterministic", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYOUTS)
def test_choose_takes_the_action_of_act(backend: str, name: str, dtype: Any, is_deterministic: bool) -> None:
    observations = random_observations(name, 1, dtype)
    actor, expected, _ = bound(name, observations, backend=backend)
    blank = np.full_like(observations, FILL)
    chooser, actions, columns = bound(name, blank, backend=backend)
    for step in range(5):
        actor.act_deterministic(0) if is_deterministic else actor.act(0, step)
        assert chooser.choose(observations[0, 0], step, is_deterministic)
        np.testing.assert_array_equal(actions, expected)
    assert all((array == FILL).all() for array in (blank, *columns))


@pytest.mark.parametrize("dtype", DTYPES)
def test_choose_reads_both_floats_and_any_strides(backend: str, dtype: Any) -> None:
    observations = random_observations("cartpole", 1, np.float32).astype(dtype)
    actor, actions, _ = bound("cartpole", observations, backend=backend)
    one = observations[0, 0].astype(np.float32)
    wide = np.zeros((4, 3))
    wide[:, 1] = one
    results = []
    for observation in (one, one.astype(np.float64), wide[:, 1], one[::-1].copy()[::-1]):
        actions[:] = FILL
        assert actor.choose(observation, 4, False)
        results.append(actions.item())
    assert len(set(results)) == 1
    assert results[0] != FILL


@pytest.mark.parametrize(
    "observation",
    [
        np.zeros(3, np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros(4, np.int64),
        np.zeros(4, ">f4"),
        np.array([0, np.nan, 0, 0], np.float32),
        np.array([0, 0, 0, -np.inf]),
        np.array([0, 0, 1e300, 0]),
        np.ma.masked_array(np.zeros(4, np.float32)),
        [0.0, 0.0, 0.0, 0.0],
        (np.zeros(4, np.float32), {}),
        None,
    ],
    ids=repr,
)
def test_choose_leaves_the_rest_to_others(backend: str, observation: Any) -> None:
    actor, actions, columns = bound("cartpole", random_observations("cartpole", 1, np.float32), backend=backend)
    assert not actor.choose(observation, 0, True)
    assert all((array == FILL).all() for array in (actions, *columns))


def test_choose_checks_its_call(backend: str) -> None:
    layout, observation = LAYOUTS["cartpole"], np.zeros(4, np.float32)
    buffers = np.zeros((1, 0, 4), np.float32), np.zeros((1, 0, 1), np.int32), np.zeros((1, 0), np.float32)
    actor = kernels.bind_actor(*buffers, buffers[2].copy(), layout=layout, seed=0, stream=1, backend=backend)
    with pytest.raises(RuntimeError, match="set_parameters"):
        actor.choose(observation, 0, True)
    actor.set_parameters(random_actor_critic_params(layout, np.float32, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="room for an action"):
        actor.choose(observation, 0, True)


@pytest.mark.parametrize("is_deterministic", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "n_envs"), [("cartpole", 1537), ("halfcheetah", 1000), ("gaussian_wide", 4099)])
def test_threads_act_alike(fast_backend: str, name: str, n_envs: int, dtype: Any, is_deterministic: bool) -> None:
    """Sizes at which threads are woken up, with an odd rest; every one acts twice."""
    observations = random_observations(name, n_envs, dtype)
    results: list[tuple[Array, ...]] = []
    for n_threads in (1, 2, 3):
        actor, actions, columns = bound(name, observations, backend=fast_backend, n_threads=n_threads)
        for step in (5, 6):
            actor.act_deterministic(0) if is_deterministic else actor.act(0, step)
        results.append((actions, *columns))
    for result in results[1:]:
        for ours, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(ours, expected)
    alone, actions, columns = bound(name, observations[:, -1:].copy(), backend=fast_backend)
    alone.act_deterministic(0)
    if is_deterministic:
        for one, all_of_them in zip((actions, *columns), results[0], strict=True):
            np.testing.assert_array_equal(one[0, 0], all_of_them[0, -1])
