"""Rollouts: equal transitions in all autoreset modes, bootstrap, statistics, normalisation, recovery from faults."""

from __future__ import annotations

import os
from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.errors import ConfigError, EnvDataError, EnvError, NumericsError
from fastpg.kernels import backends
from fastpg.kernels.gae import gae
from fastpg.kernels.layout import HeadLayout
from fastpg.policies import ActorCritic
from fastpg.rollout import Collector, Normalizer, SerialVectorEnv, make_vector_env
from fastpg.rollout.plain_steps import store_nothing
from fastpg.types import Rollout
from tests.envs import EndlessRewardProbe, Episode, FaultyEnv, ScriptedEnv, scripted_fns

MODES = ["NextStep", "SameStep", "Disabled"]
HAS_MODES = hasattr(gym.vector, "AutoresetMode")  # Gymnasium >= 1.1
needs_modes = pytest.mark.skipif(not HAS_MODES, reason="Gymnasium 1.0 has NEXT_STEP only")
GAMMA, LAMBDA = 0.9, 0.8


def scripted_vector_env(mode, n_envs=3, *, is_async=False, **arguments):
    kind = gym.vector.AsyncVectorEnv if is_async else gym.vector.SyncVectorEnv
    keywords = {"autoreset_mode": gym.vector.AutoresetMode(mode)} if HAS_MODES else {}
    return kind(scripted_fns(n_envs, **arguments), **keywords)


def policy_for(env, seed=1):
    return ActorCritic.create(4, HeadLayout("categorical", (2,)), net_arch=[8], seed=seed)


def collector_for(env, n_steps=40, **arguments):
    return Collector(env, policy_for(env), n_steps=n_steps, seed=3, **arguments)


def transitions(collector, n_rollouts=2):
    """Per environment the valid transitions of some rollouts, with advantages, up to the last complete episode."""
    names = ("observations", "rewards", "terminated", "truncated", "values", "next_values", "log_probs", "actions")
    parts = []
    for _ in range(n_rollouts):
        rollout = collector.collect()
        data = {name: getattr(rollout, name).copy() for name in names}
        data["advantages"] = gae(
            rollout.rewards,
            rollout.values,
            rollout.next_values,
            rollout.terminated,
            rollout.truncated,
            gamma=GAMMA,
            gae_lambda=LAMBDA,
        )
        parts.append((data, rollout.valid.copy()))
    per_env = []
    for env in range(collector.num_envs):
        rows = {name: np.concatenate([d[name][v[:, env], env] for d, v in parts]) for name in parts[0][0]}
        per_env.append(rows)
    return per_env


def first_rollout(collector):
    """Per environment the valid transitions up to the last episode end of one rollout."""
    per_env = transitions(collector, n_rollouts=1)
    for rows in per_env:
        end = 1 + int(np.flatnonzero(rows["terminated"] | rows["truncated"])[-1])
        for name in rows:
            rows[name] = rows[name][:end]
    return per_env


EPISODES = st.builds(
    lambda length, end: Episode(length, terminated=end != "truncated", truncated=end != "terminated"),
    st.integers(1, 5),
    st.sampled_from(["terminated", "truncated", "both"]),
)


def running(collector):
    """What a collector knows of the episodes that are not over, and of its last step."""
    last = collector.step_locals(collector.n_steps - 1, None, None, {})
    return last | {"returns": collector._episode_returns, "starts": collector._episode_starts}


@pytest.mark.skipif("native" not in backends.available(), reason="without the C++ kernels there is one way only")
@needs_modes
@given(script=st.lists(EPISODES, min_size=1, max_size=6), n_envs=st.integers(1, 3), mode=st.sampled_from(MODES))
@settings(deadline=None, max_examples=30)
def test_what_is_stored_does_not_depend_on_how(script, n_envs, mode):
    """Steps in which nothing is special are stored by other code than all others; here they are not."""
    short, long = (collector_for(scripted_vector_env(mode, n_envs, script=tuple(script))) for _ in range(2))
    long._store_plain = store_nothing
    for _ in range(2):
        rollout, expected = short.collect(), long.collect()
        for name in (field.name for field in fields(Rollout)):
            np.testing.assert_array_equal(getattr(rollout, name), getattr(expected, name), err_msg=name)
        assert short.episodes.state_dict() == long.episodes.state_dict()
        np.testing.assert_equal(running(short), running(long))


@needs_modes
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_three_autoreset_modes_give_equal_transitions(n_envs, is_async):
    assert_modes_agree(n_envs, is_async=is_async)


@needs_modes
@given(script=st.lists(EPISODES, min_size=1, max_size=6), n_envs=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_three_autoreset_modes_agree_on_any_script(script, n_envs):
    assert_modes_agree(n_envs, script=tuple(script))


def assert_modes_agree(n_envs, *, is_async=False, **arguments):
    per_mode = []
    for mode in MODES:
        env = scripted_vector_env(mode, n_envs, is_async=is_async, **arguments)
        per_mode.append(first_rollout(collector_for(env)))
        env.close()
    per_mode.append(first_rollout(collector_for(SerialVectorEnv(scripted_fns(n_envs, **arguments)))))
    for other in per_mode[1:]:
        for rows, other_rows in zip(per_mode[0], other, strict=True):
            n_common = min(len(rows["rewards"]), len(other_rows["rewards"]))
            assert n_common >= 15
            for name in ("observations", "rewards", "terminated", "truncated"):
                np.testing.assert_array_equal(rows[name][:n_common], other_rows[name][:n_common], err_msg=name)
            for name in ("values", "next_values", "advantages"):
                np.testing.assert_allclose(
                    rows[name][:n_common], other_rows[name][:n_common], rtol=1e-5, atol=1e-6, err_msg=name
                )


@pytest.mark.parametrize("mode", MODES if HAS_MODES else ["NextStep"])
def test_transitions_are_those_of_the_script(mode):
    (rows,) = first_rollout(collector_for(scripted_vector_env(mode, 1)))
    env = ScriptedEnv()
    observation, _ = env.reset()
    policy = policy_for(env)
    for t in range(len(rows["rewards"])):
        np.testing.assert_array_equal(rows["observations"][t], observation)
        observation, reward, terminated, truncated, _ = env.step(0)
        assert rows["rewards"][t] == np.float32(reward)
        assert bool(rows["terminated"][t]) == terminated
        assert bool(rows["truncated"][t]) == (truncated and not terminated)
        successor_value = 0.0 if terminated else policy.values(observation[None])[0]
        assert rows["next_values"][t] == pytest.approx(successor_value, rel=1e-5, abs=1e-6)
        if terminated or truncated:
            observation, _ = env.reset()


@pytest.mark.parametrize("mode", MODES if HAS_MODES else ["NextStep"])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 7])
def test_rollouts_continue_where_the_last_one_stopped(mode, n_steps):
    long = transitions(collector_for(scripted_vector_env(mode), n_steps=42), n_rollouts=1)
    short = transitions(collector_for(scripted_vector_env(mode), n_steps=n_steps), n_rollouts=42 // n_steps)
    for rows, other in zip(long, short, strict=True):
        for name in ("observations", "rewards", "terminated", "truncated", "actions", "values", "log_probs"):
            np.testing.assert_array_equal(rows[name], other[name], err_msg=name)
        np.testing.assert_allclose(rows["next_values"], other["next_values"], rtol=1e-5, atol=1e-6)


def test_next_step_marks_the_reset_steps_invalid():
    collector = collector_for(scripted_vector_env("NextStep", 1, script=(Episode(3, truncated=True),)), n_steps=8)
    rollout = collector.collect()
    np.testing.assert_array_equal(rollout.valid[:, 0], [True, True, True, False] * 2)
    assert collector.n_valid_last == 6
    assert list(collector.episodes.lengths) == [3, 3]
    np.testing.assert_array_equal(rollout.rewards[[3, 7], 0], 0.0)
    assert not (rollout.terminated | rollout.truncated)[[3, 7], 0].any()
    assert len(rollout.flatten(np.zeros((8, 1), np.float32))) == 6


@pytest.mark.parametrize("mode", MODES if HAS_MODES else ["NextStep"])
def test_episode_statistics_are_of_raw_rewards_and_real_steps(mode):
    env = scripted_vector_env(mode, 1, success=True)
    collector = collector_for(env, n_steps=30, normalizer=Normalizer(4))
    collector.collect()
    n_episodes = collector.episodes.n_episodes
    expected = [
        (sum(1.0 + 0.1 * episode + 0.01 * (step + 1) for step in range(length)), length)
        for episode, length in enumerate([3, 4, 2, 1] * 4)
    ][:n_episodes]
    assert n_episodes >= 8
    assert list(collector.episodes.lengths) == [length for _, length in expected]
    np.testing.assert_allclose(list(collector.episodes.returns), [value for value, _ in expected])
    assert list(collector.episodes.successes) == ([True, False, True, False] * 4)[:n_episodes]


def test_stats_window_forgets_old_episodes():
    collector = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=100, stats_window_size=5)
    collector.collect()
    assert len(collector.episodes.returns) == 5
    assert collector.episodes.n_episodes > 50


def test_no_finished_episode_is_none_not_nan():
    env = SerialVectorEnv([lambda: EndlessRewardProbe(10**9)])
    collector = Collector(env, ActorCritic.create(1, HeadLayout("categorical", (2,))), n_steps=4, seed=0)
    collector.collect()
    assert collector.episodes.ep_rew_mean is None
    assert collector.episodes.ep_len_mean is None
    assert collector.episodes.success_rate is None


def test_same_seed_gives_the_same_rollout_and_another_seed_another():
    def rollout(seed):
        env = make_vector_env("CartPole-v1", n_envs=4)
        policy = ActorCritic.create(4, HeadLayout("categorical", (2,)), seed=0)
        return Collector(env, policy, n_steps=64, seed=seed).collect()

    first, second, third = rollout(5), rollout(5), rollout(6)
    np.testing.assert_array_equal(first.observations, second.observations)
    np.testing.assert_array_equal(first.actions, second.actions)
    assert not np.array_equal(first.actions, third.actions)
    assert not np.array_equal(first.observations[0], third.observations[0])


def test_box_actions_are_clipped_for_the_environment_and_stored_unclipped():
    seen = []

    class Recorder(gym.Wrapper):
        def step(self, action):
            seen.append(np.array(action))
            return super().step(action)

    env = SerialVectorEnv([lambda: Recorder(gym.make("MountainCarContinuous-v0"))])
    policy = ActorCritic.create(2, HeadLayout("gaussian", (1,)), log_std_init=1.5, seed=0)
    rollout = Collector(env, policy, n_steps=50, seed=0).collect()
    stored = rollout.actions[:, 0]
    assert np.abs(stored).max() > 1.0
    np.testing.assert_array_equal(np.array(seen), np.clip(stored, -1.0, 1.0))


# --- normalisation ----------------------------------------------------------------------------------------------------


@needs_modes
def test_three_modes_give_equal_normalised_transitions():
    per_mode = [
        first_rollout(collector_for(scripted_vector_env(mode, 1), n_steps=60, normalizer=Normalizer(4, gamma=GAMMA)))
        for mode in MODES
    ]
    for other in per_mode[1:]:
        rows, other_rows = per_mode[0][0], other[0]
        n_common = min(len(rows["rewards"]), len(other_rows["rewards"]))
        for name in ("observations", "rewards", "values", "next_values", "advantages"):
            np.testing.assert_allclose(
                rows[name][:n_common], other_rows[name][:n_common], rtol=1e-5, atol=1e-6, err_msg=name
            )


def test_normalised_rollout_follows_vec_normalize():
    """Statistics of all observations acted on so far, rewards over the deviation of the discounted return."""
    normalizer = Normalizer(4, gamma=GAMMA)
    rollout = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=20, normalizer=normalizer).collect()
    env = SerialVectorEnv(scripted_fns(2))
    seen, returns_seen = [env.reset()[0]], []
    returns = np.zeros(2)
    for t in range(20):
        mean, variance = _moments(np.concatenate(seen))
        expected = np.clip((seen[-1] - mean) / np.sqrt(variance + 1e-8), -10, 10)
        np.testing.assert_allclose(rollout.observations[t], expected, rtol=1e-4, atol=2e-4)
        observation, reward, terminated, truncated, _ = env.step(np.zeros(2, np.int64))
        returns = GAMMA * returns + reward
        returns_seen.append(returns[:, None])
        _, variance = _moments(np.concatenate(returns_seen))
        np.testing.assert_allclose(rollout.rewards[t], np.clip(reward / np.sqrt(variance + 1e-8), -10, 10), rtol=1e-4)
        returns = returns * ~(terminated | truncated)
        seen.append(observation)


def _moments(rows):
    """Mean and variance of ``rows`` after a prior of 1e-4 samples with mean 0 and variance 1."""
    weight, count = 1e-4, len(rows)
    mean = rows.astype(np.float64).sum(axis=0) / (count + weight)
    second = (weight + (rows.astype(np.float64) ** 2).sum(axis=0)) / (count + weight)
    return mean, second - mean**2


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_on_step_sees_every_step():
    steps = []

    def on_step(seen):
        steps.append({name: np.array(value) for name, value in seen.items() if name != "infos"})
        return True

    collector = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=6)
    rollout = collector.collect(on_step)
    assert [int(step["n_steps"]) for step in steps] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(np.stack([step["rewards"] for step in steps]).astype(np.float32), rollout.rewards)
    np.testing.assert_array_equal(np.stack([step["actions"] for step in steps]), rollout.actions)
    np.testing.assert_array_equal(np.stack([step["dones"] for step in steps]), rollout.terminated | rollout.truncated)
    np.testing.assert_array_equal(np.stack([step["new_obs"] for step in steps[:-1]]), rollout.observations[1:])


def test_on_step_changes_no_bit_of_the_rollouts():
    seen, unseen = (collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=7) for _ in range(2))
    for _ in range(3):
        rollout, expected = seen.collect(lambda _: True), unseen.collect()
        for name in ("observations", "rewards", "terminated", "truncated", "next_values", "actions", "valid"):
            np.testing.assert_array_equal(getattr(rollout, name), getattr(expected, name), err_msg=name)


def test_ends_that_an_interrupt_left_behind_are_not_those_of_the_next_step():
    collector = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=6)
    collector._ended[:] = True  # as after an interrupt between two lines of a step
    ended = []
    rollout = collector.collect(lambda step: ended.append(step["dones"]) or True)
    np.testing.assert_array_equal(np.stack(ended), rollout.terminated | rollout.truncated)


@needs_modes
def test_rewards_are_taken_before_an_environment_clears_them_in_its_reset():
    class OneRewardArray(gym.vector.SyncVectorEnv):
        rewards = np.zeros(2)

        def step(self, actions):
            observations, rewards, *rest = super().step(actions)
            self.rewards[:] = rewards
            return observations, self.rewards, *rest

        def reset(self, **arguments):
            self.rewards[:] = 0.0
            return super().reset(**arguments)

    mode = gym.vector.AutoresetMode.DISABLED
    rewards = []
    for kind in (OneRewardArray, gym.vector.SyncVectorEnv):
        env = kind(scripted_fns(2), autoreset_mode=mode)
        collector = collector_for(env, n_steps=12, normalizer=Normalizer(4, gamma=GAMMA))
        steps = []
        rollout = collector.collect(lambda step, steps=steps: steps.append(step["rewards"]) or True)
        rewards.append((np.stack(steps), rollout.rewards.copy()))
    np.testing.assert_array_equal(rewards[0][0], rewards[1][0])
    np.testing.assert_array_equal(rewards[0][1], rewards[1][1])


def test_infos_are_complete_for_callbacks_and_for_the_owner_of_the_environment():
    class Talkative(ScriptedEnv):
        def step(self, action):
            *result, _ = super().step(action)
            return *result, {"x": 1.0}

    env = SerialVectorEnv([Talkative])
    collector = collector_for(env, n_steps=2)
    seen = []
    collector.collect(lambda step: seen.append(step["infos"]["x"][0]) or True)
    assert seen == [1.0, 1.0]
    collector.collect()
    assert "x" in env.step([0])[4]


def test_on_step_can_stop_and_the_next_rollout_goes_on_from_there():
    collector = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=6)
    assert collector.collect(lambda seen: seen["n_steps"] < 3) is None
    assert collector.n_valid_last == 6
    assert collector.action_step == 3
    whole = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=9).collect()
    rest = collector.collect()
    np.testing.assert_array_equal(rest.observations, whole.observations[3:])
    np.testing.assert_array_equal(rest.actions, whole.actions[3:])


# --- faults -----------------------------------------------------------------------------------------------------------


def faulty(**fault):
    return [lambda: ScriptedEnv(0), lambda: FaultyEnv(**fault), lambda: ScriptedEnv(2)]


FAULTS = {
    "nan observation": ({"observation": np.array([0, np.nan, 0, 0], np.float32)}, "observation is nan at index 1"),
    "inf observation": ({"observation": np.array([0, 0, 0, np.inf], np.float32)}, "observation is inf at index 3"),
    "nan reward": ({"reward": float("nan")}, "reward is nan"),
    "inf reward": ({"reward": float("-inf")}, "reward is -inf"),
    "reward beyond float32": ({"reward": 1e300}, r"reward is 1e\+300"),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("is_ours", [True, False], ids=["serial", "gymnasium"])
def test_bad_data_names_environment_step_and_rollout(fault, message, is_ours):
    fns = faulty(at=15, **fault)
    collector = collector_for(SerialVectorEnv(fns) if is_ours else gym.vector.SyncVectorEnv(fns), n_steps=8)
    collector.collect()
    if not is_ours:  # NEXT_STEP: four steps per round of the script are resets
        collector.collect()
    with pytest.raises(EnvDataError, match=message) as caught:
        collector.collect()
    assert "env 1 of 3" in str(caught.value)
    assert "of rollout " in str(caught.value)
    if is_ours:
        assert "Step 6 of rollout 1" in str(caught.value)


@pytest.mark.parametrize("is_ours", [True, False], ids=["serial", "gymnasium"])
def test_an_environment_that_raises_is_named(is_ours):
    fns = faulty(at=7, error=ZeroDivisionError("wheels"))
    collector = collector_for(SerialVectorEnv(fns) if is_ours else gym.vector.SyncVectorEnv(fns), n_steps=16)
    with pytest.raises(EnvError, match="ZeroDivisionError: wheels") as caught:
        collector.collect()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    if is_ours:
        assert "env 1 of 3" in str(caught.value)


@pytest.mark.filterwarnings("ignore:action space .* is not bounded")
def test_an_environment_that_fails_on_an_action_that_is_not_finite_is_not_to_blame():
    class Unbounded(ScriptedEnv):
        def __init__(self):
            super().__init__()
            self.action_space = gym.spaces.Box(-np.inf, np.inf, (2,))

        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, float(action[1]), *rest

    policy = ActorCritic.create(4, HeadLayout("gaussian", (1, 1)), net_arch=[8], seed=1)
    policy.set_params(np.full_like(policy.params, 3e38))
    env = SerialVectorEnv([Unbounded] * 2)
    with pytest.raises(NumericsError, match=r"action is .*inf.* env 0 of 2.* reward is inf.*Step 0") as caught:
        Collector(env, policy, n_steps=8, seed=3).collect()
    assert isinstance(caught.value.__cause__, EnvDataError)


def test_after_a_failure_everything_is_as_before_and_collecting_goes_on():
    normalizer = Normalizer(4)
    collector = collector_for(SerialVectorEnv(faulty(at=15, reward=float("nan"))), n_steps=8, normalizer=normalizer)
    collector.collect()
    state, statistics = collector.state_dict(), normalizer.state_dict()
    with pytest.raises(EnvDataError):
        collector.collect()
    assert collector.state_dict() == state
    for name, array in normalizer.state_dict().items():
        np.testing.assert_array_equal(array, statistics[name])
    rollout = collector.collect()
    assert rollout.valid.all()
    assert collector.n_rollouts == 2


def test_interrupt_in_an_environment_leaves_everything_as_before():
    class Interrupting(ScriptedEnv):
        def step(self, action):
            if self.episode == 4:
                raise KeyboardInterrupt
            return super().step(action)

    collector = collector_for(SerialVectorEnv([Interrupting]), n_steps=8)
    collector.collect()
    state = collector.state_dict()
    with pytest.raises(KeyboardInterrupt):
        collector.collect()
    assert collector.state_dict() == state


class Interrupted(gym.vector.AsyncVectorEnv):
    """Is interrupted once while its workers are at work."""

    interrupts_at = 5

    def step_wait(self, timeout=None):
        self.interrupts_at -= 1
        if self.interrupts_at == 0:
            raise KeyboardInterrupt
        return super().step_wait(timeout=timeout)


def test_workers_that_an_interrupt_caught_finish_their_step():
    env = Interrupted(scripted_fns(2))
    collector = collector_for(env, n_steps=8)
    with pytest.raises(KeyboardInterrupt):
        collector.collect()
    assert collector.collect() is not None
    collector.close()


@pytest.mark.filterwarnings("ignore:.*Calling `close` while waiting:UserWarning")  # from Gymnasium's close
def test_a_worker_that_dies_is_an_environment_error():
    class Dying(ScriptedEnv):
        def step(self, action):
            os._exit(3)

    env = gym.vector.AsyncVectorEnv([ScriptedEnv, Dying])
    with pytest.raises(EnvError, match=r"step\(\) of AsyncVectorEnv\(num_envs=2\) raised \w+.*Fix: a worker .* died"):
        collector_for(env).collect()
    env.close(terminate=True)


def test_bad_observation_at_reset():
    fns = faulty(at=0, observation=np.array([0, np.nan, 0, 0], np.float32))
    with pytest.raises(EnvDataError, match=r"observation is nan at index 1: .* env 1 of 3.*At reset"):
        collector_for(SerialVectorEnv(fns)).collect()


class BrokenVectorEnv(gym.vector.SyncVectorEnv):
    """Changes what ``step`` or ``reset`` returns."""

    def __init__(self, change, *, of_reset=False):
        super().__init__(scripted_fns(3, script=(Episode(3, truncated=True),)))
        self.change, self.of_reset = change, of_reset

    def reset(self, **arguments):
        result = super().reset(**arguments)
        return self.change(*result) if self.of_reset else result

    def step(self, actions):
        result = super().step(actions)
        return result if self.of_reset else self.change(*result)


BROKEN_STEPS = {
    "four values": (lambda o, r, te, tr, i: (o, r, te, i), "got 4 values; is this the old Gym API"),
    "no tuple": (lambda *result: None, "got NoneType"),
    "wrong observation shape": (lambda o, *rest: (o.T, *rest), r"expected shape \(3, 4\), got \(4, 3\)"),
    "another number of envs": (lambda o, *rest: (o[:2], *rest), r"expected shape \(3, 4\), got \(2, 4\)"),
    "observation of strings": (lambda o, *rest: (o.astype(str), *rest), "expected an array of real numbers"),
    "complex rewards": (lambda o, r, *rest: (o, r + 1j, *rest), "rewards: expected an array of real numbers"),
    "no rewards": (lambda o, r, *rest: (o, None, *rest), "rewards: expected an array of real numbers"),
    "rewards of another shape": (lambda o, r, *rest: (o, r[:, None], *rest), r"got shape \(3, 1\)"),
    "terminated is None": (lambda o, r, te, *rest: (o, r, None, *rest), "terminated: expected"),
    "truncated of floats": (lambda o, r, te, tr, i: (o, r, te, tr + 0.5, i), "truncated is 0.5: expected True or"),
    "infos in a list": (lambda o, r, te, tr, i: (o, r, te, tr, [{}] * 3), "infos: expected a dict"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN_STEPS.values(), ids=BROKEN_STEPS)
def test_broken_vector_environment(change, message):
    with pytest.raises(EnvDataError, match=message):
        collector_for(BrokenVectorEnv(change), n_steps=8).collect()


BROKEN_RESETS = {
    "observation only": (lambda o, i: o, "got ndarray; is this the old Gym API"),
    "wrong shape": (lambda o, i: (o[0], i), r"expected shape \(3, 4\), got \(4,\)"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN_RESETS.values(), ids=BROKEN_RESETS)
def test_broken_vector_environment_reset(change, message):
    with pytest.raises(EnvDataError, match=message):
        collector_for(BrokenVectorEnv(change, of_reset=True), n_steps=8).collect()


EQUIVALENT_STEPS = {
    "lists": lambda o, r, te, tr, i: (o, r.tolist(), te.tolist(), tr.tolist(), i),
    "integers": lambda o, r, te, tr, i: (o, r, te.astype(int), tr.astype(np.int8), i),
    "fortran order": lambda o, *rest: (np.asfortranarray(o), *rest),
    "negative strides": lambda o, *rest: (o[:, ::-1].copy()[:, ::-1], *rest),
    "big endian": lambda o, r, *rest: (o.astype(">f4"), r.astype(">f8"), *rest),
    "float64": lambda o, r, *rest: (o.astype(np.float64), r, *rest),
    "read-only": lambda o, *rest: (np.broadcast_to(o, o.shape), *rest),
    "nested lists": lambda o, *rest: (o.tolist(), *rest),
}


@pytest.mark.parametrize("change", EQUIVALENT_STEPS.values(), ids=EQUIVALENT_STEPS)
def test_equivalent_data_give_the_same_rollout(change):
    plain = collector_for(BrokenVectorEnv(lambda *result: result), n_steps=12).collect()
    other = collector_for(BrokenVectorEnv(change), n_steps=12).collect()
    for name in ("observations", "rewards", "terminated", "truncated", "values", "actions"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name), err_msg=name)


@needs_modes
def test_same_step_without_final_obs_is_an_error():
    class Forgetful(gym.vector.SyncVectorEnv):
        def step(self, actions):
            return *super().step(actions)[:4], {}

    env = Forgetful(scripted_fns(2), autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    with pytest.raises(EnvDataError, match="SAME_STEP without final_obs: cannot bootstrap truncation"):
        collector_for(env).collect()


@needs_modes
def test_same_step_needs_no_final_obs_of_a_terminated_episode():
    class Forgetful(gym.vector.SyncVectorEnv):
        def step(self, actions):
            return *super().step(actions)[:4], {}

    mode = gym.vector.AutoresetMode.SAME_STEP
    env = Forgetful(scripted_fns(2, script=(Episode(3, terminated=True),)), autoreset_mode=mode)
    assert collector_for(env).collect().terminated.any()


@needs_modes
def test_same_step_final_obs_as_one_batch():
    class Batched(gym.vector.SyncVectorEnv):
        def step(self, actions):
            *result, infos = super().step(actions)
            if "final_obs" in infos:
                rows = [np.zeros(4, np.float32) if row is None else row for row in infos["final_obs"]]
                infos["final_obs"] = np.stack(rows)
            return *result, infos

    mode = gym.vector.AutoresetMode.SAME_STEP
    plain = collector_for(scripted_vector_env("SameStep")).collect()
    batched = collector_for(Batched(scripted_fns(3), autoreset_mode=mode)).collect()
    np.testing.assert_array_equal(plain.next_values, batched.next_values)


@needs_modes
def test_nan_in_a_final_observation_is_named():
    class Diverging(ScriptedEnv):
        def step(self, action):
            observation, *rest = super().step(action)
            return observation * (np.nan if rest[2] else 1.0), *rest

    env = SerialVectorEnv([lambda: ScriptedEnv(0, (Episode(50, truncated=True),)), Diverging])
    with pytest.raises(EnvDataError, match=r"observation is nan at index 0: .* final observation of env 1"):
        collector_for(env).collect()


@needs_modes
def test_a_mode_that_is_declared_wrongly_is_noticed():
    one_step = (Episode(1, truncated=True),)
    env = make_vector_env(scripted_vector_env("SameStep", 2, script=one_step), autoreset_mode="NextStep")
    with pytest.raises(EnvDataError, match="expected NEXT_STEP autoreset"):
        collector_for(env).collect()


@needs_modes
def test_a_mode_that_is_not_declared_is_an_error():
    class Silent(gym.vector.SyncVectorEnv):
        def __init__(self):
            super().__init__(scripted_fns(2))
            self.metadata = {}

    with pytest.raises(ConfigError, match="to say when it resets, got none"):
        collector_for(Silent())
    assert collector_for(make_vector_env(Silent(), autoreset_mode="NEXT_STEP")).collect() is not None


def test_close_is_idempotent_and_collect_after_it_says_so():
    collector = collector_for(SerialVectorEnv(scripted_fns(2)))
    collector.close()
    collector.close()
    with pytest.raises(EnvError, match="closed"):
        collector.collect()


def test_state_goes_on_in_another_collector():
    first = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=8)
    first.collect()
    second = collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=8)
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert second.action_step == 8
    assert not np.array_equal(
        second.collect().actions, collector_for(SerialVectorEnv(scripted_fns(2)), n_steps=8).collect().actions
    )
