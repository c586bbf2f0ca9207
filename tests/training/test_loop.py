"""The rows of the log: keys and meaning as stable-baselines3's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.kernels.gae import gae
from fastpg.rollout.collector import Collector
from fastpg.training.logging import Logger
from fastpg.training.loop import explained_variance
from fastpg.types import Batch, Rollout
from tests.envs import scripted_fns
from tests.training.tools import N_SAMPLES, fingerprint, small_model

SB3_KEYS = {
    "rollout/ep_rew_mean",
    "rollout/ep_len_mean",
    "time/fps",
    "time/iterations",
    "time/cpu_time",
    "time/time_elapsed",
    "time/total_timesteps",
    "train/approx_kl",
    "train/clip_fraction",
    "train/clip_range",
    "train/entropy_loss",
    "train/explained_variance",
    "train/learning_rate",
    "train/loss",
    "train/n_updates",
    "train/policy_gradient_loss",
    "train/value_loss",
}


class KeepingLogger(Logger):
    """Keeps every dumped row with its step."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self.steps: list[int] = []

    def dump(self, step: int = 0) -> None:
        self.rows.append(dict(self.name_to_value))
        self.steps.append(step)
        super().dump(step)


def rows_of(model: fastpg.PPO, n_iterations: int, **arguments: Any) -> KeepingLogger:
    logger = KeepingLogger()
    model.set_logger(logger)
    model.learn(n_iterations * model.n_steps * model.n_envs, **arguments)
    return logger


def test_keys_are_those_of_stable_baselines3() -> None:
    rows = rows_of(small_model(scripted_fns(2)), 3).rows
    assert len(rows) == 3
    assert set(rows[-1]) == SB3_KEYS | {"train/gradient_norm"}
    continuous = rows_of(small_model("Pendulum-v1", clip_range_vf=0.3), 1).rows[0]
    assert set(continuous) >= {"train/std", "train/clip_range_vf"}
    assert "rollout/ep_rew_mean" not in continuous  # no episode has ended yet
    assert continuous["train/clip_range_vf"] == 0.3


def test_success_rate_appears_where_environments_report_it() -> None:
    row = rows_of(small_model(scripted_fns(2, success=True)), 3).rows[-1]
    assert 0.0 < row["rollout/success_rate"] < 1.0


def test_counters() -> None:
    model = small_model()
    logger = rows_of(model, 3)
    assert logger.steps == [16, 32, 48]
    assert [row["time/iterations"] for row in logger.rows] == [1, 2, 3]
    assert [row["time/total_timesteps"] for row in logger.rows] == [16, 32, 48]
    assert [row["train/n_updates"] for row in logger.rows] == [2, 4, 6]
    model.learn(N_SAMPLES, reset_num_timesteps=False)
    assert logger.rows[-1]["time/iterations"] == 1
    assert logger.rows[-1]["time/total_timesteps"] == 64


@pytest.mark.parametrize(("log_interval", "steps"), [(1, [16, 32, 48, 64]), (3, [48]), (None, [])])
def test_log_interval(log_interval: int | None, steps: list[int]) -> None:
    assert rows_of(small_model(), 4, log_interval=log_interval).steps == steps


@pytest.mark.parametrize("log_interval", [0, -1, 1.5, True, "1"])
def test_bad_log_intervals(log_interval: Any) -> None:
    model = small_model()
    with pytest.raises(fastpg.ConfigError, match="log_interval: expected an integer >= 1 or None, got"):
        model.learn(N_SAMPLES, log_interval=log_interval)
    assert model.num_timesteps == 0


def test_a_log_that_cannot_be_started_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").write_text("")
    model = small_model(tensorboard_log=tmp_path / "file")
    before = fingerprint(model)
    with pytest.raises(OSError, match="file"):
        model.learn(N_SAMPLES)
    assert (fingerprint(model), model.total_timesteps) == (before, 0)


def test_the_log_of_a_run_ends_with_it() -> None:
    model = small_model(verbose=1)
    logger = model.logger
    logger.record("mine", 1)
    assert model.logger.name_to_value == {"mine": 1}
    seen: list[Logger] = []
    model.learn(N_SAMPLES, lambda *_: seen.append(model.logger))
    assert seen[0].sinks
    assert not model.logger.sinks


def test_stopped_epochs_count_as_updates() -> None:
    row = rows_of(small_model(target_kl=1e-12, n_epochs=5), 1).rows[-1]
    assert row["train/n_updates"] == 1


def test_std_is_the_one_after_the_update() -> None:
    model = small_model("Pendulum-v1", policy_kwargs={"net_arch": [8], "log_std_init": -1.0})
    row = rows_of(model, 2).rows[-1]
    assert row["train/std"] == pytest.approx(np.exp(model.policy.named_parameters()["log_std"]).mean())
    assert row["train/std"] != pytest.approx(np.exp(-1.0), abs=1e-7)


def test_explained_variance_is_over_the_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    rollouts: list[Rollout] = []
    collect = Collector.collect
    monkeypatch.setattr(
        Collector, "collect", lambda self, on_step: (rollouts.append(collect(self, on_step)), rollouts[-1])[1]
    )
    row = rows_of(small_model(), 1).rows[0]
    rollout = rollouts[0]
    parts = (rollout.rewards, rollout.values, rollout.next_values, rollout.terminated, rollout.truncated)
    advantages = gae(*parts, gamma=0.99, gae_lambda=0.95, backend="reference")
    returns = advantages + rollout.values
    expected = 1.0 - np.var(advantages) / np.var(returns)
    assert row["train/explained_variance"] == pytest.approx(expected, rel=1e-5)


def test_explained_variance_of_constant_returns_is_nan() -> None:
    column = np.ones(3, np.float32)
    batch = Batch(
        observations=np.zeros((3, 1), np.float32),
        actions=np.zeros((3, 1), np.int32),
        old_log_probs=column,
        advantages=column,
        returns=column,
        old_values=column,
    )
    assert np.isnan(explained_variance(batch))


def test_tensorboard_runs_are_numbered(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model = small_model(tensorboard_log=tmp_path).learn(N_SAMPLES)
    model.learn(N_SAMPLES, reset_num_timesteps=False)
    assert [path.name for path in tmp_path.iterdir()] == ["PPO_1"]
    model.learn(N_SAMPLES, tb_log_name="other")
    model.learn(N_SAMPLES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["PPO_1", "PPO_2", "other_1"]


def test_verbose_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    small_model(verbose=1).learn(N_SAMPLES)
    assert "total_timesteps" in capsys.readouterr().out
    small_model().learn(N_SAMPLES)
    assert capsys.readouterr().out == ""
