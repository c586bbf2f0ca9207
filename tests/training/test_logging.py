"""Sinks hold what was recorded; a disk that is full does not stop a run."""

import csv
import errno
import gc
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fastpg.errors import ConfigError
from fastpg.training import logging as fastpg_logging
from fastpg.training.logging import (
    ConsoleSink,
    CSVSink,
    JSONSink,
    Logger,
    Sink,
    TensorBoardSink,
    configure,
    format_value,
    next_log_directory,
)
from fastpg.training.metrics import METRICS, csv_columns, markdown_table, sort_keys


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Collecting(Sink):
    name = "collecting"

    def __init__(self):
        self.dumps, self.messages = [], []

    def write(self, values, step):
        self.dumps.append((dict(values), step))

    def message(self, text):
        self.messages.append(text)


def test_record_and_dump():
    sink = Collecting()
    logger = Logger([sink])
    logger.record("a", np.float32(0.5))
    logger.record("b", np.array([3]))
    logger.record("c", "text")
    logger.dump(7)
    logger.dump(8)
    logger.log("x", 1)
    assert sink.dumps == [({"a": 0.5, "b": 3, "c": "text"}, 7), ({}, 8)]
    assert type(sink.dumps[0][0]["a"]) is float
    assert sink.messages == ["x 1"]


def test_record_mean():
    sink = Collecting()
    logger = Logger([sink])
    for value in (1.0, None, 2.0, 6.0):
        logger.record_mean("a", value)
    logger.dump()
    logger.record_mean("a", 5)
    logger.dump()
    assert [values["a"] for values, _ in sink.dumps] == [3.0, 5.0]


def test_exclude():
    sink, other = Collecting(), Collecting()
    other.name = "other"
    logger = Logger([sink, other])
    logger.record("a", 1, exclude="other")
    logger.record("b", 1, exclude=("collecting", "csv"))
    logger.dump()
    assert sink.dumps[0][0] == {"a": 1}
    assert other.dumps[0][0] == {"b": 1}


@pytest.mark.parametrize("value", [[1, 2], np.zeros(2), object(), None])
def test_only_numbers_and_strings(value):
    with pytest.raises(TypeError, match="Log value 'a': expected a number or a string"):
        Logger().record("a", value)


# --- CSV and JSON --------------------------------------------------------------------------------------------------


def test_csv_has_all_columns_from_the_start(tmp_path):
    with Logger([CSVSink(tmp_path / "metrics.csv")]) as logger:
        for step in (100, 200):
            logger.record("time/total_timesteps", step)
            logger.record("rollout/ep_rew_mean", step / 3)
            logger.dump(step)
    table = rows(tmp_path / "metrics.csv")
    assert tuple(table[0]) == csv_columns()
    assert [row["time/total_timesteps"] for row in table] == ["100", "200"]
    assert float(table[1]["rollout/ep_rew_mean"]) == 200 / 3
    assert table[0]["train/std"] == ""


def test_csv_takes_new_keys(tmp_path):
    with Logger([CSVSink(tmp_path / "metrics.csv")]) as logger:
        logger.record("time/iterations", 1)
        logger.dump()
        logger.record("mine/b, or c", 2.5)
        logger.record("time/iterations", 2)
        logger.dump()
    table = rows(tmp_path / "metrics.csv")
    assert tuple(table[0]) == (*csv_columns(), "mine/b, or c")
    assert [row["mine/b, or c"] for row in table] == ["", "2.5"]
    assert [row["time/iterations"] for row in table] == ["1", "2"]


def test_csv_appends(tmp_path):
    path = tmp_path / "metrics.csv"
    for iteration in (1, 2):
        with Logger([CSVSink(path, append=True)]) as logger:
            logger.record("time/iterations", iteration)
            logger.dump()
    assert [row["time/iterations"] for row in rows(path)] == ["1", "2"]


def test_json_lines(tmp_path):
    with Logger([JSONSink(tmp_path / "metrics.json")]) as logger:
        logger.record("a", 1.5)
        logger.record("b", float("nan"))
        logger.dump()
        logger.record("a", 2)
        logger.dump()
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert lines == [{"a": 1.5, "b": "nan"}, {"a": 2}]


def test_full_disk_warns_once_and_leaves_whole_lines(tmp_path, monkeypatch):
    with Logger([CSVSink(tmp_path / "metrics.csv"), Collecting()]) as logger:
        file = logger.sinks[0]._file
        real = file._file

        class Full:
            room = 5

            def write(self, data):
                if not self.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written, self.room = real.write(data[: self.room]), 0
                return written

            def __getattr__(self, name):
                return getattr(real, name)

        def dump(value):
            logger.record("time/iterations", value)
            logger.dump()

        dump(1)
        file._file = Full()
        with pytest.warns(RuntimeWarning, match=r"The csv log could not be written.*No space left"):
            dump(2)
        dump(3)
        file._file = real
        dump(4)
        assert len(logger.sinks[1].dumps) == 4
    assert [row["time/iterations"] for row in rows(tmp_path / "metrics.csv")] == ["1", "4"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_from_the_start_is_an_error():
    with pytest.raises(OSError, match="No space left"):
        CSVSink("/dev/full")
    gc.collect()  # an open file would be a ResourceWarning here


# --- console -------------------------------------------------------------------------------------------------------


def shown(**arguments):
    buffer = io.StringIO()
    return buffer, ConsoleSink(console=Console(file=buffer, width=100, highlight=False), **arguments)


def test_console_table():
    buffer, sink = shown()
    sink.write({"train/loss": 0.123456, "rollout/ep_rew_mean": 21.5, "time/total_timesteps": 16384, "mine/x": 1}, 0)
    lines = buffer.getvalue().splitlines()
    assert max(map(len, lines)) <= 44
    words = [line.replace("│", " ").split() for line in lines if line.startswith("│")]
    assert words == [
        ["rollout/"],
        ["ep_rew_mean", "21.5"],
        ["time/"],
        ["total_timesteps", "16,384"],
        ["train/"],
        ["loss", "0.1235"],
        ["mine/"],
        ["x", "1"],
    ]


def test_console_writes_to_the_current_stdout(capsys):
    with Logger([ConsoleSink()]) as logger:
        logger.record("time/fps", 100)
        logger.dump()
        logger.log("saved [bold]model[/]")
    out = capsys.readouterr().out
    assert "fps" in out
    assert "saved [bold]model[/]" in out
    assert "\x1b" not in out


def test_console_every_and_last():
    buffer, sink = shown(every=3)
    for iteration in range(1, 8):
        sink.write({"time/iterations": iteration}, 0)
    sink.close()
    sink.close()
    assert [line.split()[3] for line in buffer.getvalue().splitlines() if "iterations" in line] == ["3", "6", "7"]


def test_console_interval(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(fastpg_logging.time, "monotonic", lambda: now[0])
    buffer, sink = shown(min_interval_s=2.0)
    for iteration in range(8):
        now[0] = float(iteration) / 2
        sink.write({"time/iterations": iteration}, 0)
    assert [line.split()[3] for line in buffer.getvalue().splitlines() if "iterations" in line] == ["0", "4"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.0, "0"),
        (0.00031, "0.00031"),
        (-475.25, "-475.2"),
        (1234567.0, "1.23e+06"),
        (3e-7, "3.00e-07"),
        (float("nan"), "nan"),
        (True, "True"),
        ("x", "x"),
    ],
)
def test_format_value(value, text):
    assert format_value(value) == text


# --- TensorBoard ---------------------------------------------------------------------------------------------------


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    with Logger([TensorBoardSink(tmp_path / "tb")]) as logger:
        logger.record("rollout/ep_rew_mean", 3.0)
        logger.record("note", "text")
        logger.dump(10)
    (file,) = (tmp_path / "tb").iterdir()
    assert b"rollout/ep_rew_mean" in file.read_bytes()


def test_tensorboard_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'fastpg\[tensorboard\]'"):
        configure(tmp_path, ["tensorboard"])


def test_next_log_directory(tmp_path):
    assert next_log_directory(tmp_path / "none", "PPO") == tmp_path / "none" / "PPO_1"
    for name in ("PPO_2", "PPO_10", "PPO_x", "TRPO_30"):
        (tmp_path / name).mkdir()
    assert next_log_directory(tmp_path, "PPO") == tmp_path / "PPO_11"


# --- configure and metrics -----------------------------------------------------------------------------------------


def test_configure(tmp_path):
    with configure(tmp_path / "a" / "b", ["csv", "json", "stdout"]) as logger:
        logger.record("a", 1)
        logger.dump()
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["metrics.csv", "metrics.json"]


def test_configure_refuses(tmp_path):
    with pytest.raises(ConfigError, match="expected any of stdout, csv, json, tensorboard, got 'html'"):
        configure(tmp_path, ["csv", "html"])
    with pytest.raises(ConfigError, match="expected a directory for csv, got None"):
        configure(None, ["csv"])


def test_metrics_are_unique_sentences():
    keys = [metric.key for metric in METRICS]
    assert len(set(keys)) == len(keys)
    for metric in METRICS:
        assert metric.meaning.endswith(".")
        assert metric.key.count("/") == 1
    assert markdown_table().count("\n") == len(METRICS) + 2


def test_sort_keys():
    assert sort_keys(["b", "train/loss", "a", "rollout/ep_rew_mean"]) == ["rollout/ep_rew_mean", "train/loss", "a", "b"]
