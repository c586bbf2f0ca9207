"""Callbacks: stable-baselines3's hooks, counters and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EventCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from fastpg.rollout.collector import Collector
from fastpg.training.logging import Logger
from tests.envs import scripted_fns
from tests.training.tools import N_ENVS, N_SAMPLES, fingerprint, small_model

HOOKS = ("init_callback", "training_start", "rollout_start", "step", "rollout_end", "training_end")


class Recorder(BaseCallback):
    """Writes down every hook with the counters at that time."""

    def __init__(self, stop_at: int = 10**9) -> None:
        super().__init__()
        self.events: list[tuple[str, int, int]] = []
        self.stop_at = stop_at

    def _note(self, name: str) -> None:
        self.events.append((name, self.n_calls, self.num_timesteps))

    def _init_callback(self) -> None:
        self._note("init_callback")

    def _on_training_start(self) -> None:
        self._note("training_start")

    def _on_rollout_start(self) -> None:
        self._note("rollout_start")

    def _on_step(self) -> bool:
        self._note("step")
        return self.n_calls < self.stop_at

    def _on_rollout_end(self) -> None:
        self._note("rollout_end")

    def _on_training_end(self) -> None:
        self._note("training_end")


def test_hooks_come_in_order_with_their_counters() -> None:
    recorder = Recorder()
    small_model().learn(2 * N_SAMPLES, recorder)
    steps = [("step", call, call * N_ENVS) for call in range(1, 17)]
    assert recorder.events == [
        ("init_callback", 0, 0),
        ("training_start", 0, 0),
        ("rollout_start", 0, 0),
        *steps[:8],
        ("rollout_end", 8, 16),
        ("rollout_start", 8, 16),
        *steps[8:],
        ("rollout_end", 16, 32),
        ("training_end", 16, 32),
    ]


def test_locals_have_the_names_of_stable_baselines3() -> None:
    seen: list[dict[str, Any]] = []

    def note(variables: dict[str, Any], globals_: dict[str, Any]) -> None:
        seen.append({name: np.copy(variables[name]) for name in ("rewards", "dones", "actions", "values", "log_probs")})
        assert globals_ == {}
        assert variables["self"].num_timesteps == 2 * len(seen)
        assert variables["total_timesteps"] == N_SAMPLES
        assert len(variables["new_obs"]) == N_ENVS

    small_model(scripted_fns(2)).learn(N_SAMPLES, note)
    assert len(seen) == 8
    assert [tuple(step["dones"]) for step in seen[:4]] == [(False, False), (False, False), (True, False), (False, True)]
    assert seen[0]["rewards"] == pytest.approx([1.01, 2.01])


def test_callbacks_without_steps_cost_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    collect = Collector.collect
    monkeypatch.setattr(Collector, "collect", lambda self, on_step: (seen.append(on_step), collect(self, on_step))[1])

    class Quiet(BaseCallback):
        def _on_rollout_end(self) -> None:
            seen.append(self.num_timesteps)

    small_model().learn(N_SAMPLES, [Quiet(), EventCallback()])
    assert seen == [None, N_SAMPLES]
    assert not CallbackList([Quiet()]).needs_steps
    assert CallbackList([Quiet(), Recorder()]).needs_steps


def test_watching_does_not_change_training() -> None:
    watched, alone = small_model(), small_model()
    watched.learn(4 * N_SAMPLES, [Recorder(), Recorder()])
    alone.learn(4 * N_SAMPLES)
    assert fingerprint(watched) == fingerprint(alone)


@pytest.mark.parametrize("as_list", [True, False])
def test_false_stops_training_and_gives_up_the_rollout(as_list: bool) -> None:
    recorder, other = Recorder(stop_at=11), Recorder()
    model = small_model().learn(10 * N_SAMPLES, [recorder, other] if as_list else recorder)
    assert recorder.n_calls == 11
    assert recorder.events[-1][0] == "training_end"
    assert (model.iteration, model.num_timesteps) == (1, N_SAMPLES)
    if as_list:
        assert other.n_calls == 11


def test_training_end_is_called_after_an_exception() -> None:
    class Failing(Recorder):
        def _on_rollout_end(self) -> None:
            raise ValueError("no")

    recorder = Failing()
    with pytest.raises(ValueError, match="no"):
        small_model().learn(N_SAMPLES, recorder)
    assert recorder.events[-1][0] == "training_end"


@pytest.mark.parametrize("callback", [3, "x", [3], {"a": 1}])
def test_other_things_are_no_callbacks(callback: Any) -> None:
    with pytest.raises(fastpg.ConfigError, match="callback: expected None"):
        small_model().learn(1, callback)


def test_plain_function_stops_with_false_only() -> None:
    assert small_model().learn(2 * N_SAMPLES, lambda *_: None).num_timesteps == 2 * N_SAMPLES
    assert small_model().learn(2 * N_SAMPLES, lambda *_: False).num_timesteps == 0
    assert small_model().learn(2 * N_SAMPLES, lambda *_: np.bool_(False)).num_timesteps == 0
    assert ConvertCallback(lambda *_: True).needs_steps


def test_every_n_timesteps() -> None:
    recorder = Recorder()
    small_model().learn(4 * N_SAMPLES, EveryNTimesteps(10, recorder))
    assert [event[2] for event in recorder.events if event[0] == "step"] == [10, 20, 30, 40, 50, 60]


def test_every_n_timesteps_in_a_second_training() -> None:
    recorder = Recorder()
    callback = EveryNTimesteps(10, recorder)
    small_model().learn(4 * N_SAMPLES, callback)
    recorder.events.clear()
    small_model().learn(2 * N_SAMPLES, callback)
    assert [event[2] for event in recorder.events if event[0] == "step"] == [10, 20, 30]


def test_max_episodes() -> None:
    stop = StopTrainingOnMaxEpisodes(2)
    small_model(scripted_fns(2)).learn(100 * N_SAMPLES, stop)
    assert stop.n_episodes >= 4
    assert stop.n_calls < 12


def test_checkpoints_count_calls_and_can_be_loaded(tmp_path: Path) -> None:
    model = small_model().learn(2 * N_SAMPLES, CheckpointCallback(5, tmp_path / "new" / "folder", name_prefix="m"))
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["m_10_steps.fastpg", "m_20_steps.fastpg", "m_30_steps.fastpg"]
    loaded = fastpg.PPO.load(tmp_path / "new" / "folder" / "m_30_steps.fastpg")
    assert loaded.num_timesteps == N_SAMPLES  # the model as after its last finished iteration
    assert loaded.n_updates == model.n_updates / 2


def test_evaluations_are_recorded_and_the_best_model_is_kept(tmp_path: Path) -> None:
    after, best = Recorder(), Recorder()
    callback = EvalCallback(
        "CartPole-v1",
        callback_after_eval=after,
        callback_on_new_best=best,
        n_eval_episodes=3,
        eval_freq=4,
        log_path=tmp_path / "log",
        best_model_save_path=tmp_path / "best",
        seed=0,
    )
    rows: list[dict[str, Any]] = []
    model = small_model()
    model.set_logger(KeepingLogger(rows))
    model.learn(2 * N_SAMPLES, callback)
    with np.load(tmp_path / "log" / "evaluations.npz") as file:
        assert file["timesteps"].tolist() == [8, 16, 24, 32]
        assert file["results"].shape == file["ep_lengths"].shape == (4, 3)
        means = file["results"].mean(axis=1)
    assert callback.best_mean_reward == means.max()
    assert callback.last_mean_reward == means[-1]
    assert rows[-1]["eval/mean_reward"] == means[-1]
    assert after.n_calls == 4
    assert best.n_calls == sum(mean > max(means[:index], default=-np.inf) for index, mean in enumerate(means))
    loaded = fastpg.PPO.load(tmp_path / "best" / "best_model.fastpg")
    assert fastpg.evaluate(loaded, "CartPole-v1", n_episodes=3, seed=0).mean_return == means.max()


class KeepingLogger(Logger):
    """Keeps every dumped row."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__()
        self.rows = rows

    def dump(self, step: int = 0) -> None:
        self.rows.append(dict(self.name_to_value))
        super().dump(step)


def test_arguments_of_stable_baselines3_are_taken(tmp_path: Path) -> None:
    callbacks = [
        CheckpointCallback(5, tmp_path, save_replay_buffer=True, save_vecnormalize=True),
        EvalCallback("CartPole-v1", eval_freq=8, n_eval_episodes=1, deterministic=True, render=False, warn=False),
    ]
    small_model().learn(N_SAMPLES, callbacks)
    assert [path.name for path in tmp_path.iterdir()] == ["rl_model_10_steps.fastpg"]
    with pytest.raises(fastpg.ConfigError, match="render: expected False, got True"):
        EvalCallback("CartPole-v1", render=True)


def test_a_list_below_an_evaluation_knows_its_parent() -> None:
    stops = CallbackList([CallbackList([StopTrainingOnRewardThreshold(1.0)])])
    callback = EvalCallback("CartPole-v1", stops, n_eval_episodes=1, eval_freq=3)
    small_model().learn(100 * N_SAMPLES, callback)
    assert callback.n_calls == 3


def test_reward_threshold_stops() -> None:
    callback = EvalCallback("CartPole-v1", StopTrainingOnRewardThreshold(1.0), n_eval_episodes=1, eval_freq=3)
    small_model().learn(100 * N_SAMPLES, callback)
    assert callback.n_calls == 3


@pytest.mark.parametrize("verbose", [0, 1])
def test_messages_are_shown_once_whether_or_not_the_model_prints_a_table(
    verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    small_model(verbose=verbose).learn(20 * N_SAMPLES, callback=StopTrainingOnMaxEpisodes(1, verbose=1))
    assert capsys.readouterr().out.count("Stopping") == 1


def test_no_improvement_stops() -> None:
    stop = StopTrainingOnNoModelImprovement(2, min_evals=1)
    callback = EvalCallback("CartPole-v1", None, stop, n_eval_episodes=1, eval_freq=1, seed=0)
    small_model(learning_rate=1e-12).learn(100 * N_SAMPLES, callback)
    assert callback.n_calls == 4


@pytest.mark.parametrize("callback", [StopTrainingOnRewardThreshold(1.0), StopTrainingOnNoModelImprovement(1)])
def test_stopping_on_evaluations_needs_evaluations(callback: BaseCallback) -> None:
    with pytest.raises(fastpg.ConfigError, match="expected to be held by an EvalCallback"):
        small_model().learn(1, callback)


def test_progress_bar_ends_where_training_ends(capsys: pytest.CaptureFixture[str]) -> None:
    small_model().learn(2 * N_SAMPLES, progress_bar=True)
    assert "32/32" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no"):
        small_model().learn(1, [ProgressBarCallback(), Failing()])


def test_progress_bar_hides_no_error_that_came_before_it() -> None:
    class FailingEarly(BaseCallback):
        def _on_training_start(self) -> None:
            raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        small_model().learn(1, [FailingEarly(), ProgressBarCallback()])


class Failing(BaseCallback):
    def _on_rollout_start(self) -> None:
        raise ValueError("no")


@pytest.mark.parametrize("value", [0, -1, 2.5, float("nan"), float("inf"), "3", True, None])
def test_counts_are_whole_numbers(value) -> None:
    held = ConvertCallback(lambda *_: True)
    for make in (
        lambda n: CheckpointCallback(n, "nowhere"),
        lambda n: EvalCallback("CartPole-v1", eval_freq=n),
        lambda n: EveryNTimesteps(n, held),
        StopTrainingOnMaxEpisodes,
    ):
        with pytest.raises(fastpg.ConfigError, match=r"(freq|n_steps|max_episodes): expected an integer >= 1, got"):
            make(value)
    assert EvalCallback("CartPole-v1", eval_freq=1e4).eval_freq == 10_000
    assert CheckpointCallback(np.int64(5), "nowhere").save_freq == 5
