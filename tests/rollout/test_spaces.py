"""Spaces to arrays and back: what each supported space becomes, what is refused, and how wrong data are named."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastpg.errors import EnvDataError, SpaceError
from fastpg.kernels.layout import HeadLayout
from fastpg.rollout import ActionDecoder, ObservationEncoder


def encoded(space, batch, **arguments):
    encoder = ObservationEncoder(space)
    out = np.full((len(batch), encoder.size), -7.0, np.float32)
    encoder.encode(batch, out, **arguments)
    return out


BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)

OBSERVATIONS = {
    "box": (BOX, [[1, 2, 3]], [[1, 2, 3]]),
    "box of shape ()": (spaces.Box(-1, 1, (), np.float32), np.array([0.5, -0.5]), [[0.5], [-0.5]]),
    "box of shape (2, 2)": (spaces.Box(-1, 1, (2, 2), np.float64), [[[0.1, 0.2], [0.3, 0.4]]], [[0.1, 0.2, 0.3, 0.4]]),
    "box of bytes": (spaces.Box(0, 255, (2,), np.uint8), np.array([[3, 255]], np.uint8), [[3, 255]]),
    "box of bools": (spaces.Box(0, 1, (2,), np.bool_), np.array([[True, False]]), [[1, 0]]),
    "box of float16": (spaces.Box(-1, 1, (1,), np.float16), np.array([[0.5]], np.float16), [[0.5]]),
    "discrete": (spaces.Discrete(3), np.array([2, 0]), [[0, 0, 1], [1, 0, 0]]),
    "discrete with start": (spaces.Discrete(3, start=-1), np.array([-1, 1]), [[1, 0, 0], [0, 0, 1]]),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), np.array([[1, 0], [0, 2]]), [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]),
    "multi-discrete of shape (2, 1)": (spaces.MultiDiscrete([[2], [2]]), np.array([[[1], [0]]]), [[0, 1, 1, 0]]),
    "multi-binary": (spaces.MultiBinary(3), np.array([[1, 0, 1]], np.int8), [[1, 0, 1]]),
    "multi-binary of shape (2, 1)": (spaces.MultiBinary([2, 1]), np.array([[[1], [0]]], np.int8), [[1, 0]]),
}


@pytest.mark.parametrize(("space", "batch", "expected"), OBSERVATIONS.values(), ids=OBSERVATIONS)
def test_observations_become_rows(space, batch, expected):
    np.testing.assert_allclose(encoded(space, batch), np.array(expected, np.float32))


@pytest.mark.parametrize("start", [0, 5])
def test_samples_of_discrete_spaces_are_one_hot(start):
    space = spaces.MultiDiscrete([2, 5, 3], start=[start] * 3) if start else spaces.MultiDiscrete([2, 5, 3])
    space.seed(0)
    batch = np.stack([space.sample() for _ in range(50)])
    rows = encoded(space, batch)
    assert set(np.unique(rows)) == {0.0, 1.0}
    decoded = np.stack([part.argmax(axis=1) for part in np.split(rows, [2, 7], axis=1)], axis=1)
    np.testing.assert_array_equal(decoded + start, batch)


UNSUPPORTED = {
    "Dict": spaces.Dict({"a": spaces.Discrete(2)}),
    "Tuple": spaces.Tuple((spaces.Discrete(2),)),
    "Text": spaces.Text(5),
    "Graph": spaces.Graph(spaces.Box(0, 1, (1,)), None),
    "Sequence": spaces.Sequence(spaces.Discrete(2)),
}
if hasattr(spaces, "OneOf"):
    UNSUPPORTED["OneOf"] = spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3)))


@pytest.mark.parametrize("space", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_spaces_say_what_is_supported(space):
    supported = "Discrete, MultiDiscrete or MultiBinary"
    with pytest.raises(SpaceError, match=rf"expected Box, {supported}, got \w+\. Fix: .*FlattenObservation"):
        ObservationEncoder(space)
    with pytest.raises(SpaceError, match=rf"expected Box of floats, {supported}, got \w+\. Fix: .*ActionWrapper"):
        ActionDecoder(space)


def test_something_that_is_no_space():
    with pytest.raises(SpaceError, match=r"got NoneType\. Fix: set observation_space to a gymnasium space"):
        ObservationEncoder(None)


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_empty_spaces(shape):
    with pytest.raises(SpaceError, match="is empty"):
        ObservationEncoder(spaces.Box(-1, 1, shape, np.float32))
    with pytest.raises(SpaceError, match="is empty"):
        ActionDecoder(spaces.Box(-1, 1, shape, np.float32))


def test_images():
    with pytest.raises(SpaceError, match="image of 21168 values: expected at most 4096"):
        ObservationEncoder(spaces.Box(0, 255, (84, 84, 3), np.uint8))
    space = spaces.Box(0, 255, (2, 2, 1), np.uint8)
    with pytest.warns(UserWarning, match="divided by 255"):
        encoder = ObservationEncoder(space)
    out = np.empty((1, 4), np.float32)
    encoder.encode(np.full((1, 2, 2, 1), 51, np.uint8), out)
    np.testing.assert_allclose(out, 0.2)


@settings(deadline=None)  # busy machines
@given(
    batch=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.uint16, np.int64, ">f4", ">i2", np.bool_]),
        (4, 3),
        elements={"allow_nan": False, "allow_infinity": False, "min_value": 0, "max_value": 1},
    ),
    layout=st.sampled_from(["C", "F", "reversed", "strided", "broadcast"]),
)
def test_any_memory_layout_and_type_encodes_the_same(batch, layout):
    if layout == "F":
        other = np.asfortranarray(batch)
    elif layout == "reversed":
        other = batch[::-1, ::-1].copy()[::-1, ::-1]
    elif layout == "strided":
        wide = np.zeros((8, 6), batch.dtype)
        wide[::2, ::2] = batch
        other = wide[::2, ::2]
    elif layout == "broadcast":
        batch = np.repeat(batch[:1], 4, axis=0)
        other = np.broadcast_to(batch[0], (4, 3))
    else:
        other = batch
    np.testing.assert_array_equal(encoded(BOX, other), batch.astype(np.float32))


@settings(deadline=None)
@given(row=st.integers(0, 3), index=st.integers(0, 2), value=st.sampled_from([np.nan, np.inf, -np.inf, 1e39]))
def test_a_value_that_is_not_finite_is_named(row, index, value):
    batch = np.zeros((4, 3))
    batch[row, index] = value
    with pytest.raises(EnvDataError) as caught:
        encoded(BOX, batch)
    assert f"observation is {value} at index {index}" in str(caught.value)
    assert f"env {row} of 4" in str(caught.value)


def test_final_observations_are_named_as_such():
    batch = np.zeros((2, 3), np.float32)
    batch[1, 0] = np.nan
    with pytest.raises(EnvDataError, match="final observation of env 7"):
        encoded(BOX, batch, envs=[3, 7])


WRONG = {
    "transposed": (BOX, np.zeros((3, 4)), r"expected shape \(3, 3\), got \(3, 4\)"),
    "flat": (BOX, np.zeros(12), r"expected shape \(12, 3\), got \(12,\)"),
    "complex": (BOX, np.zeros((4, 3), complex), "expected an array of real numbers .*, got ndarray"),
    "strings": (BOX, [["a", "b", "c"]], "expected an array of real numbers .*, got list"),
    "ragged": (BOX, [[1, 2, 3], [1]], "expected an array of real numbers .*, got list"),
    "real choice": (spaces.Discrete(3), np.array([0.5]), "expected an array of integers .*, got dtype float64"),
    "choice too large": (spaces.Discrete(3), np.array([0, 3]), "observation is 3 at index 0: .* env 1 of 2"),
    "choice below start": (spaces.Discrete(3, start=1), np.array([0]), "observation is 0 at index 0"),
}


@pytest.mark.parametrize(("space", "batch", "message"), WRONG.values(), ids=WRONG)
def test_wrong_observations(space, batch, message):
    with pytest.raises(EnvDataError, match=message):
        encoded(space, batch)


HEADS = {
    "discrete": (spaces.Discrete(4), HeadLayout("categorical", (4,))),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), HeadLayout("categorical", (2, 3))),
    "multi-discrete of shape (2, 1)": (spaces.MultiDiscrete([[2], [3]]), HeadLayout("categorical", (2, 3))),
    "multi-binary": (spaces.MultiBinary(3), HeadLayout("bernoulli", (1, 1, 1))),
    "box": (spaces.Box(-1, 1, (2,), np.float32), HeadLayout("gaussian", (1, 1))),
    "box of shape ()": (spaces.Box(-1, 1, (), np.float32), HeadLayout("gaussian", (1,))),
    "box of shape (2, 2)": (spaces.Box(-1, 1, (2, 2), np.float64), HeadLayout("gaussian", (1, 1, 1, 1))),
}


@pytest.mark.parametrize(("space", "head"), HEADS.values(), ids=HEADS)
def test_heads_and_decoded_actions(space, head):
    decoder = ActionDecoder(space)
    assert decoder.head == head
    rng = np.random.default_rng(0)
    if head.kind == "gaussian":
        actions = rng.normal(0, 3, (20, head.n_actions)).astype(np.float32)
    else:
        high = head.sizes if head.kind == "categorical" else 2
        actions = rng.integers(0, high, (20, head.n_actions)).astype(np.int32)
    before = actions.copy()
    decoded = decoder.decode(actions)
    assert not np.shares_memory(decoded, actions)
    assert decoded.dtype == space.dtype
    batched = gym.vector.utils.batch_space(space, 20)
    assert batched.contains(decoded)
    np.testing.assert_array_equal(actions, before)
    if head.kind == "gaussian":
        np.testing.assert_allclose(decoded.reshape(20, -1), np.clip(actions, -1, 1))
    else:
        np.testing.assert_array_equal(decoded.reshape(20, -1), actions)


def test_actions_start_where_the_space_starts():
    decoder = ActionDecoder(spaces.Discrete(3, start=10))
    np.testing.assert_array_equal(decoder.decode(np.array([[0], [2]], np.int32)), [10, 12])
    decoder = ActionDecoder(spaces.MultiDiscrete([3, 2], start=[5, -1]))
    np.testing.assert_array_equal(decoder.decode(np.array([[0, 1], [2, 0]], np.int32)), [[5, 0], [7, -1]])


def test_integer_actions_are_never_rounded():
    with pytest.raises(SpaceError, match="holds int32: expected a Box of floats"):
        ActionDecoder(spaces.Box(0, 5, (1,), np.int32))


def test_unbounded_actions_warn_and_pass_unclipped():
    with pytest.warns(UserWarning, match="not bounded"):
        decoder = ActionDecoder(spaces.Box(np.float32([-1, -np.inf]), np.float32([1, np.inf]), dtype=np.float32))
    np.testing.assert_array_equal(decoder.decode(np.array([[5, 500]], np.float32)), [[1, 500]])
