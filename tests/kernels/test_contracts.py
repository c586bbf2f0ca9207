"""What every entry point promises at its boundary, made from the cases: inputs, outputs, aliasing, errors, NaN."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from tests.kernels.cases import CASES, LAYOUTS, Inputs, KernelCase, random_actor_critic_params

Array = NDArray[Any]
SIZE = 7
CANARY = 12345.0
#: Names of arguments that hold arrays but are results.
RESULTS = ("out",)

WITH_INPUTS = [case for case in CASES if case.family not in {"philox", "actor"}]
WITH_OUT = [case for case in CASES if case.n_out]
IN_PLACE = [case for case in CASES if case.in_place]


def by_name(case: KernelCase) -> str:
    return case.name


def arrays_of(inputs: Inputs) -> dict[str, Array]:
    return {name: value for name, value in inputs.items() if isinstance(value, np.ndarray) and name not in RESULTS}


def new_out(case: KernelCase, expected: tuple[Array, ...], make: Any) -> Any:
    outs = tuple(make(array) for array in expected[: case.n_out])
    return outs if case.n_out > 1 else outs[0]


def assert_same(actual: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", WITH_INPUTS, ids=by_name)
def test_inputs_may_be_read_only_and_stay_as_they_are(case: KernelCase, backend: str) -> None:
    inputs = case.inputs(SIZE, "float32")
    expected = case.call(backend, inputs)
    before = {name: array.copy() for name, array in arrays_of(inputs).items()}
    for array in arrays_of(inputs).values():
        array.flags.writeable = False
    assert_same(case.call(backend, inputs), expected)
    for name, array in arrays_of(inputs).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def spread(array: Array) -> Array:
    """The same numbers with a gap after each."""
    wide = np.full((*array.shape, 2), 99, array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


def reversed_twice(array: Array) -> Array:
    """The same numbers with a negative stride."""
    return np.ascontiguousarray(array[::-1])[::-1]


def misaligned(array: Array) -> Array:
    """The same numbers, one byte beside where their type belongs."""
    copy = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("layout", [spread, reversed_twice, np.asfortranarray, misaligned])
@pytest.mark.parametrize("case", WITH_INPUTS, ids=by_name)
def test_inputs_may_lie_anyhow_in_memory(case: KernelCase, backend: str, layout: Any) -> None:
    inputs = case.inputs(SIZE, "float32")
    expected = case.call(backend, inputs)
    strided = {name: layout(array) for name, array in arrays_of(inputs).items()}
    assert_same(case.call(backend, {**inputs, **strided}), expected)


@pytest.mark.parametrize("case", WITH_INPUTS, ids=by_name)
def test_a_wrong_dtype_is_named(case: KernelCase) -> None:
    inputs = case.inputs(SIZE, "float32")
    for name, array in arrays_of(inputs).items():
        wrong = np.complex64 if array.dtype != np.bool_ else np.int8
        with pytest.raises(TypeError, match=rf"{name}: expected .*, got {np.dtype(wrong)}\. Fix: "):
            case.call("reference", {**inputs, name: array.astype(wrong)})
        with pytest.raises(TypeError, match=rf"{name}: expected a NumPy array of .*, got list\. Fix: "):
            case.call("reference", {**inputs, name: array.tolist()})


@pytest.mark.parametrize("case", WITH_INPUTS, ids=by_name)
def test_a_wrong_shape_is_named(case: KernelCase) -> None:
    inputs = case.inputs(SIZE, "float32")
    for name, array in arrays_of(inputs).items():
        wrong = array[..., None]
        with pytest.raises(ValueError, match=rf"{name}: expected shape \(.*\), got {re.escape(str(wrong.shape))}"):
            case.call("reference", {**inputs, name: wrong})


def test_the_text_of_a_shape_error() -> None:
    rewards, flags = np.zeros((5, 2), np.float32), np.zeros((5, 2), bool)
    with pytest.raises(ValueError, match="^" + re.escape("gae: values: expected shape (5, 2), got (2, 5).") + "$"):
        kernels.gae(rewards, rewards.T, rewards, flags, flags, gamma=0.9, gae_lambda=0.9)


def test_the_text_of_a_dtype_error() -> None:
    rewards, flags = np.zeros((5, 2), np.float32), np.zeros((5, 2), bool)
    message = "gae: values: expected dtype float32, got float64. Fix: convert it with .astype(np.float32)."
    with pytest.raises(TypeError, match="^" + re.escape(message) + "$"):
        kernels.gae(rewards, rewards.astype(np.float64), rewards, flags, flags, gamma=0.9, gae_lambda=0.9)


@pytest.mark.parametrize("case", WITH_OUT, ids=by_name)
def test_out_is_filled_and_returned_and_nothing_beside_it(case: KernelCase, backend: str) -> None:
    inputs = case.inputs(SIZE, "float32")
    expected = case.call(backend, inputs)
    buffers = []

    def guarded(array: Array) -> Array:
        buffer = np.full(array.size + 32, CANARY, array.dtype)
        buffers.append(buffer)
        return buffer[16:-16].reshape(array.shape)

    out = new_out(case, expected, guarded)
    actual = case.call(backend, inputs, out=out)
    assert_same(actual, expected)
    for given, returned in zip(out if case.n_out > 1 else [out], actual, strict=False):
        assert returned is given
    for buffer in buffers:
        assert (buffer[:16] == CANARY).all()
        assert (buffer[-16:] == CANARY).all()


@pytest.mark.parametrize("case", WITH_OUT, ids=by_name)
def test_an_unusable_out_is_refused(case: KernelCase) -> None:
    inputs = case.inputs(SIZE, "float32")
    expected = case.call("reference", inputs)

    def read_only(array: Array) -> Array:
        copy = array.copy()
        copy.flags.writeable = False
        return copy

    for make, error, text in (
        (lambda array: np.empty((2 * len(array), *array.shape[1:]), array.dtype)[::2], ValueError, "C-contiguous"),
        (read_only, ValueError, "writeable"),
        (misaligned, ValueError, "ALIGNED=False"),
        (lambda array: array.astype(np.float16), TypeError, "got float16"),
        (lambda array: np.empty((len(array) + 1, *array.shape[1:]), array.dtype), ValueError, "expected shape"),
        (lambda array: array.tolist(), TypeError, "got list"),
    ):
        with pytest.raises(error, match=rf"out.*{text}"):
            case.call("reference", inputs, out=new_out(case, expected, make))


@pytest.mark.parametrize("case", IN_PLACE, ids=by_name)
def test_out_may_be_the_input_of_the_same_role(case: KernelCase, backend: str) -> None:
    for size in case.sizes:
        expected = case.call(backend, case.inputs(size, "float32"))
        inputs = case.inputs(size, "float32")
        outs = tuple(inputs[name] for name in case.in_place)
        assert_same(case.call(backend, inputs, out=outs if case.n_out > 1 else outs[0]), expected)


@pytest.mark.parametrize("case", IN_PLACE, ids=by_name)
def test_out_may_not_overlap_an_input_in_part(case: KernelCase) -> None:
    inputs = case.inputs(SIZE, "float32")
    expected = case.call("reference", inputs)
    name = case.in_place[0]
    array = inputs[name]
    shared = np.empty(array.size + 1, array.dtype)
    shared[1:] = array.reshape(-1)
    outs = [np.empty_like(output) for output in expected[: case.n_out]]
    outs[0] = shared[:-1].reshape(array.shape)
    inputs[name] = shared[1:].reshape(array.shape)
    with pytest.raises(ValueError, match="overlaps the input in part"):
        case.call("reference", inputs, out=tuple(outs) if case.n_out > 1 else outs[0])


def test_out_may_not_be_an_input() -> None:
    rewards, flags = np.zeros((5, 2), np.float32), np.zeros((5, 2), bool)
    with pytest.raises(ValueError, match="gae: out: expected memory of its own, got an array that overlaps an input"):
        kernels.gae(rewards, rewards.copy(), rewards.copy(), flags, flags, gamma=0.9, gae_lambda=0.9, out=rewards)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("case", WITH_INPUTS, ids=by_name)
def test_nothing_crashes_on_numbers_beyond_all_bounds(case: KernelCase, backend: str, value: float) -> None:
    for name, array in arrays_of(case.inputs(SIZE, "float32")).items():
        if array.dtype.kind == "f":
            inputs = case.inputs(SIZE, "float32")
            inputs[name] = np.full_like(array, value)
            case.call(backend, inputs)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("gae_3_envs", "rewards"),
        ("gae_3_envs", "values"),
        ("mlp_forward_4_64_64_2_tanh", "inputs"),
        ("mlp_forward_3_33_18_40_7_relu", "params"),
        ("mlp_backward_4_64_64_2_tanh", "output_gradient"),
        ("log_prob_categorical", "head_inputs"),
        ("log_prob_gaussian", "actions"),
        ("entropy_bernoulli", "head_inputs"),
        ("kl_old_new_multi_categorical", "new_head_inputs"),
        ("clipped_loss_cartpole", "observations"),
        ("clipped_loss_cartpole", "advantages"),
        ("clipped_loss_gaussian_wide", "old_log_probs"),
        ("clipped_loss_gaussian_wide", "returns"),
        ("clip_global_norm", "gradient"),
        ("adam_step", "gradient"),
        ("normalize", "inputs"),
        ("ppo_update_cartpole", "advantages"),
        ("ppo_update_cartpole", "returns"),
    ],
)
def test_one_nan_is_seen_in_the_result(name: str, argument: str, backend: str) -> None:
    """An error upstream must not be hidden by a comparison that a NaN loses."""
    case = next(case for case in CASES if case.name == name)
    inputs = case.inputs(SIZE, "float32")
    inputs[argument].reshape(-1)[1] = np.nan
    assert np.isnan(case.call(backend, inputs)[0]).any()


@pytest.mark.parametrize(
    ("name", "argument", "value", "text"),
    [
        ("gae_3_envs", "gamma", 1.5, "gamma: expected a number in [0, 1], got 1.5"),
        ("gae_3_envs", "gae_lambda", float("nan"), "gae_lambda: expected a number in [0, 1], got nan"),
        ("mlp_forward_5_3", "n_threads", 0, "n_threads: expected an integer in [1, 4096], got 0"),
        ("mlp_forward_5_3", "n_threads", True, "n_threads: expected an integer, got True of type bool"),
        ("sample_gaussian", "seed", -1, "seed: expected an integer in [0, 18446744073709551615], got -1"),
        ("sample_gaussian", "step", 2**56, f"step: expected an integer in [0, {2**56 - 1}], got {2**56}"),
        ("uniform", "stream", 256, "stream: expected an integer in [0, 255], got 256"),
        ("clipped_loss_cartpole", "clip_range", -0.2, "clip_range: expected a number in [0, inf], got -0.2"),
        ("clipped_loss_cartpole", "clip_range_vf", -1.0, "clip_range_vf: expected a number in [0, inf], got -1.0"),
        ("clipped_loss_cartpole", "vf_coef", -0.5, "vf_coef: expected a number in [0, inf], got -0.5"),
        ("clipped_loss_cartpole", "ent_coef", float("inf"), "ent_coef: expected a finite number, got inf"),
        ("clip_global_norm", "max_norm", 0.0, "max_norm: expected a number > 0, got 0.0"),
        ("adam_step", "step", 0, "step: expected an integer in [1, "),
        ("adam_step", "beta1", 1.0, "beta1: expected a number in [0, 1), got 1.0"),
        ("adam_step", "learning_rate", -1e-3, "learning_rate: expected a number in [0, inf], got -0.001"),
        ("update_moments", "count", -1.0, "count: expected a number in [0, inf], got -1.0"),
        ("normalize", "clip", float("nan"), "clip: expected a number > 0, got nan"),
        ("ppo_update_cartpole", "n_epochs", 0, "n_epochs: expected an integer in [1, 65535], got 0"),
        ("ppo_update_cartpole", "batch_size", 2.0, "batch_size: expected an integer, got 2.0 of type float"),
        ("ppo_update_cartpole", "target_kl", 0.0, "target_kl: expected a number > 0, got 0.0"),
    ],
)
def test_a_number_out_of_range_is_named(name: str, argument: str, value: Any, text: str) -> None:
    case = next(case for case in CASES if case.name == name)
    with pytest.raises((TypeError, ValueError), match=re.escape(text)):
        case.call("reference", case.inputs(SIZE, "float32"), **{argument: value})


@pytest.mark.parametrize("name", ["log_prob_multi_categorical", "clipped_loss_cartpole", "ppo_update_plain"])
@pytest.mark.parametrize("action", [-1, 5])
def test_an_impossible_action_is_named(name: str, action: int) -> None:
    case = next(case for case in CASES if case.name == name)
    inputs = case.inputs(SIZE, "float32")
    inputs["actions"][3, 0] = action
    with pytest.raises(ValueError, match=r"actions: expected integers in \[0, \d\] in dimension 0, got values in \["):
        case.call("reference", inputs)


def test_an_update_needs_a_sample() -> None:
    case = next(case for case in CASES if case.name == "ppo_update_cartpole")
    with pytest.raises(ValueError, match="number of samples: expected an integer in"):
        case.call("reference", case.inputs(0, "float32"))


def test_the_actor_checks_its_buffers() -> None:
    layout = LAYOUTS["cartpole"]
    buffers = {
        "observations": np.zeros((3, 2, 4), np.float32),
        "actions": np.zeros((3, 2, 1), np.int32),
        "log_probs": np.zeros((3, 2), np.float32),
        "values": np.zeros((3, 2), np.float32),
    }
    options = {"layout": layout, "seed": 0, "stream": 1, "backend": "reference"}
    for name, array in buffers.items():
        with pytest.raises((TypeError, ValueError), match=f"bind_actor: {name}: expected"):
            kernels.bind_actor(**{**buffers, name: array[::-1]}, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bind_actor: log_probs: expected memory of its own"):
        kernels.bind_actor(**{**buffers, "values": buffers["log_probs"][:]}, **options)  # type: ignore[arg-type]


def test_the_actor_checks_its_calls(backend: str) -> None:
    layout = LAYOUTS["cartpole"]
    observations = np.zeros((3, 2, 4), np.float32)
    rows = [np.zeros((3, 2), np.float32) for _ in range(2)]
    actor = kernels.bind_actor(
        observations, np.zeros((3, 2, 1), np.int32), *rows, layout=layout, seed=0, stream=1, backend=backend
    )
    with pytest.raises(RuntimeError, match="set_parameters"):
        actor.act(0, 0)
    params = random_actor_critic_params(layout, np.float32, np.random.default_rng(0))
    with pytest.raises(TypeError, match="params: expected dtype float32"):
        actor.set_parameters(params.astype(np.float64))
    with pytest.raises(ValueError, match="params: expected shape"):
        actor.set_parameters(params[1:])
    actor.set_parameters(params)
    for t in (-1, 3):
        with pytest.raises(IndexError, match="t: expected"):
            actor.act(t, 0)
        with pytest.raises(IndexError, match="t: expected"):
            actor.act_deterministic(t)


def test_the_actor_keeps_its_own_copy_of_the_parameters(backend: str) -> None:
    layout = LAYOUTS["cartpole"]
    observations = np.ones((2, 1, 4), np.float32)
    log_probs, values = np.zeros((2, 1), np.float32), np.zeros((2, 1), np.float32)
    actor = kernels.bind_actor(
        observations,
        np.zeros((2, 1, 1), np.int32),
        log_probs,
        values,
        layout=layout,
        seed=0,
        stream=1,
        backend=backend,
    )
    params = random_actor_critic_params(layout, np.float32, np.random.default_rng(0))
    params.flags.writeable = False
    actor.set_parameters(params)
    actor.act_deterministic(0)
    params.flags.writeable = True
    params[:] = 0
    actor.act_deterministic(1)
    assert values[1] == values[0] != 0
