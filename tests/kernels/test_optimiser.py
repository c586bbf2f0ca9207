"""Adam, gradient clipping, running moments against the rules written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg import kernels
from tests.kernels.oracles import torch_adam

#: Three steps of torch.optim.Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-5) from (1, -2, 0.5), gradient (0.5, -1e-3, 0).
#: By hand for constant gradients: both corrections cancel, so every step moves by lr g / (|g| + eps).
CONSTANT_GRADIENT = np.array([0.5, -1e-3, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_with_a_constant_gradient(backend: str, dtype: Any) -> None:
    params = np.array([1.0, -2.0, 0.5], dtype)
    state = kernels.AdamState(params, np.zeros(3, dtype), np.zeros(3, dtype))
    gradient = CONSTANT_GRADIENT.astype(dtype)
    for step in (1, 2, 3):
        state = kernels.adam_step(
            state.params, gradient, *state[1:], step=step, learning_rate=0.1, epsilon=1e-5, backend=backend
        )
    expected = params - 3 * 0.1 * CONSTANT_GRADIENT / (np.abs(CONSTANT_GRADIENT) + 1e-5)
    np.testing.assert_allclose(state.params, expected, rtol=0, atol=40 * np.finfo(dtype).eps)


@given(
    seed=st.integers(0, 1000),
    step=st.integers(1, 10**9),
    rate=st.floats(0, 1),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0, 0.9999),
    epsilon=st.floats(1e-10, 1e-2),
)
@settings(max_examples=40, deadline=None)
def test_adam_is_the_documented_rule(
    backend: str, seed: int, step: int, rate: float, beta1: float, beta2: float, epsilon: float
) -> None:
    rng = np.random.default_rng(seed)
    params, gradient, m = rng.standard_normal((3, 11))
    v = rng.random(11)
    expected = torch_adam(params, gradient, m, v, step, rate, (beta1, beta2), epsilon)
    state = kernels.adam_step(
        params,
        gradient,
        m,
        v,
        step=step,
        learning_rate=rate,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        backend=backend,
    )
    for ours, theirs in zip(state, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("gradient", "step"), [(1e-30, 10**9), (1e15, 1), (0.0, 1), (1e-45, 1)])
def test_adam_stays_finite(backend: str, gradient: float, step: int) -> None:
    zeros = np.zeros(5, np.float32)
    state = kernels.adam_step(
        zeros, np.full(5, gradient, np.float32), zeros, zeros, step=step, learning_rate=1e-3, backend=backend
    )
    assert all(np.isfinite(array).all() for array in state)


def test_a_gradient_is_scaled_by_the_rule_of_torch(backend: str) -> None:
    """(3, 4) has norm 5: min(1, max_norm / (5 + 1e-6))."""
    gradient = np.array([3.0, 4.0])
    for max_norm in (0.5, 5.0, 5.1, math.inf):
        clipped, norm = kernels.clip_global_norm(gradient, max_norm=max_norm, backend=backend)
        assert norm == 5
        np.testing.assert_allclose(clipped, gradient * min(1.0, max_norm / (5 + 1e-6)), rtol=1e-15)
    clipped, norm = kernels.clip_global_norm(np.zeros(4), max_norm=0.5, backend=backend)
    assert norm == 0
    assert not clipped.any()


def test_the_norm_of_large_single_precision_numbers_does_not_overflow(backend: str) -> None:
    clipped, norm = kernels.clip_global_norm(np.full(4, 1e30, np.float32), max_norm=1.0, backend=backend)
    assert norm == pytest.approx(2e30, rel=1e-6)
    np.testing.assert_allclose(clipped, 0.5, rtol=1e-6)


@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, 1e3]),
)
@settings(max_examples=40, deadline=None)
def test_moments_of_parts_are_those_of_the_whole(backend: str, seed: int, sizes: list[int], offset: float) -> None:
    rng = np.random.default_rng(seed)
    parts = [offset + rng.standard_normal((size, 3)) for size in sizes]
    mean, variance, count = np.zeros(3), np.zeros(3), 0.0
    for part in parts:
        if len(part):
            mean, variance, count = kernels.update_moments(mean, variance, count, part, backend=backend)
    whole = np.concatenate(parts)
    assert count == len(whole)
    if len(whole):
        np.testing.assert_allclose(mean, whole.mean(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(variance, whole.var(axis=0), rtol=1e-9, atol=1e-12)


def test_an_empty_batch_changes_no_moments(backend: str) -> None:
    mean, variance = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    result = kernels.update_moments(mean, variance, 0.0, np.empty((0, 2), np.float32), backend=backend)
    np.testing.assert_array_equal(result[0], mean)
    np.testing.assert_array_equal(result[1], variance)
    assert result[2] == 0


def test_single_precision_batches_are_summed_in_double(backend: str) -> None:
    """100001 values about 1000 with a spread of 0.01: single precision would lose the variance."""
    rng = np.random.default_rng(0)
    batch = (1000 + 0.01 * rng.standard_normal((100_001, 1))).astype(np.float32)
    _, variance, _ = kernels.update_moments(np.zeros(1), np.ones(1), 0.0, batch, backend=backend)
    assert variance[0] == pytest.approx(batch.astype(np.float64).var(), rel=1e-9)


def test_a_constant_input_is_normalised_to_zero(backend: str) -> None:
    inputs = np.full((4, 2), 7.25, np.float32)
    mean, variance, _ = kernels.update_moments(np.zeros(2), np.ones(2), 0.0, inputs, backend=backend)
    assert not variance.any()
    out = kernels.normalize(inputs, mean, variance, epsilon=1e-8, clip=10.0, backend=backend)
    np.testing.assert_array_equal(out, 0)


def test_normalisation_clips_on_both_sides(backend: str) -> None:
    inputs = np.array([[1e6, -1e6, 0.5]])
    out = kernels.normalize(inputs, np.zeros(3), np.ones(3), epsilon=0.0, clip=10.0, backend=backend)
    np.testing.assert_array_equal(out, [[10.0, -10.0, 0.5]])
