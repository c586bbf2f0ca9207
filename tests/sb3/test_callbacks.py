"""Callbacks, evaluation, rollout buffer."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.errors import ConfigError
from fastpg.sb3 import A2C, PPO
from fastpg.sb3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from fastpg.sb3.common.env_util import make_vec_env
from fastpg.sb3.common.evaluation import RewardTooLow, evaluate_policy
from fastpg.sb3.common.vec_env import VecNormalize
from fastpg.training.logging import Logger
from tests.sb3.tools import CountingEnv, small

STEP_KEYS = {"dones", "infos", "rewards", "new_obs", "actions", "values", "log_probs", "n_steps", "clipped_actions"}


class Recorder(BaseCallback):
    """Writes down what it is called for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def _on_training_start(self) -> None:
        self.calls.append("training_start")
        self.first_observation = self.model._last_obs.copy()

    def _on_rollout_start(self) -> None:
        self.calls.append("rollout_start")

    def _on_step(self) -> bool:
        self.calls.append("step")
        self.keys = set(self.locals)
        self.infos = self.locals["infos"]
        return True

    def _on_rollout_end(self) -> None:
        self.calls.append("rollout_end")
        self.rewards = self.locals["rollout_buffer"].rewards

    def _on_training_end(self) -> None:
        self.calls.append("training_end")


def test_hooks_and_locals() -> None:
    recorder = Recorder()
    model = small(A2C, make_vec_env(CountingEnv, n_envs=2))
    model.learn(20, recorder)
    rollout = ["rollout_start", *["step"] * 5, "rollout_end"]
    assert recorder.calls == ["training_start", *rollout, *rollout, "training_end"]
    assert {*STEP_KEYS, "obs_tensor", "self", "total_timesteps", "rollout_buffer"} <= recorder.keys
    assert isinstance(recorder.infos, list)
    assert len(recorder.infos) == 2
    assert recorder.first_observation.tolist() == [[0, 0], [0, 0]]
    assert (recorder.n_calls, recorder.num_timesteps) == (10, 20)
    assert np.array_equal(recorder.rewards, model.rollout_buffer.rewards)
    assert recorder.training_env is model.env


def test_rewards_changed_in_place_are_trained_on() -> None:
    def punish(locals_, globals_):
        locals_["rewards"] -= 5.0

    model = small(A2C, make_vec_env(CountingEnv, n_envs=2))
    model.learn(10, punish)
    assert (model.collector.last_rollout.rewards == -3.0).all()
    assert model.ep_info_buffer[0]["r"] == 6.0


def test_functions_and_lists_and_stopping() -> None:
    model = small(A2C, make_vec_env(CountingEnv, n_envs=2))
    model.learn(10**6, lambda locals_, globals_: locals_["self"].num_timesteps < 54)
    assert (model.num_timesteps, model.iteration) == (54, 5)  # the steps of a rollout that is given up count
    assert model.learn(10, reset_num_timesteps=False).num_timesteps == 64
    recorder = Recorder()
    model.learn(10**6, [recorder, StopTrainingOnMaxEpisodes(3)])
    assert recorder.calls.count("step") == 9
    assert model.num_timesteps == recorder.num_timesteps == 18
    with pytest.raises(ConfigError, match="callback: expected None"):
        model.learn(10, 3)


def test_callbacks_of_stable_baselines3_are_called() -> None:
    """Duck typing: stable-baselines3's class has these methods and shares no base with ours."""

    class Theirs:
        n_steps, limit = 0, 20

        def init_callback(self, model):
            self.model = model

        def on_training_start(self, locals_, globals_):
            self.started = True

        def on_rollout_start(self):
            pass

        def update_locals(self, locals_):
            self.locals = locals_

        def on_step(self):
            self.n_steps += 1
            return np.bool_(len(self.locals["dones"]) == 2 and self.n_steps < self.limit)

        def on_rollout_end(self):
            pass

        def on_training_end(self):
            self.ended = True

    theirs = Theirs()
    model = small(A2C, make_vec_env(CountingEnv, n_envs=2)).learn(20, [theirs, Recorder()])
    assert (theirs.n_steps, theirs.started, theirs.ended, theirs.model) == (10, True, True, model)
    assert model.learn(10**6, theirs).num_timesteps == 20  # it stops at its limit


def test_checkpoints(tmp_path) -> None:
    env = VecNormalize(make_vec_env(CountingEnv, n_envs=2))
    model = small(A2C, env)
    model.learn(20, CheckpointCallback(5, str(tmp_path), "m", save_vecnormalize=True))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"m_{kind}{n}_steps.{s}" for n in (10, 20) for kind, s in (("", "zip"), ("vecnormalize_", "pkl"))}
    assert A2C.load(tmp_path / "m_20_steps").num_timesteps == 10  # as after the last finished iteration
    assert VecNormalize.load(tmp_path / "m_vecnormalize_20_steps.pkl", env.venv).obs_rms.count > 1


def test_evaluation_during_training(tmp_path) -> None:
    rows = []
    logger = Logger()
    logger.dump = lambda step=0: rows.append((step, dict(logger.name_to_value)))
    env = VecNormalize(make_vec_env(CountingEnv, n_envs=2), norm_reward=True)
    eval_env = VecNormalize(make_vec_env(CountingEnv), training=False)
    stop = StopTrainingOnRewardThreshold(5.9)
    callback = EvalCallback(
        eval_env, stop, None, 4, 5, log_path=tmp_path, best_model_save_path=tmp_path / "best", verbose=0
    )
    model = small(A2C, env)
    model.set_logger(logger)
    model.learn(100, callback)
    assert (model.num_timesteps, model.iteration) == (10, 0)  # the rollout in which it stopped counts its steps alone
    step, row = rows[0]
    assert step == row["time/total_timesteps"] == 10
    assert (row["eval/mean_reward"], row["eval/mean_ep_length"], row["eval/success_rate"]) == (6.0, 3.0, 0.5)
    with np.load(tmp_path / "evaluations.npz") as file:
        assert file["results"].tolist() == [[6.0] * 4]
        assert file["ep_lengths"].tolist() == [[3] * 4]
        assert file["successes"].shape == (1, 4)
        assert file["timesteps"].tolist() == [10]
    assert (callback.evaluations_timesteps, callback.evaluations_results) == ([10], [[6.0] * 4])
    assert (callback.evaluations_length, len(callback.evaluations_successes)) == ([[3] * 4], 1)
    assert (tmp_path / "best" / "best_model.zip").is_file()
    assert np.array_equal(eval_env.obs_rms.mean, env.obs_rms.mean)


def test_evaluation_without_improvement_stops() -> None:
    callback = EvalCallback(
        CountingEnv(),
        callback_after_eval=StopTrainingOnNoModelImprovement(1),
        eval_freq=1,
        n_eval_episodes=1,
        verbose=0,
    )
    small(A2C, CountingEnv()).learn(1000, callback)
    assert len(callback.evaluations["timesteps"]) == 3


def test_events_by_steps() -> None:
    class Counter(BaseCallback):
        n = 0

        def _on_step(self) -> bool:
            self.n += 1
            return True

    counter = Counter()
    rows = []
    model = small(A2C, make_vec_env(CountingEnv, n_envs=2))
    logger = Logger()
    logger.dump = lambda step=0: rows.append(step)
    model.set_logger(logger)
    model.learn(40, [EveryNTimesteps(8, counter), LogEveryNTimesteps(20)], log_interval=None)
    assert counter.n == 5
    assert rows == [20, 40]


def test_evaluate_policy() -> None:
    model = small(PPO, CountingEnv())
    env = make_vec_env(CountingEnv, n_envs=3)
    seen = []
    result = evaluate_policy(
        model,
        env,
        n_eval_episodes=5,
        return_episode_rewards=True,
        callback=lambda locals_, globals_: seen.append(locals_["i"]),
    )
    assert result == ([6.0] * 5, [3] * 5)
    assert set(seen) == {0, 1, 2}
    assert evaluate_policy(model, VecNormalize(env), 2) == (6.0, 0.0)  # Monitor is below
    with pytest.warns(UserWarning, match="no Monitor"):
        assert evaluate_policy(model, CountingEnv(), 1) == (6.0, 0.0)
    with pytest.raises(RewardTooLow, match=r"more than reward_threshold = 7\.00, got 6\.00"):
        evaluate_policy(model, env, 1, reward_threshold=7.0)
    with pytest.raises(AssertionError):
        evaluate_policy(model, env, 1, reward_threshold=7.0)


def test_rollout_buffer_is_to_be_looked_at() -> None:
    model = small(PPO, make_vec_env(CountingEnv, n_envs=2), gamma=0.9)
    with pytest.raises(ConfigError, match="finished a rollout"):
        model.rollout_buffer.rewards  # noqa: B018
    model.learn(32)
    buffer = model.rollout_buffer
    assert (buffer.observations.shape, buffer.actions.shape, buffer.values.shape) == ((16, 2, 2), (16, 2, 2), (16, 2))
    assert buffer.episode_starts[:, 0].tolist() == [float(step % 3 == 0) for step in range(16)]
    np.testing.assert_allclose(buffer.returns, buffer.advantages + buffer.values)
    assert (buffer.rewards[[0, 1, 3]] == 2.0).all()
    assert (buffer.rewards[2] != 2.0).all()  # the value of where it was cut is in it
    buffer.values[:] = 7.0
    assert (model.rollout_buffer.values != 7.0).all()


def test_rollout_buffer_in_minibatches() -> None:
    model = small(PPO, make_vec_env(CountingEnv, n_envs=2))
    assert (model.rollout_buffer.full, model.rollout_buffer.pos) == (False, 0)
    model.learn(32)
    buffer = model.rollout_buffer
    assert (buffer.full, buffer.pos) == (True, 16)
    batches = list(buffer.get(10))
    assert [len(batch.returns) for batch in batches] == [10, 10, 10, 2]
    assert batches[0].observations.shape == (10, 2)
    values = np.concatenate([batch.old_values for batch in batches])
    assert np.array_equal(np.sort(values), np.sort(buffer.values.reshape(-1)))
    whole = next(iter(buffer.get()))
    np.testing.assert_allclose(whole.returns, whole.advantages + whole.old_values)
