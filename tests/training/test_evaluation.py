"""Evaluation counts whole episodes, a fixed number of each environment, in every autoreset mode."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest

from fastpg.errors import ConfigError, EnvDataError, EnvError
from fastpg.training.evaluation import EvaluationResult, evaluate
from fastpg.training.models import PPO
from tests.envs import SCRIPT, Episode, ScriptedEnv, scripted_fns

MODES = ["NextStep", "SameStep", "Disabled"]


class Player:
    """Takes action 0 everywhere and notes what it was asked."""

    def __init__(self):
        self.calls = []

    def predict(self, observation, *, deterministic=False):
        self.calls.append((np.array(observation), deterministic))
        return np.zeros(len(observation), np.int64), None


def expected_episodes(n_envs, n_episodes, script=SCRIPT):
    """Sorted (return, length) of the first episodes of each scripted environment."""
    episodes = []
    for env in range(n_envs):
        for episode in range((n_episodes + env) // n_envs):
            length = script[(episode + env) % len(script)].length
            rewards = [1.0 + env + 0.1 * episode + 0.01 * step for step in range(1, length + 1)]
            episodes.append((pytest.approx(sum(rewards)), length))
    return sorted(episodes, key=lambda item: item[0].expected)


@pytest.mark.skipif(not hasattr(gym.vector, "AutoresetMode"), reason="Gymnasium 1.0 has NEXT_STEP only")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("n_envs", "n_episodes"), [(1, 5), (3, 11), (4, 2)])
def test_every_autoreset_mode_counts_the_same_episodes(mode, n_envs, n_episodes):
    env = gym.vector.SyncVectorEnv(scripted_fns(n_envs), autoreset_mode=gym.vector.AutoresetMode(mode))
    result = evaluate(Player(), env, n_episodes=n_episodes)
    found = sorted(zip(result.returns, result.lengths, strict=True))
    assert found == expected_episodes(n_envs, n_episodes)
    assert result.n_episodes == n_episodes
    env.close()


def test_short_episodes_are_not_favoured():
    short, long = (Episode(1, terminated=True),), (Episode(50, terminated=True),)
    fns = [lambda: ScriptedEnv(0, short), lambda: ScriptedEnv(0, long)]
    result = evaluate(Player(), fns, n_episodes=10)
    assert sorted(result.lengths) == [1] * 5 + [50] * 5


@pytest.mark.parametrize("env", [partial(ScriptedEnv), ScriptedEnv(), [ScriptedEnv]], ids=["callable", "env", "list"])
def test_every_form_of_environment(env):
    result = evaluate(Player(), env, n_episodes=4, n_envs=1)
    assert list(result.lengths) == [episode.length for episode in SCRIPT]


def test_what_is_made_here_is_closed_and_what_is_given_is_not(monkeypatch):
    closed = []
    monkeypatch.setattr(ScriptedEnv, "close", lambda self: closed.append(self))  # noqa: PLW0108 - binds self
    evaluate(Player(), partial(ScriptedEnv), n_episodes=3)
    assert len(closed) == 3
    env = ScriptedEnv()
    evaluate(Player(), env, n_episodes=1)
    assert env not in closed


def test_id_with_up_to_eight_environments_and_env_kwargs():
    player = Player()
    result = evaluate(player, "CartPole-v1", n_episodes=20, seed=3)
    assert {len(observation) for observation, _ in player.calls} == {8}
    assert all(deterministic for _, deterministic in player.calls)
    assert result.n_episodes == 20
    again = evaluate(Player(), "CartPole-v1", n_episodes=20, seed=3)
    np.testing.assert_array_equal(result.returns, again.returns)
    sutton = evaluate(Player(), "CartPole-v1", n_episodes=20, seed=3, env_kwargs={"sutton_barto_reward": True})
    assert set(sutton.returns) == {-1.0}


def test_result_unpacks_and_is_json_able():
    result = EvaluationResult(np.array([1.0, 3.0]), np.array([5, 6]), np.array([True, False]))
    mean, std = result
    assert (mean, std) == (2.0, 1.0)
    assert result.to_json() == {
        "mean_return": 2.0,
        "std_return": 1.0,
        "n_episodes": 2,
        "returns": [1.0, 3.0],
        "lengths": [5, 6],
        "success_rate": 0.5,
    }


@pytest.mark.parametrize("as_vector", [True, False])
def test_successes(as_vector):
    fns = scripted_fns(2, success=True)
    env = gym.vector.SyncVectorEnv(fns) if as_vector else fns
    result = evaluate(Player(), env, n_episodes=8)
    assert sorted(result.successes) == [False] * 4 + [True] * 4
    assert evaluate(Player(), scripted_fns(2), n_episodes=4).successes is None


def test_callback_sees_the_count():
    counts = []
    evaluate(Player(), ScriptedEnv(), n_episodes=2, callback=counts.append)
    assert counts == [0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("seed", [-1, 0.5, True, "3", [1]])
def test_bad_seeds(seed):
    with pytest.raises(ConfigError, match="seed: expected None or an integer >= 0, got"):
        evaluate(Player(), "CartPole-v1", n_episodes=1, seed=seed)


@pytest.mark.parametrize("n_episodes", [0, -1, 2.5, True, "3"])
def test_bad_n_episodes(n_episodes):
    with pytest.raises(ConfigError, match="n_episodes: expected an integer >= 1"):
        evaluate(Player(), "CartPole-v1", n_episodes=n_episodes)


def test_unknown_environment():
    with pytest.raises(ConfigError, match="CartPole-v99"):
        evaluate(Player(), "CartPole-v99")


def test_a_reward_that_is_no_number(monkeypatch):
    monkeypatch.setattr(ScriptedEnv, "step", lambda self, action: (self._observation(), float("nan"), False, False, {}))
    with pytest.raises(EnvDataError, match=r"reward is nan: .*env 0 of 2, episode step 1"):
        evaluate(Player(), partial(ScriptedEnv), n_episodes=2)


def test_environment_that_raises_is_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(ScriptedEnv, "step", lambda self, action: 1 / 0)
    monkeypatch.setattr(ScriptedEnv, "close", lambda self: closed.append(self))  # noqa: PLW0108 - binds self
    with pytest.raises(EnvError, match="ZeroDivisionError"):
        evaluate(Player(), partial(ScriptedEnv), n_episodes=2)
    assert len(closed) == 2


@pytest.fixture(scope="module")
def trained():
    model = PPO(
        "MlpPolicy",
        "CartPole-v1",
        n_steps=64,
        n_envs=2,
        batch_size=32,
        n_epochs=1,
        normalize=True,
        seed=0,
        backend="reference",
        policy_kwargs={"net_arch": [8]},
    )
    yield model.learn(128)
    model.get_env().close()


def test_sampled_actions_repeat_with_the_seed_and_leave_the_model_alone(trained):
    before = trained.state_dict()
    first, second, other = (
        evaluate(trained, "CartPole-v1", n_episodes=6, seed=seed, deterministic=False) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.returns, second.returns)
    assert list(first.returns) != list(other.returns)
    after = trained.state_dict()
    assert before[1] == after[1]
    for name, array in before[0].items():
        np.testing.assert_array_equal(array, after[0][name])


def test_returns_are_in_the_rewards_of_the_environment(trained):
    result = evaluate(trained, "CartPole-v1", n_episodes=4, seed=1)
    np.testing.assert_array_equal(result.returns, result.lengths)


def test_environment_with_other_spaces_is_refused(trained):
    with pytest.raises(ConfigError, match="spaces differ from those of the model"):
        evaluate(trained, "Pendulum-v1", n_episodes=1)
