"""Steps in which nothing is special: what is stored, and what is left to a closer look."""

from __future__ import annotations

import sys
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from fastpg.kernels import backends
from fastpg.rollout.plain_steps import plain_steps, plain_store

N, SIZE, T = 3, 23, 5  # more numbers in a row of rows than in four registers, and some left

needs_native = pytest.mark.skipif("native" not in backends.available(), reason="the C++ kernels are not installed")
both = pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_native), "reference"])


class Scripted:
    """Returns, or raises, what it is given, one after another; the last one for ever."""

    def __init__(self, *results):
        self.results, self.n_steps, self.actions = results, 0, []

    def step(self, action):
        self.actions.append(action)
        self.n_steps += 1
        result = self.results[min(self.n_steps, len(self.results)) - 1]
        if isinstance(result, BaseException):
            raise result
        return result


def plain(value=1.0, **changes):
    """A plain result, or one that differs in some of its five parts."""
    parts = {
        "observation": np.full(SIZE, value, np.float32),
        "reward": 10.0 * value,
        "terminated": False,
        "truncated": False,
        "info": {},
    }
    return tuple((parts | changes).values())


class Stepping:
    """A stepper with its arrays."""

    def __init__(self, backend, shape=(SIZE,), dtype=np.float32, n_envs=N):
        self.observations, self.rewards = np.zeros((n_envs, *shape), dtype), np.zeros(n_envs)
        self.stepper = plain_steps(self.observations, backend=backend)

    def run(self, envs, actions=None, *, first=0, has_infos=False):
        return self.stepper.run(envs, range(len(envs)) if actions is None else actions, first, self.rewards, has_infos)


@both
def test_plain_results_are_stored(backend):
    stepping = Stepping(backend)
    envs = [Scripted(plain(float(i))) for i in range(N)]
    assert stepping.run(envs, np.array([7, 8, 9])) is None
    np.testing.assert_array_equal(stepping.observations, [[0] * SIZE, [1] * SIZE, [2] * SIZE])
    np.testing.assert_array_equal(stepping.rewards, [0, 10, 20])
    assert [env.actions for env in envs] == [[7], [8], [9]]
    assert all(isinstance(env.actions[0], np.int64) for env in envs)
    assert stepping.stepper.index == N - 1


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"reward": np.float64(20.0)},
        {"terminated": np.False_, "truncated": np.False_},
        {"reward": 20},
        {"reward": np.float32(20.0)},
        {"info": {"x": 1}},
    ],
    ids=str,
)
def test_also_plain(backend, changes):
    stepping = Stepping(backend)
    assert stepping.run([Scripted(plain(2.0, **changes))] * N) is None
    np.testing.assert_array_equal(stepping.observations, np.full((N, SIZE), 2.0))
    np.testing.assert_array_equal(stepping.rewards, [20.0] * N)


SPECIAL = {
    "terminated": plain(terminated=True),
    "truncated": plain(truncated=np.True_),
    "flag that is none": plain(terminated=None),
    "flag that is 0": plain(truncated=0),
    "reward None": plain(reward=None),
    "bool reward": plain(reward=True),
    "float16 reward": plain(reward=np.float16(1.0)),
    "reward that no int64 holds": plain(reward=2**63),
    "reward in an array": plain(reward=np.ones(1)),
    "list": plain(observation=[0.0] * SIZE),
    "other dtype": plain(observation=np.zeros(SIZE)),
    "other byte order": plain(observation=np.zeros(SIZE, ">f4")),
    "other shape": plain(observation=np.zeros(SIZE + 1, np.float32)),
    "more axes": plain(observation=np.zeros((1, SIZE), np.float32)),
    "subclass of ndarray": plain(observation=np.ma.zeros(SIZE, np.float32)),
    "int": plain(observation=1),
    "four values": plain()[:4],
    "six values": (*plain(), 1),
    "list of five": list(plain()),
    "None": None,
    "exception that is returned": RuntimeError,
}


@both
@pytest.mark.parametrize("result", SPECIAL.values(), ids=SPECIAL)
def test_a_special_result_is_returned_and_nothing_behind_it_is_stepped(backend, result):
    stepping = Stepping(backend)
    envs = [Scripted(plain()), Scripted(result, plain(5.0)), Scripted(plain(2.0))]
    index, returned = stepping.run(envs)
    assert index == stepping.stepper.index == 1
    assert returned is result
    assert [env.n_steps for env in envs] == [1, 1, 0]
    assert stepping.run(envs, first=2) is None
    assert [env.n_steps for env in envs] == [1, 1, 1]
    np.testing.assert_array_equal(stepping.observations[[0, 2]], [[1.0] * SIZE, [2.0] * SIZE])


@both
def test_infos_matter_where_they_are_asked_for(backend):
    stepping = Stepping(backend)
    envs = [Scripted(plain()), Scripted(plain(info={"x": 1})), Scripted(plain())]
    assert stepping.run(envs, has_infos=True)[0] == 1
    assert stepping.run(envs, first=2, has_infos=True) is None


@both
def test_ints_for_rows_of_one_int64(backend):
    stepping = Stepping(backend, shape=(), dtype=np.int64)
    assert stepping.run([Scripted(plain(observation=number)) for number in (3, -(2**63), 2**63 - 1)]) is None
    np.testing.assert_array_equal(stepping.observations, [3, -(2**63), 2**63 - 1])
    for special in (2**63, -(2**63) - 1, True, np.int64(3), 1.0):
        assert stepping.run([Scripted(plain(observation=special))] * N) == (0, plain(observation=special))


@both
def test_observations_with_several_axes(backend):
    stepping = Stepping(backend, shape=(2, 3), dtype=np.uint8)
    observation = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert stepping.run([Scripted(plain(observation=observation))] * N) is None
    np.testing.assert_array_equal(stepping.observations, [observation] * N)
    strided = np.arange(12, dtype=np.uint8).reshape(2, 6)[:, ::2]
    special = stepping.run([Scripted(plain(observation=strided))] * N)
    if special is None:  # which copies it, or leaves it to the caller
        np.testing.assert_array_equal(stepping.observations, [strided] * N)
    else:
        assert special[0] == 0


@both
def test_a_named_tuple_is_a_tuple(backend):
    stepping = Stepping(backend)
    result = namedtuple("Step", "observation reward terminated truncated info")(*plain(2.0))
    assert stepping.run([Scripted(result)] * N) is None
    np.testing.assert_array_equal(stepping.rewards, [20.0] * N)


@both
def test_a_strange_info_is_special_where_infos_matter(backend):
    for info in (None, np.ones(2), [], 0):
        assert Stepping(backend).run([Scripted(plain(info=info))] * N) is None
        assert Stepping(backend).run([Scripted(plain(info=info))] * N, has_infos=True)[0] == 0


@both
@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_exception_passes_through_and_its_environment_is_known(backend, error):
    stepping = Stepping(backend)
    envs = [Scripted(plain()), Scripted(error), Scripted(plain())]
    with pytest.raises(type(error)) as caught:
        stepping.run(envs)
    assert caught.value is error
    assert stepping.stepper.index == 1
    assert [env.n_steps for env in envs] == [1, 1, 0]


@both
def test_what_has_no_step_is_an_error(backend):
    with pytest.raises(AttributeError, match="step"):
        Stepping(backend).run([object()] * N)


@both
def test_a_step_method_that_is_replaced_later_is_called(backend):
    stepping = Stepping(backend)
    envs = [Scripted(plain()) for _ in range(N)]
    assert stepping.run(envs) is None
    envs[1].step = lambda action: plain(float(action))
    assert stepping.run(envs, [4.0, 5.0, 6.0]) is None
    np.testing.assert_array_equal(stepping.observations[1], [5.0] * SIZE)


@both
def test_environments_that_go_away_while_they_are_stepped(backend):
    stepping = Stepping(backend)
    envs = []

    def step(action):
        envs.clear()
        return plain()

    envs.extend(SimpleNamespace(step=step) for _ in range(N))
    with pytest.raises(IndexError):
        stepping.run(envs, [0] * N)


@both
def test_a_step_that_steps_all_others(backend):
    """As an environment might that holds the vector environment."""
    stepping = Stepping(backend)
    others = [Scripted(plain(2.0))] * N

    def step(action):
        assert stepping.run(others) is None
        return plain(3.0)

    assert stepping.run([SimpleNamespace(step=step)] * N, [0] * N) is None
    np.testing.assert_array_equal(stepping.observations, [[2.0] * SIZE] * (N - 1) + [[3.0] * SIZE])
    np.testing.assert_array_equal(stepping.rewards, [20.0] * (N - 1) + [30.0])


@both
def test_no_reference_is_lost_or_kept(backend):
    stepping = Stepping(backend)
    results = [plain(), plain(terminated=True)]
    envs = [Scripted(results[0]), Scripted(results[1]), Scripted(plain())]
    actions = [object() for _ in range(N)]
    held = [*results, *(part for result in results for part in result), *actions, *envs]
    for env in envs:
        env.step(None)
        env.actions = SimpleNamespace(append=lambda action: None)
    before = [sys.getrefcount(thing) for thing in held]
    for _ in range(50):
        assert stepping.run(envs, actions) == (1, results[1])
    assert [sys.getrefcount(thing) for thing in held] == before


@both
def test_without_an_array_nothing_is_plain(backend):
    stepper = plain_steps(None, backend=backend)
    result = plain()
    assert stepper.run([Scripted(result)], [0], 0, np.zeros(1), False) == (0, result)


@needs_native
@pytest.mark.parametrize(
    ("observations", "error", "message"),
    [
        (np.zeros((N, SIZE), object), TypeError, "expected numbers, got dtype object"),
        (np.zeros((N, SIZE), np.float32)[:, ::2], ValueError, "C-contiguous"),
        (np.zeros((), np.float32), ValueError, "at least one axis"),
        (np.frombuffer(bytes(4 * N), np.float32), ValueError, "writeable"),
    ],
)
def test_arrays_that_cannot_be_written_row_by_row(observations, error, message):
    with pytest.raises(error, match=message):
        plain_steps(observations, backend="native")


@needs_native
def test_an_array_whose_shape_is_changed_later():
    rows = np.zeros((4, 6), np.float32)
    stepper = plain_steps(rows, backend="native")
    rows.shape = (8, 3)
    result = plain(observation=np.ones(3, np.float32))
    assert stepper.run([Scripted(result)] * 8, [0] * 8, 0, np.zeros(4), False) == (0, result)
    assert (
        stepper.run([Scripted(plain(observation=np.ones(6, np.float32)))] * 4, [0] * 4, 0, np.zeros(4), False) is None
    )
    assert rows.all()


@needs_native
@pytest.mark.parametrize(
    "rewards", [np.zeros(N + 1), np.zeros(N, np.float32), np.zeros(2 * N)[::2], np.zeros((N, 1))], ids=repr
)
def test_rewards_of_another_kind(rewards):
    envs = [Scripted(plain())] * N
    with pytest.raises((TypeError, ValueError), match="rewards"):
        Stepping("native").stepper.run(envs, [0] * N, 0, rewards, False)
    with pytest.raises(ValueError, match="first"):
        Stepping("native").run(envs, first=-1)
    assert Stepping("native").run(envs, first=N) is None
    assert envs[0].n_steps == 0


class Storing:
    """The function of ``plain_store`` with its arrays, and a plain step."""

    def __init__(self):
        self.observations, self.rewards = np.zeros((T + 1, N, SIZE), np.float32), np.zeros((T, N), np.float32)
        self.raw_rewards, self.episode_returns = np.zeros(N), np.arange(N, dtype=np.float64)
        self.store = plain_store(
            self.observations, self.rewards, self.raw_rewards, self.episode_returns, backend="native"
        )
        self.step = {
            "observations": np.arange(N * SIZE, dtype=np.float32).reshape(N, SIZE),
            "rewards": np.array([0.1, -1e30, 3.4028234663852886e38]),
            "terminated": np.zeros(N, np.bool_),
            "truncated": np.zeros(N, np.bool_),
        }

    def __call__(self, t=0, **changes):
        return self.store(t, *(self.step | changes).values())


@needs_native
@pytest.mark.parametrize("t", [0, T - 1])
def test_a_plain_step_is_stored(t):
    storing = Storing()
    assert storing(t)
    np.testing.assert_array_equal(storing.observations[t + 1], storing.step["observations"])
    np.testing.assert_array_equal(storing.rewards[t], storing.step["rewards"].astype(np.float32))
    np.testing.assert_array_equal(storing.raw_rewards, storing.step["rewards"])
    np.testing.assert_array_equal(storing.episode_returns, np.arange(N) + storing.step["rewards"])
    assert np.count_nonzero(np.delete(storing.rewards, t, axis=0)) == 0
    assert np.count_nonzero(np.delete(storing.observations, t + 1, axis=0)) == 0


def changed(array, index, value):
    """A copy of ``array`` with another value at ``index``."""
    array = array.copy()
    array.reshape(-1)[index] = value
    return array


NOT_PLAIN = {
    **{f"{name} at {i}": {name: changed(np.zeros(N, np.bool_), i, True)} for name in ("terminated", "truncated")
       for i in range(N)},
    **{f"observation {value} at {i}": {"observations": changed(np.zeros((N, SIZE), np.float32), i, value)}
       for value in (np.nan, np.inf, -np.inf) for i in range(N * SIZE)},
    **{f"reward {value} at {i}": {"rewards": changed(np.zeros(N), i, value)}
       for value in (np.nan, np.inf, -np.inf, 3.4028235e38, -1e39) for i in range(N)},
    "flags that are no bools": {"terminated": np.zeros(N, np.int8)},
    "one flag": {"truncated": False},
    "list": {"rewards": [0.0] * N},
    "float32 rewards": {"rewards": np.zeros(N, np.float32)},
    "strided rewards": {"rewards": np.zeros(2 * N)[::2]},
    "rewards that are not aligned": {"rewards": np.frombuffer(bytes(8 * N + 1), np.uint8)[1:].view(np.float64)},
    "float64 observations": {"observations": np.zeros((N, SIZE))},
    "one row too few": {"observations": np.zeros((N - 1, SIZE), np.float32)},
    "one axis too few": {"observations": np.zeros(N * SIZE, np.float32)},
    "columns first": {"observations": np.zeros((SIZE, N), np.float32).T},
}  # fmt: skip


@needs_native
@pytest.mark.parametrize("changes", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_a_step_that_is_not_plain_does_not_count(changes):
    storing = Storing()
    assert not storing(2, **changes)
    assert np.count_nonzero(storing.rewards) == np.count_nonzero(storing.raw_rewards) == 0
    np.testing.assert_array_equal(storing.episode_returns, np.arange(N))
    assert np.count_nonzero(np.delete(storing.observations, 3, axis=0)) == 0


@needs_native
@pytest.mark.parametrize("t", [-1, T])
def test_rows_that_are_not_there(t):
    with pytest.raises(IndexError, match=r"t: expected an integer in \[0, 4\]"):
        Storing()(t)


@needs_native
def test_arrays_that_do_not_belong_together():
    good = {
        "observations": np.zeros((T + 1, N, SIZE), np.float32),
        "rewards": np.zeros((T, N), np.float32),
        "raw_rewards": np.zeros(N),
        "episode_returns": np.zeros(N),
    }
    bad = {
        "observations": np.zeros((T, N, SIZE), np.float32),
        "rewards": np.zeros((T, N)),
        "raw_rewards": np.zeros(N + 1),
        "episode_returns": np.zeros(N, np.float32),
    }
    for name, array in bad.items():
        with pytest.raises((TypeError, ValueError), match=name):
            plain_store(**(good | {name: array}), backend="native")


def test_without_a_compiler_no_step_is_plain():
    arrays = np.zeros((T + 1, N, SIZE), np.float32), np.zeros((T, N), np.float32), np.zeros(N), np.zeros(N)
    assert not plain_store(*arrays, backend="reference")(0, None, None, None, None)
