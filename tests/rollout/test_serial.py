"""SerialVectorEnv: a Gymnasium vector environment that names what goes wrong and where."""

from __future__ import annotations

import pickle
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from fastpg.errors import ConfigError, EnvDataError, EnvError
from fastpg.kernels import backends
from fastpg.rollout import SerialVectorEnv
from tests.envs import FaultyEnv, ScriptedEnv, scripted_fns

HAS_MODES = hasattr(gym.vector, "AutoresetMode")

needs_native = pytest.mark.skipif("native" not in backends.available(), reason="the C++ kernels are not installed")


@pytest.fixture(autouse=True, params=[pytest.param("native", marks=needs_native), "reference"])
def _loop(request, monkeypatch):
    """Every test with the compiled loop over the environments and with the one in Python."""
    monkeypatch.setenv("FASTPG_BACKEND", request.param)


def actions_for(env, t):
    return np.full(env.num_envs, t % 2)


def run(env, n_steps=12):
    for t in range(n_steps):
        result = env.step(actions_for(env, t))
    return result


@pytest.mark.skipif(not HAS_MODES, reason="Gymnasium 1.0 has NEXT_STEP only")
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_does_what_gymnasium_does(env_id):
    fns = [lambda: gym.make(env_id) for _ in range(3)]
    ours = SerialVectorEnv(fns)
    theirs = gym.vector.SyncVectorEnv(fns, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    _assert_same(ours.reset(seed=4), theirs.reset(seed=4))
    theirs.action_space.seed(0)
    for _ in range(300):
        actions = theirs.action_space.sample()
        _assert_same(ours.step(actions), theirs.step(actions))
    assert ours.np_random_seed == theirs.np_random_seed


def _assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            _assert_same(value, theirs[key])
    elif isinstance(ours, tuple):
        for one, other in zip(ours, theirs, strict=True):
            _assert_same(one, other)
    elif isinstance(ours, np.ndarray) and ours.dtype != object:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    elif isinstance(ours, np.ndarray):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_works_under_gymnasium_wrappers():
    env = gym.wrappers.vector.RecordEpisodeStatistics(SerialVectorEnv(scripted_fns(2)))
    env.reset(seed=0)
    for t in range(4):
        _, _, _, _, infos = env.step(actions_for(env, t))
        if "episode" in infos:
            break
    assert infos["episode"]["l"][0] == 3


def test_environment_i_is_seeded_with_seed_plus_i():
    env = SerialVectorEnv([lambda: gym.make("CartPole-v1") for _ in range(3)], seed=7)
    first, _ = env.reset()
    assert env.np_random_seed == (7, 8, 9)
    again, _ = env.reset(seed=7)
    np.testing.assert_array_equal(first, again)
    listed, _ = env.reset(seed=[9, 8, 7])
    np.testing.assert_array_equal(first, listed[::-1])
    with pytest.raises(ConfigError, match="expected one per environment"):
        env.reset(seed=[1])


def test_observations_are_not_shared_between_steps():
    env = SerialVectorEnv(scripted_fns(1))
    first, _ = env.reset()
    copy = first.copy()
    env.step(np.zeros(1, np.int64))
    np.testing.assert_array_equal(first, copy)


def test_infos_of_running_episodes_can_be_left_out():
    class Talkative(ScriptedEnv):
        def step(self, action):
            *result, _ = super().step(action)
            return *result, {"x": 1.0}

    env = SerialVectorEnv([Talkative])
    env.reset()
    assert env.step([0])[4]["x"][0] == 1.0
    assert env.step_lean([0])[4] == {}
    assert env.step_lean([0])[4]["final_info"]["x"][0] == 1.0


def test_a_lean_step_returns_the_same_in_the_same_arrays():
    env, expected = SerialVectorEnv(scripted_fns(2)), SerialVectorEnv(scripted_fns(2))
    env.reset()
    expected.reset()
    actions = np.zeros(2, np.int64)
    before = env.step_lean(actions)[1:4]
    expected.step(actions)
    for _ in range(20):  # flags of ended episodes do not stay behind
        arrays = env.step_lean(actions)[:4]
        assert all(array is earlier for array, earlier in zip(arrays[1:], before, strict=True))
        for array, expected_array in zip(arrays, expected.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(array, expected_array)


def test_a_lean_step_does_not_write_to_arrays_of_others():
    env = SerialVectorEnv(scripted_fns(2))
    env.reset()
    actions = np.zeros(2, np.int64)
    for _ in range(20):
        arrays = env.step(actions)[:4]
        copies = [array.copy() for array in arrays]
        env.step_lean(actions)
        env.step_lean(actions)
        for array, copy in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_a_step_that_fails_leaves_no_flag_behind():
    class BadOnce(ScriptedEnv):
        n_steps = 0

        def step(self, action):
            BadOnce.n_steps += 1
            observation, reward, _, _, info = super().step(action)
            terminated, truncated = (True, None) if BadOnce.n_steps == 1 else (False, False)
            return observation, reward, terminated, truncated, info

    env = SerialVectorEnv([BadOnce])
    env.reset()
    with pytest.raises(EnvDataError, match="truncated is None"):
        env.step_lean([0])
    env.reset()
    assert not env.step_lean([0])[2][0]


def test_a_final_observation_outlives_the_reset_of_an_environment_with_one_array():
    class OneArray(ScriptedEnv):
        observation = np.zeros(4, np.float32)

        def _observation(self):
            self.observation[:] = super()._observation()
            return self.observation

    env, expected = SerialVectorEnv([OneArray]), SerialVectorEnv([ScriptedEnv])
    env.reset()
    expected.reset()
    n_ends = 0
    for _ in range(10):
        infos, expected_infos = env.step([0])[4], expected.step([0])[4]
        if "final_obs" in expected_infos:
            np.testing.assert_array_equal(infos["final_obs"][0], expected_infos["final_obs"][0])
            n_ends += 1
    assert n_ends > 2


FAULTS = {
    "None reward": ({"reward": None}, "reward is None: expected a real number"),
    "text reward": ({"reward": "1"}, "reward is str '1': expected a real number"),
    "complex reward": ({"reward": 1j}, "reward is complex 1j"),
    "vector reward": ({"reward": np.ones(2)}, "reward is ndarray"),
    "None terminated": ({"terminated": None}, "terminated is None: expected True or False"),
    "real truncated": ({"truncated": 0.5}, "truncated is float 0.5: expected True or False"),
    "wrong shape": ({"observation": np.zeros(3, np.float32)}, r"observation: expected shape \(4,\), got \(3,\)"),
    "scalar observation": ({"observation": 1.0}, r"observation: expected shape \(4,\), got \(\)"),
    "text observation": ({"observation": "abcd"}, "observation: expected an array of real numbers, got str 'abcd'"),
    "None observation": ({"observation": None}, "observation: expected an array of real numbers, got None"),
    "ragged observation": ({"observation": [1, [2, 3]]}, "observation: expected an array of real numbers, got list"),
    "overflow": ({"observation": np.array([0, 1e40, 0, 0])}, r"observation is 1e\+40: .* float32 can hold"),
    "old step": ({"result": (np.zeros(4), 1.0, False, {})}, "got 4 values; is this the old Gym API"),
    "six values": ({"result": (np.zeros(4), 1.0, False, False, {}, 1)}, "got 6 values"),
    "no tuple": ({"result": 7}, "got int 7"),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_wrong_data_are_named_with_their_place(fault, message):
    env = SerialVectorEnv([ScriptedEnv, lambda: FaultyEnv(at=5, **fault), ScriptedEnv])
    env.reset()
    with pytest.raises(EnvDataError, match=message) as caught:
        run(env)
    assert "env 1 of 3, episode step 2" in str(caught.value)


@pytest.mark.parametrize(
    ("result", "given"),
    [(np.zeros(4, np.float32), "got ndarray"), ((np.zeros(4), 1.0), "got 2 values"), (None, "got None")],
)
def test_old_reset(result, given):
    env = SerialVectorEnv([ScriptedEnv, lambda: FaultyEnv(at=0, result=result)])
    with pytest.raises(EnvDataError, match=rf"reset: expected \(obs, info\), {given}.*old Gym API.*env 1 of 2"):
        env.reset()


ACCEPTED = {
    "int reward": {"reward": 1},
    "bool reward": {"reward": True},
    "float32 reward": {"reward": np.float32(1)},
    "0-d reward": {"reward": np.array(1.0)},
    "int terminated": {"terminated": 0},
    "np.bool_ truncated": {"truncated": np.bool_(False)},
    "list observation": {"observation": [0, 0, 0, 1]},
    "float64 observation": {"observation": np.array([0.0, 0, 0, 1])},
    "big-endian observation": {"observation": np.array([0, 0, 0, 1], ">f4")},
    "integer observation": {"observation": np.array([0, 0, 0, 1])},
}


@pytest.mark.parametrize("fault", ACCEPTED.values(), ids=ACCEPTED)
def test_equivalent_data_are_accepted(fault):
    env = SerialVectorEnv([lambda: FaultyEnv(at=1, **fault)])
    env.reset()
    observations, rewards, terminated, truncated, _ = env.step([0])
    assert observations.dtype == np.float32
    assert rewards.dtype == np.float64
    assert terminated.dtype == truncated.dtype == np.bool_
    if "reward" in fault:
        assert rewards[0] == 1.0
    if "observation" in fault:
        np.testing.assert_array_equal(observations[0], [0, 0, 0, 1])


def test_a_reward_in_an_array_is_accepted_with_a_warning():
    env = SerialVectorEnv([lambda: FaultyEnv(at=1, reward=np.array([2.0]))])
    env.reset()
    with pytest.warns(DeprecationWarning, match="return a float"):
        assert env.step([0])[1][0] == 2.0


@pytest.mark.parametrize("n_actions", [1, 3])
def test_too_few_or_too_many_actions(n_actions):
    env = SerialVectorEnv(scripted_fns(2))
    env.reset()
    with pytest.raises(ConfigError, match=rf"actions: expected one per environment \(2\), got {n_actions}"):
        env.step([0] * n_actions)
    assert [one.step_index for one in env.envs] == [0, 0]


@pytest.mark.parametrize("make", [iter, dict.fromkeys, lambda actions: (action for action in actions)])
def test_actions_in_what_has_no_index(make):
    env = SerialVectorEnv([Recording] * 2)
    env.reset()
    env.step(make([3, 4]))
    assert [one.action for one in env.envs] == [3, 4]


def test_actions_of_a_tuple_space():
    env = SerialVectorEnv([Recording] * 2)
    env.reset()
    space = gym.vector.utils.batch_space(spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))), 2)
    env.step(gym.vector.utils.iterate(space, (np.array([0, 1]), np.array([2, 0]))))
    assert [one.action for one in env.envs] == [(0, 2), (1, 0)]


@pytest.mark.parametrize("change", [list.pop, lambda envs: envs.append(envs[0])])
def test_a_changed_number_of_environments(change):
    env = SerialVectorEnv(scripted_fns(2))
    env.reset()
    change(env.envs)
    with pytest.raises(ConfigError, match="envs: expected 2 as when they were made"):
        env.step([0, 0])


@pytest.mark.parametrize("duplicate", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself(duplicate):
    env = SerialVectorEnv([ScriptedEnv, ScriptedEnv])
    env.reset()
    env.step([0, 0])
    copied = duplicate(env)
    expected = [env.step([0, 0]) for _ in range(6)]
    for result in expected:
        _assert_same(copied.step([0, 0]), result)


class Recording(ScriptedEnv):
    """Remembers the last action."""

    def step(self, action):
        self.action = action
        return super().step(action)


def test_an_observation_that_int64_cannot_hold():
    class Huge(Counting):
        def step(self, action):
            return 2**63, 0.0, False, False, {}

    env = SerialVectorEnv([Huge])
    env.reset()
    with pytest.raises(EnvDataError, match="expected values of dtype int64, got uint64"):
        env.step([0])


class Counting(gym.Env):
    """Observes how many steps it has taken, as an int."""

    observation_space = spaces.Discrete(9)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.n_steps = 0
        return 0, {}

    def step(self, action):
        self.n_steps += 1
        return self.n_steps, self.n_steps, self.n_steps == 3, False, {}


def test_observations_that_are_ints():
    env = SerialVectorEnv([Counting] * 2)
    env.reset()
    results = [env.step([0, 0]) for _ in range(4)]
    np.testing.assert_array_equal([result[0] for result in results], [[1, 1], [2, 2], [0, 0], [1, 1]])
    np.testing.assert_array_equal([result[1] for result in results], [[1, 1], [2, 2], [3, 3], [1, 1]])
    assert list(results[2][4]["final_obs"]) == [3, 3]


def test_observations_of_a_dict_space():
    class Named(Counting):
        observation_space = spaces.Dict({"n": spaces.Box(0, 9, (1,), np.float32)})

        def reset(self, *, seed=None, options=None):
            super().reset()
            return {"n": np.zeros(1, np.float32)}, {}

        def step(self, action):
            n_steps, reward, *flags, info = super().step(action)
            return {"n": np.full(1, n_steps, np.float32)}, float(reward), *flags, info

    env = SerialVectorEnv([Named] * 2)
    env.reset()
    results = [env.step([0, 0]) for _ in range(4)]
    np.testing.assert_array_equal([result[0]["n"][:, 0] for result in results], [[1, 1], [2, 2], [0, 0], [1, 1]])


def test_integer_observations_are_not_truncated():
    class Halves(gym.Env):
        observation_space = spaces.Discrete(3)
        action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return 1, {}

        def step(self, action):
            return 0.5, 0.0, False, False, {}

    env = SerialVectorEnv([Halves])
    env.reset()
    with pytest.raises(EnvDataError, match="expected values of dtype int64, got float64"):
        env.step([0])


@pytest.mark.parametrize("at", [0, 3, 4])
def test_an_exception_is_wrapped_with_its_place(at):
    error = RuntimeError("boom")
    env = SerialVectorEnv([ScriptedEnv, lambda: FaultyEnv(at=at, error=error)])
    method = "step" if at else "reset"

    def play():
        env.reset()
        run(env)

    with pytest.raises(EnvError, match=rf"{method}\(\) raised RuntimeError: boom — env 1 of 2, episode step") as caught:
        play()
    assert caught.value.__cause__ is error


def test_an_exception_while_creating_closes_the_others():
    made = []

    def good():
        made.append(FaultyEnv(at=-1))
        return made[-1]

    def bad():
        raise OSError("no display")

    with pytest.raises(EnvError, match=r"creating the environment raised OSError: no display — env 2 of 3"):
        SerialVectorEnv([good, good, bad])
    assert [env.is_closed for env in made] == [True, True]


def test_close_closes_all_and_reports_the_first_error():
    class Clinging(ScriptedEnv):
        def close(self):
            raise RuntimeError("still running")

    last = FaultyEnv(at=-1)
    env = SerialVectorEnv([Clinging, lambda: last])
    with pytest.raises(EnvError, match="still running"):
        env.close()
    assert last.is_closed


def test_close_twice():
    env = SerialVectorEnv(scripted_fns(2))
    env.close()
    env.close()


WRONG_ENVS = {
    "nothing": ([], "expected at least one environment"),
    "no callable": ([3], "expected a list of callables that each make an environment, got 3"),
    "no environment": ([lambda: "CartPole-v1"], "expected a gymnasium.Env, got str 'CartPole-v1'"),
    "other spaces": ([ScriptedEnv, lambda: gym.make("Pendulum-v1")], "expected the same space in every environment"),
}


@pytest.mark.parametrize(("fns", "message"), WRONG_ENVS.values(), ids=WRONG_ENVS)
def test_wrong_environments(fns, message):
    with pytest.raises(ConfigError, match=message):
        SerialVectorEnv(fns)


def test_the_same_environment_twice_is_noticed():
    env = ScriptedEnv()
    with pytest.raises(ConfigError, match="got the same one twice"):
        SerialVectorEnv([lambda: env, lambda: env])


def test_an_environment_without_spaces_is_noticed():
    class Spaceless(gym.Env):
        observation_space = spaces.Discrete(2)

    with pytest.raises(ConfigError, match="action_space: expected a gymnasium space, got None"):
        SerialVectorEnv([Spaceless])


def test_attributes_of_the_environments():
    env = SerialVectorEnv(scripted_fns(3))
    assert env.get_attr("env") == (0, 1, 2)
    env.set_attr("env", [5, 6, 7])
    assert env.get_attr("env") == (5, 6, 7)
    env.set_attr("env", 1)
    assert env.get_attr("env") == (1, 1, 1)
    with pytest.raises(ValueError, match="expected one per environment"):
        env.set_attr("env", [1])
    assert len(env.call("reset")) == 3
