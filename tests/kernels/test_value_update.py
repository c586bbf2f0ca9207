"""The critic's update: what it minimises, how it shuffles, what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import MLPLayout
from fastpg.kernels.philox import STREAM_SHUFFLE
from tests.kernels.case import LAYOUTS, random_params, random_samples

Array = NDArray[Any]
STEP = 6e-6
LAYOUT = MLPLayout((3, 5, 4, 1), "tanh")
OPTIONS: dict[str, Any] = {"n_epochs": 1, "batch_size": 100, "adam_step": 0, "seed": 3, "update_index": 2}


def problem(size: int, layout: MLPLayout = LAYOUT, dtype: Any = np.float64) -> dict[str, Any]:
    rng = np.random.default_rng(size)
    params = random_params(layout, dtype, rng)
    return {
        "params": params,
        "first_moment": np.zeros_like(params),
        "second_moment": np.zeros_like(params),
        "observations": rng.standard_normal((size, layout.sizes[0])).astype(dtype),
        "returns": rng.standard_normal(size).astype(dtype),
        "old_values": (0.5 * rng.standard_normal(size)).astype(dtype),
        "layout": layout,
    }


def gradient_of_one_step(data: dict[str, Any], backend: str, **options: Any) -> tuple[Array, kernels.ValueUpdateStats]:
    """Adam's first moment after one step from zero is (1 - beta1) times the gradient."""
    result = kernels.value_update(**data, **{**OPTIONS, **options}, learning_rate=0.0, beta1=0.5, backend=backend)
    return 2 * result.first_moment, result.stats


@pytest.mark.parametrize("clip_range_vf", [None, 0.2, 0.0])
def test_gradient(backend: str, clip_range_vf: float | None) -> None:
    data = problem(9)
    gradient, stats = gradient_of_one_step(data, backend, clip_range_vf=clip_range_vf)

    def loss(params: Array) -> float:
        moved = {**data, "params": params}
        return gradient_of_one_step(moved, backend, clip_range_vf=clip_range_vf)[1].value_loss

    expected = np.zeros_like(gradient)
    for i in range(len(expected)):
        above, below = data["params"].copy(), data["params"].copy()
        above[i] += STEP
        below[i] -= STEP
        expected[i] = (loss(above) - loss(below)) / (2 * STEP)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-8)
    assert stats.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
    assert stats.n_optimizer_steps == 1


@pytest.mark.parametrize("clip_range_vf", [None, 0.2])
def test_loss(backend: str, clip_range_vf: float | None) -> None:
    """The larger of both squared errors."""
    data = problem(40)
    values = kernels.mlp_forward(data["params"], data["observations"], layout=LAYOUT, backend=backend)[:, 0]
    errors = (values - data["returns"]) ** 2
    if clip_range_vf is not None:
        change = np.clip(values - data["old_values"], -clip_range_vf, clip_range_vf)
        clipped = (data["old_values"] + change - data["returns"]) ** 2
        assert (clipped > errors).any(), "both sides of the maximum must be tested"
        assert (clipped < errors).any(), "both sides of the maximum must be tested"
        errors = np.maximum(errors, clipped)
    _, stats = gradient_of_one_step(data, backend, clip_range_vf=clip_range_vf)
    assert stats.value_loss == pytest.approx(errors.mean(), rel=1e-12)


@pytest.mark.parametrize("max_grad_norm", [np.inf, 0.1])
def test_epochs_and_minibatches_written_out(backend: str, max_grad_norm: float) -> None:
    """23 samples in minibatches of 11: 11 and 12, because a last one of a single row joins the one before."""
    data = problem(23)
    result = kernels.value_update(
        **data,
        **{**OPTIONS, "n_epochs": 3, "batch_size": 11, "adam_step": 4},
        learning_rate=1e-2,
        max_grad_norm=max_grad_norm,
        backend=backend,
    )
    state = kernels.AdamState(data["params"], data["first_moment"], data["second_moment"])
    n_steps = 0
    for epoch in range(3):
        order = kernels.permutation(3, STREAM_SHUFFLE, (2 << 16) | epoch, out=np.empty(23, np.int64))
        for rows in (order[:11], order[11:]):
            inputs = data["observations"][rows]
            values = kernels.mlp_forward(state.params, inputs, layout=LAYOUT, backend=backend)
            by_value = 2 * (values - data["returns"][rows, None]) / len(rows)
            gradient = kernels.mlp_backward(state.params, inputs, by_value, layout=LAYOUT, backend=backend)
            gradient, _ = kernels.clip_global_norm(gradient, max_norm=max_grad_norm, backend=backend)
            n_steps += 1
            state = kernels.adam_step(
                state.params, gradient, *state[1:], step=4 + n_steps, learning_rate=1e-2, backend=backend
            )
    assert result.adam_step == 10
    assert result.stats.n_optimizer_steps == 6
    for ours, expected in zip(result, state, strict=False):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_it_is_the_value_half_of_a_ppo_update(backend: str) -> None:
    """Without clipping of any kind, vf_coef = 1: the same minibatches, the same steps."""
    layout = LAYOUTS["cartpole"]
    rng = np.random.default_rng(0)
    policy, log_std = np.zeros(layout.policy.n_params), np.zeros(layout.head.n_log_std)
    value = random_params(layout.value, np.float64, rng)
    params = np.concatenate([policy, log_std, value])
    samples = random_samples(layout, params, 70, rng)
    options: dict[str, Any] = {**OPTIONS, "n_epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "backend": backend}
    zeros = np.zeros_like(params)
    joint = kernels.ppo_update(
        params,
        zeros,
        zeros,
        **samples,
        layout=layout,
        clip_range=0.2,
        vf_coef=1.0,
        ent_coef=0.0,
        max_grad_norm=np.inf,
        normalize_advantage=False,
        **options,
    )
    alone = kernels.value_update(
        value,
        np.zeros_like(value),
        np.zeros_like(value),
        *(samples[name] for name in ("observations", "returns", "old_values")),
        layout=layout.value,
        **options,
    )
    np.testing.assert_allclose(alone.params, joint.params[-len(value) :], rtol=0, atol=1e-12)
    assert alone.stats.value_loss == pytest.approx(joint.stats.value_loss, rel=1e-12)


def test_old_values_do_not_matter_without_clipping(backend: str) -> None:
    data = problem(20, dtype=np.float32)
    expected = kernels.value_update(**data, **OPTIONS, learning_rate=1e-3, backend=backend)
    data["old_values"] = np.full_like(data["old_values"], np.nan)
    result = kernels.value_update(**data, **OPTIONS, learning_rate=1e-3, backend=backend)
    np.testing.assert_array_equal(result.params, expected.params)


@pytest.mark.parametrize("argument", ["returns", "old_values", "observations"])
def test_one_nan_is_seen_in_the_result(backend: str, argument: str) -> None:
    data = problem(20, dtype=np.float32)
    data[argument].reshape(-1)[4] = np.nan
    result = kernels.value_update(**data, **OPTIONS, clip_range_vf=0.1, learning_rate=1e-3, backend=backend)
    assert np.isnan(result.stats.value_loss)
    assert np.isnan(result.params).any()


def test_bad_arguments_are_named() -> None:
    data = problem(5)
    wide = MLPLayout((3, 2), "tanh")
    with pytest.raises(ValueError, match="layout: expected a network with one output, got 2"):
        kernels.value_update(**{**data, "layout": wide}, **OPTIONS, learning_rate=0.1)
    empty = {name: data[name][:0] for name in ("observations", "returns", "old_values")}
    with pytest.raises(ValueError, match="number of samples: expected an integer in"):
        kernels.value_update(**{**data, **empty}, **OPTIONS, learning_rate=0.1)
    for name, bad in (
        ("n_epochs", 0),
        ("batch_size", 0),
        ("clip_range_vf", -0.1),
        ("max_grad_norm", 0.0),
        ("learning_rate", np.nan),
        ("beta1", 1.0),
        ("update_index", 2**40),
    ):
        with pytest.raises(ValueError, match=f"value_update: {name}: expected"):
            kernels.value_update(**data, **{**OPTIONS, "learning_rate": 0.1, name: bad})
    out = data["params"], np.empty_like(data["params"]), np.empty_like(data["params"])
    with pytest.raises(ValueError, match=r"value_update: out\[0\]: expected memory of its own"):
        kernels.value_update(**data, **OPTIONS, learning_rate=0.1, out=out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "batch_size"), [(333, 128), (1153, 577), (5000, 5000)])
def test_threads_change_no_bit(fast_backend: str, size: int, batch_size: int, dtype: Any) -> None:
    """Minibatches of several chunks, the last one shorter, with rests of odd sizes."""
    data = problem(size, LAYOUTS["halfcheetah"].value, dtype)
    options = {**OPTIONS, "n_epochs": 2, "batch_size": batch_size, "learning_rate": 1e-3, "max_grad_norm": 0.5}
    options["clip_range_vf"] = 0.2
    results = [kernels.value_update(**data, **options, n_threads=n, backend=fast_backend) for n in (1, 2, 3)]
    for result in results[1:]:
        assert result.stats == results[0].stats
        for ours, expected in zip(result[:3], results[0][:3], strict=True):
            np.testing.assert_array_equal(ours, expected)
