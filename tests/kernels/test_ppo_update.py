"""A whole update against its own parts, called one by one at their entry points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.philox import STREAM_SHUFFLE
from fastpg.kernels.ppo_update import PPOUpdateResult
from tests.kernels.cases import LAYOUTS, Inputs, random_actor_critic_params, random_samples

Array = NDArray[Any]
SAMPLES = ("observations", "actions", "old_log_probs", "advantages", "returns", "old_values")
LOSS = ("layout", "clip_range", "clip_range_vf", "vf_coef", "ent_coef", "normalize_advantage")


def update_inputs(layout_name: str, n_samples: int, dtype: Any, **options: Any) -> Inputs:
    layout = LAYOUTS[layout_name]
    rng = np.random.default_rng(n_samples)
    params = random_actor_critic_params(layout, dtype, rng)
    return {
        "params": params,
        "first_moment": np.zeros_like(params),
        "second_moment": np.zeros_like(params),
        **random_samples(layout, params, n_samples, rng),
        "layout": layout,
        "n_epochs": 3,
        "batch_size": 16,
        "clip_range": 0.2,
        "clip_range_vf": None,
        "vf_coef": 0.5,
        "ent_coef": 0.01,
        "max_grad_norm": 0.5,
        "normalize_advantage": True,
        "target_kl": None,
        "learning_rate": 1e-3,
        "adam_step": 0,
        "seed": 12,
        "update_index": 4,
        **options,
    }


def expected_bounds(n_samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Cut into batches; a single row left over joins the last batch."""
    bounds = [(first, min(first + batch_size, n_samples)) for first in range(0, n_samples, batch_size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1 and batch_size > 1:
        bounds[-2:] = [(bounds[-2][0], n_samples)]
    return bounds


def update_by_parts(inputs: Inputs) -> tuple[list[Array], dict[str, Any]]:
    """The definition of the update, on the reference's parts, in the inputs' dtype."""
    state = [inputs[name].copy() for name in ("params", "first_moment", "second_moment")]
    loss_arguments = {name: inputs[name] for name in LOSS}
    n_samples, step = len(inputs["observations"]), inputs["adam_step"]
    losses, epochs, norms = [], [], []
    stopped = False
    for epoch in range(inputs["n_epochs"]):
        order = np.empty(n_samples, np.int64)
        counter = inputs["update_index"] * 2**16 + epoch
        kernels.permutation(inputs["seed"], STREAM_SHUFFLE, counter, out=order, backend="reference")
        for first, end in expected_bounds(n_samples, inputs["batch_size"]):
            rows = [inputs[name][order[first:end]] for name in SAMPLES]
            gradient, stats = kernels.clipped_loss_gradient(state[0], *rows, **loss_arguments, backend="reference")
            losses.append(stats)
            epochs.append(epoch)
            stopped = inputs["target_kl"] is not None and stats.approx_kl > 1.5 * inputs["target_kl"]
            if stopped:
                break
            clipped, norm = kernels.clip_global_norm(gradient, max_norm=inputs["max_grad_norm"], backend="reference")
            norms.append(norm)
            step += 1
            state = list(
                kernels.adam_step(
                    state[0], clipped, *state[1:], step=step, learning_rate=inputs["learning_rate"], backend="reference"
                )
            )
        if stopped:
            break
    means = {
        name: np.mean([getattr(stats, name) for stats in losses])
        for name in ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction")
    }
    last_epoch = [stats.approx_kl for stats, epoch in zip(losses, epochs, strict=True) if epoch == epochs[-1]]
    return state, {
        **means,
        "approx_kl": np.mean(last_epoch),
        "loss": losses[-1].loss,
        "gradient_norm": np.mean(norms) if norms else 0.0,
        "n_epochs_run": epochs[-1] + 1,
        "n_optimizer_steps": len(norms),
        "stopped_by_kl": stopped,
    }


def assert_is_by_parts(result: PPOUpdateResult, inputs: Inputs, tolerance: float) -> None:
    state, stats = update_by_parts(inputs)
    for ours, theirs in zip(result[:3], state, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    for name, value in stats.items():
        assert getattr(result.stats, name) == pytest.approx(value, rel=tolerance, abs=tolerance), name
    assert result.adam_step == inputs["adam_step"] + stats["n_optimizer_steps"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-9)])
@pytest.mark.parametrize(
    ("layout", "n_samples", "options"),
    [
        ("cartpole", 64, {}),
        ("cartpole", 1, {}),
        ("cartpole", 5, {"batch_size": 10**9}),
        ("cartpole", 2, {"batch_size": 1, "n_epochs": 2}),
        ("halfcheetah", 70, {"adam_step": 1000, "ent_coef": 0.0}),
        ("multi_categorical_relu", 40, {"clip_range_vf": 0.2, "batch_size": 12}),
        ("bernoulli_linear", 33, {"normalize_advantage": False, "max_grad_norm": math.inf}),
        ("gaussian_wide", 49, {"learning_rate": 5e-3, "update_index": 2**40 - 1, "seed": 2**64 - 1}),
        ("halfcheetah", 2747, {"batch_size": 1300, "clip_range_vf": 0.2}),
        ("cartpole", 5000, {"batch_size": 10**9, "vf_coef": 0.0, "target_kl": 0.01}),
    ],
)
def test_an_update_is_the_sum_of_its_parts(
    backend: str, layout: str, n_samples: int, options: dict[str, Any], dtype: Any, tolerance: float
) -> None:
    inputs = update_inputs(layout, n_samples, dtype, **options)
    assert_is_by_parts(kernels.ppo_update(**inputs, backend=backend), inputs, tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("layout", "n_samples", "options"),
    [
        ("halfcheetah", 150, {"kl_coef": 0.5}),
        ("halfcheetah", 2747, {"batch_size": 1300, "clip_range_vf": 0.2}),
        ("cartpole", 5000, {"batch_size": 5000, "kl_coef": 0.5, "kl_direction": "new_old"}),
        ("multi_categorical_relu", 1100, {"batch_size": 1024, "vf_coef": 0.0}),
    ],
)
def test_threads_change_no_bit(
    fast_backend: str, layout: str, n_samples: int, options: dict[str, Any], dtype: Any
) -> None:
    """A network for each thread, and large minibatches in chunks, with a rest of few rows."""
    inputs = update_inputs(layout, n_samples, dtype, **options)
    if "kl_coef" in options:
        inputs["old_params"] = (inputs["params"] + 0.01).astype(dtype)
    results = [kernels.ppo_update(**inputs, n_threads=n, backend=fast_backend) for n in (1, 2, 3)]
    for result in results[1:]:
        assert result.stats == results[0].stats
        for ours, expected in zip(result[:3], results[0][:3], strict=True):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("n_samples", [16, 17, 18, 31, 32, 33])
def test_a_last_minibatch_of_one_row_is_merged(backend: str, n_samples: int) -> None:
    """17 = one minibatch of 17; 18 = 16 + 2; 33 = 16 + 17."""
    inputs = update_inputs("cartpole", n_samples, np.float64, n_epochs=1)
    result = kernels.ppo_update(**inputs, backend=backend)
    assert result.stats.n_optimizer_steps == {16: 1, 17: 1, 18: 2, 31: 2, 32: 2, 33: 2}[n_samples]
    assert_is_by_parts(result, inputs, 1e-9)


def test_the_kl_stop_ends_the_update_before_the_step(backend: str) -> None:
    inputs = update_inputs("cartpole", 64, np.float64, n_epochs=5, learning_rate=3e-3)
    kls = [
        kernels.ppo_update(**{**inputs, "n_epochs": n, "batch_size": 64}, backend="reference").stats.approx_kl
        for n in (1, 2, 3)
    ]
    inputs.update(batch_size=64, target_kl=(kls[1] + kls[2]) / 2 / 1.5)
    assert kls[0] < kls[2]
    assert kls[1] < kls[2], "the third epoch is to be the one that stops"
    result = kernels.ppo_update(**inputs, backend=backend)
    assert result.stats.stopped_by_kl
    assert result.stats.n_epochs_run == 3
    assert result.stats.n_optimizer_steps == 2
    assert result.adam_step == 2
    assert_is_by_parts(result, inputs, 1e-9)


def test_a_stop_at_the_first_minibatch_changes_nothing(backend: str) -> None:
    inputs = update_inputs("cartpole", 64, np.float32, target_kl=1e-9)
    result = kernels.ppo_update(**inputs, backend=backend)
    assert result.stats.n_optimizer_steps == 0
    assert result.stats.n_epochs_run == 1
    assert result.stats.gradient_norm == 0
    np.testing.assert_array_equal(result.params, inputs["params"])
    np.testing.assert_array_equal(result.second_moment, inputs["second_moment"])


def test_a_kl_below_the_target_does_not_stop(backend: str) -> None:
    inputs = update_inputs("cartpole", 64, np.float32)
    free = kernels.ppo_update(**inputs, backend=backend)
    bound = kernels.ppo_update(**{**inputs, "target_kl": 1e3}, backend=backend)
    assert not bound.stats.stopped_by_kl
    np.testing.assert_array_equal(bound.params, free.params)


def test_updates_follow_from_seed_and_index(backend: str) -> None:
    inputs = update_inputs("cartpole", 64, np.float32)
    results = [
        kernels.ppo_update(**{**inputs, **change}, backend=backend).params
        for change in ({}, {}, {"seed": 13}, {"update_index": 5})
    ]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()
    assert (results[0] != results[3]).any()


def test_an_update_descends(backend: str) -> None:
    """Many small steps on one full batch lower the loss that they minimise."""
    inputs = update_inputs("halfcheetah", 64, np.float32, batch_size=64, n_epochs=30)
    first = kernels.ppo_update(**{**inputs, "n_epochs": 1}, backend=backend).stats.loss
    assert kernels.ppo_update(**inputs, backend=backend).stats.loss < first - 0.05


def test_a_failed_update_leaves_its_inputs_whole(backend: str) -> None:
    inputs = update_inputs("cartpole", 64, np.float32)
    inputs["returns"][:] = np.inf
    before = inputs["params"].copy()
    result = kernels.ppo_update(**inputs, backend=backend)
    assert not np.isfinite(result.params).all(), "nothing is hidden"
    np.testing.assert_array_equal(inputs["params"], before)
