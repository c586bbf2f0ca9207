"""predict with bound buffers, and without them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gymnasium import spaces

from fastpg.errors import EnvDataError
from fastpg.policies import ActorCritic
from fastpg.rollout.normalize import Normalizer
from fastpg.rollout.spaces import ActionDecoder, ObservationEncoder
from fastpg.training import agent as agent_module
from fastpg.training.agent import Agent

BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)
ACTION_SPACES = [BOX, spaces.Discrete(3, start=1), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)]


def agent_of(action_space=BOX, *, normalizer=None, seed=3):
    decoder = ActionDecoder(action_space)
    policy = ActorCritic.create(4, decoder.head, net_arch=[8], seed=1)
    return Agent(ObservationEncoder(BOX), decoder, policy=policy, normalizer=normalizer, seed=seed)


def observations(n):
    return np.random.default_rng(n).uniform(-1, 1, (n, 4)).astype(np.float32)


def unbound(monkeypatch):
    monkeypatch.setattr(agent_module, "_MAX_BOUND_ROWS", 0)


@pytest.mark.parametrize("is_normalizing", [False, True])
@pytest.mark.parametrize("is_deterministic", [False, True])
@pytest.mark.parametrize("action_space", ACTION_SPACES, ids=lambda space: type(space).__name__)
def test_bound_buffers_change_no_action(monkeypatch, action_space, is_deterministic, is_normalizing):
    def actions():
        normalizer = None
        if is_normalizing:
            normalizer = Normalizer(4)
            normalizer.update_observations(observations(50))
        agent = agent_of(action_space, normalizer=normalizer)
        sizes = [1, 3, 1, *range(2, 14), 1]  # more than stay bound
        return [agent.predict(observations(n), deterministic=is_deterministic) for n in sizes]

    bound = actions()
    unbound(monkeypatch)
    for one, other in zip(bound, actions(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_results_are_arrays_of_their_own():
    agent = agent_of()
    first = agent.predict(observations(2), deterministic=False)
    kept = first.copy()
    second = agent.predict(observations(2), deterministic=False)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


def test_a_refused_observation_leaves_the_buffers_usable():
    agent = agent_of()
    with pytest.raises(EnvDataError, match="nan"):
        agent.predict(np.full(4, np.nan, np.float32), deterministic=True)
    expected = agent_of().predict(observations(1)[0], deterministic=True)
    np.testing.assert_array_equal(agent.predict(observations(1)[0], deterministic=True), expected)


@pytest.mark.parametrize("is_deterministic", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("action_space", [*ACTION_SPACES, spaces.Discrete(5000, start=-3)], ids=str)
def test_one_observation_is_a_batch_of_one(action_space, dtype, is_deterministic):
    one, many = agent_of(action_space), agent_of(action_space)
    for row in (3 * observations(6)).astype(dtype):
        action = one.predict(row, deterministic=is_deterministic)
        expected = many.predict(row[None], deterministic=is_deterministic)[0]
        assert type(action) is type(expected)
        assert action.dtype == expected.dtype
        np.testing.assert_array_equal(action, expected)


@pytest.mark.parametrize(
    ("observation", "error", "message"),
    [
        (np.array([0, np.nan, 0, 0], np.float32), EnvDataError, "observation is nan at index 1"),
        (np.array([0, 0, 1e300, 0]), EnvDataError, "observation is 1e\\+300 at index 2"),
        (np.array(["a", "b", "c", "d"]), EnvDataError, "expected an array of real numbers"),
        (np.zeros(3, np.float32), ValueError, "observation: expected shape"),
        ((np.zeros(4, np.float32), {}), ValueError, "got the tuple"),
    ],
    ids=["nan", "overflow", "text", "shape", "tuple"],
)
def test_the_fast_way_for_one_observation_refuses_what_the_other_one_does(observation, error, message):
    agent = agent_of()
    for _ in range(2):  # the first call binds the buffers
        with pytest.raises(error, match=message):
            agent.predict(observation, deterministic=True)
        agent.predict(observations(1)[0], deterministic=True)


def test_new_parameters_reach_the_fast_way():
    agent = agent_of()
    row = observations(1)[0]
    before = [agent.predict(row, deterministic=True) for _ in range(2)]
    agent.policy.set_params(2 * agent.policy.params)
    after = agent.predict(row, deterministic=True)
    np.testing.assert_array_equal(*before)
    assert (after != before[0]).any()


def test_empty_batch():
    assert agent_of().predict(np.empty((0, 4), np.float32), deterministic=True).shape == (0, 4)


def test_threads_get_the_actions_of_their_own_observations():
    agent = agent_of()
    rows = observations(40)
    expected = [agent.predict(row, deterministic=True) for row in rows]

    def work(_):
        return [agent.predict(row, deterministic=True) for row in rows]

    with ThreadPoolExecutor(4) as pool:
        for actions in pool.map(work, range(20)):
            np.testing.assert_array_equal(actions, expected)
