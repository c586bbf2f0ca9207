"""The logger, and the plug-in of the zoo."""

from __future__ import annotations

import io
import json
import sys
import types
import warnings

import numpy as np
import pytest

from fastpg.errors import ConfigError
from fastpg.sb3 import A2C, PPO, TRPO, zoo
from fastpg.sb3.common import logger as sb3_logger
from fastpg.sb3.common.env_checker import check_env
from fastpg.sb3.common.env_util import make_vec_env
from fastpg.sb3.common.logger import HumanOutputFormat, KVWriter, Logger, configure
from tests.sb3.tools import CountingEnv, small


def test_files_have_their_names_and_their_columns(tmp_path) -> None:
    log = configure(tmp_path, ["csv", "json", "log"])
    log.record("train/loss", 1.5)
    log.dump(1)
    log.record("train/loss", 2.5)
    log.record_mean("own/number", 3)
    log.record_mean("own/number", 5)
    log.dump(2)
    log.close()
    assert (tmp_path / "progress.csv").read_text() == "train/loss,own/number\n1.5,\n2.5,4.0\n"
    rows = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert rows == [{"train/loss": 1.5}, {"train/loss": 2.5, "own/number": 4.0}]
    assert "own/" in (tmp_path / "log.txt").read_text()
    assert log.get_dir() == str(tmp_path)
    with pytest.raises(ConfigError, match="format_strings: expected stdout"):
        configure(tmp_path, ["xml"])


def test_levels() -> None:
    out = io.StringIO()
    log = Logger(None, [HumanOutputFormat(out)])
    log.debug("a")
    log.info("b")
    log.set_level(sb3_logger.ERROR)
    log.warn("c")
    log.error("d 1")
    assert out.getvalue() == "b\nd 1\n"


def test_defaults_come_from_the_environment(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "x"))
    monkeypatch.setenv("SB3_LOG_FORMAT", "json")
    log = configure()
    log.close()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["progress.json"]


def test_a_writer_of_ones_own_and_the_models_logger() -> None:
    rows = []

    class Rows(KVWriter):
        def write(self, key_values, key_excluded, step=0):
            rows.append((step, key_values))

    writer = Rows()
    log = Logger(None, [writer])
    assert log.output_formats == [writer]
    model = small(A2C, make_vec_env(CountingEnv))
    model.logger.info("before learn")
    model.set_logger(log)
    assert model.logger is log
    model.learn(10, log_interval=1)
    assert [step for step, _ in rows] == [5, 10]
    assert rows[1][1]["time/iterations"] == 2
    assert {"time/fps", "time/time_elapsed", "time/total_timesteps", "train/entropy_loss"} <= set(rows[0][1])


def test_tensorboard_gets_more_than_numbers(tmp_path) -> None:
    pytest.importorskip("tensorboardX")

    class Extra(zoo_callback()):
        def _on_training_start(self) -> None:
            image = sb3_logger.Image(np.zeros((3, 4, 3), np.uint8), "HWC")
            self.logger.record("image", image, exclude=("stdout", "csv"))
            (formatter,) = self.logger.output_formats
            formatter.writer.add_text("note", "by hand", 0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        small(A2C, CountingEnv(), tensorboard_log=str(tmp_path)).learn(10, Extra(), log_interval=1)
    (events,) = (tmp_path / "A2C_1").iterdir()
    content = events.read_bytes()
    assert b"image" in content
    assert b"by hand" in content
    assert b"train/value_loss" in content


def zoo_callback() -> type:
    from fastpg.sb3.common.callbacks import BaseCallback

    return BaseCallback


def test_zoo_tables_are_replaced(monkeypatch) -> None:
    theirs = {"ppo": object, "sac": object}
    for name in zoo._TABLES:
        module = types.ModuleType(name)
        module.ALGOS = dict(theirs)
        monkeypatch.setitem(sys.modules, name, module)
    ran = []
    sys.modules["rl_zoo3.train"].train = lambda: ran.append(list(sys.argv))
    monkeypatch.setattr(sys, "argv", ["x"])
    zoo.main(["train", "--algo", "ppo"])
    assert ran == [["rl_zoo3 train", "--algo", "ppo"]]
    assert {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "sac": object} == sys.modules["rl_zoo3.train"].ALGOS
    with pytest.raises(SystemExit, match="usage"):
        zoo.main(["bake"])


def test_zoo_is_optional(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rl_zoo3", None)
    with pytest.raises(ImportError, match="pip install rl_zoo3"):
        zoo.register()


def test_check_env() -> None:
    import gymnasium as gym

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unbounded observations
        check_env(gym.make("CartPole-v1").unwrapped)
    with pytest.raises(ConfigError, match=r"env: expected a gymnasium\.Env, got int"):
        check_env(3)


def test_without_the_zoo_the_remedy_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rl_zoo3", None)
    with pytest.raises(SystemExit, match=r"Error: The zoo needs the package rl_zoo3 .*Fix: pip install rl_zoo3"):
        zoo.main(["train", "--algo", "ppo"])
