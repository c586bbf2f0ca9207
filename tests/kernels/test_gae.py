"""Advantages: every combination of terminated and truncated, identities, properties."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastpg import kernels
from tests.kernels.oracles import gae_by_episode

Array = NDArray[Any]


def all_flag_combinations(n_steps: int) -> tuple[Array, Array]:
    """terminated and truncated (n_steps, 4^n_steps): each environment is one combination."""
    table = np.array(list(itertools.product((False, True), repeat=2 * n_steps))).T
    return np.ascontiguousarray(table[:n_steps]), np.ascontiguousarray(table[n_steps:])


def random_arrays(shape: tuple[int, int], dtype: Any) -> list[Array]:
    rng = np.random.default_rng(shape[0])
    return [rng.standard_normal(shape).astype(dtype) for _ in range(3)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.9), (1.0, 0.5)])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 4])
def test_every_combination_of_flags(backend: str, n_steps: int, gamma: float, gae_lambda: float, dtype: Any) -> None:
    terminated, truncated = all_flag_combinations(n_steps)
    arrays = random_arrays(terminated.shape, dtype)
    advantages = kernels.gae(*arrays, terminated, truncated, gamma=gamma, gae_lambda=gae_lambda, backend=backend)
    for n in range(terminated.shape[1]):
        columns = [array[:, n] for array in (*arrays, terminated, truncated)]
        expected = gae_by_episode(*columns, gamma, gae_lambda)
        np.testing.assert_allclose(advantages[:, n], expected, rtol=0, atol=30 * np.finfo(dtype).eps)


def test_a_table_by_hand(backend: str) -> None:
    """gamma = lambda = 1/2; three steps, truncated at the second with V(s') = 8, terminated at the third."""
    advantages = kernels.gae(
        np.array([[1.0], [2.0], [4.0]]),
        np.array([[1.0], [1.0], [2.0]]),
        np.array([[1.0], [8.0], [99.0]]),
        np.array([[False], [False], [True]]),
        np.array([[False], [True], [True]]),
        gamma=0.5,
        gae_lambda=0.5,
        backend=backend,
    )
    # td errors: 1 + 1/2 - 1 = 1/2;  2 + 4 - 1 = 5;  4 + 0 - 2 = 2
    np.testing.assert_array_equal(advantages, [[0.5 + 0.25 * 5.0], [5.0], [2.0]])


def test_lambda_0_is_the_td_error(backend: str) -> None:
    terminated, truncated = all_flag_combinations(3)
    rewards, values, next_values = random_arrays(terminated.shape, np.float64)
    advantages = kernels.gae(
        rewards, values, next_values, terminated, truncated, gamma=0.9, gae_lambda=0.0, backend=backend
    )
    expected = rewards + 0.9 * np.where(terminated, 0, next_values) - values
    np.testing.assert_allclose(advantages, expected, rtol=0, atol=1e-14)


def test_lambda_1_is_the_return_minus_the_value(backend: str) -> None:
    """With next_values that are the values of the next step, the sum telescopes."""
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal((20, 3)), rng.standard_normal((21, 3))
    no_flags = np.zeros((20, 3), bool)
    advantages = kernels.gae(
        rewards, values[:-1], values[1:], no_flags, no_flags, gamma=0.9, gae_lambda=1.0, backend=backend
    )
    returns = values[-1]
    for t in reversed(range(20)):
        returns = rewards[t] + 0.9 * returns
        np.testing.assert_allclose(advantages[t], returns - values[t], rtol=0, atol=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_value_of_a_terminal_state_is_not_used(backend: str, value: float) -> None:
    ones = np.ones((2, 1))
    flags = np.array([[True], [True]])
    advantages = kernels.gae(
        ones, ones, np.full((2, 1), value), flags, flags, gamma=0.9, gae_lambda=0.9, backend=backend
    )
    np.testing.assert_array_equal(advantages, np.zeros((2, 1)))


@given(
    data=st.data(), n_steps=st.integers(1, 12), n_envs=st.integers(1, 20), gamma=st.floats(0, 1), decay=st.floats(0, 1)
)
@settings(max_examples=40, deadline=None)
def test_against_the_loop_over_episodes(
    backend: str, data: st.DataObject, n_steps: int, n_envs: int, gamma: float, decay: float
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    arrays = [rng.standard_normal((n_steps, n_envs)) for _ in range(3)]
    flags = [rng.random((n_steps, n_envs)) < rng.random() for _ in range(2)]
    advantages = kernels.gae(*arrays, *flags, gamma=gamma, gae_lambda=decay, backend=backend)
    for n in range(n_envs):
        expected = gae_by_episode(*(array[:, n] for array in (*arrays, *flags)), gamma, decay)
        np.testing.assert_allclose(advantages[:, n], expected, rtol=0, atol=1e-12)


def shifted(array: np.ndarray, offset: int) -> np.ndarray:
    """A copy that begins ``offset`` elements behind the beginning of its memory."""
    memory = np.empty(array.size + offset, array.dtype)
    memory[offset:] = array.reshape(-1)
    return memory[offset:].reshape(array.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 1), (5, 8), (5, 16), (4, 17), (3, 33), (2, 100)])
def test_where_the_arrays_lie_changes_no_bit(fast_backend: str, shape: tuple[int, int], dtype: Any) -> None:
    arrays = random_arrays(shape, dtype)
    flags = np.random.default_rng(1).random((2, *shape)) < 0.1
    options: dict[str, Any] = {"gamma": 0.99, "gae_lambda": 0.95, "backend": fast_backend}
    expected = kernels.gae(*arrays, *flags, **options)
    for offset in range(17):
        inputs = [shifted(array, (offset * i) % 17) for i, array in enumerate((*arrays, *flags))]
        out = shifted(np.full(shape, np.nan, dtype), offset)
        np.testing.assert_array_equal(kernels.gae(*inputs, out=out, **options), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(17, 4099), (11, 6151), (16, 8192), (67, 1000), (64, 1024), (2050, 33), (70_001, 1), (0, 70_000)]
)
def test_threads_change_no_bit(fast_backend: str, shape: tuple[int, int], dtype: Any) -> None:
    arrays = random_arrays(shape, dtype)
    flags = np.random.default_rng(1).random((2, *shape)) < 0.1
    options: dict[str, Any] = {"gamma": 0.99, "gae_lambda": 0.95, "backend": fast_backend}
    one, *others = (kernels.gae(*arrays, *flags, n_threads=n, **options) for n in (1, 2, 3))
    for other in others:
        np.testing.assert_array_equal(other, one)
