"""A run directory is usable before training starts, or the user is told why not."""

import json
import os

import pytest

from fastpg.errors import ConfigError
from fastpg.training.run_directory import RunDirectory, next_run_path


def test_create_makes_parents_and_writes_the_config(tmp_path):
    run = RunDirectory.create(tmp_path / "a" / "b", {"algorithm": "PPO", "env": "CartPole-v1"})
    assert json.loads((run.path / "config.json").read_text()) == {"algorithm": "PPO", "env": "CartPole-v1"}
    assert run.read_config()["env"] == "CartPole-v1"
    assert run.metrics == run.path / "metrics.csv"
    assert run.model == run.path / "model.fastpg"


def test_an_earlier_run_is_not_replaced_unasked(tmp_path):
    run = RunDirectory.create(tmp_path, {"n": 1})
    run.model.write_bytes(b"precious")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds files. Nothing was changed. Fix: .*--overwrite"):
        RunDirectory.create(tmp_path, {"n": 2})
    assert run.model.read_bytes() == b"precious"
    assert run.read_config() == {"n": 1}
    RunDirectory.create(tmp_path, {"n": 2}, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "notes.txt"]
    assert run.read_config() == {"n": 2}


def test_an_empty_directory_is_taken(tmp_path):
    assert RunDirectory.create(tmp_path, {}).read_config() == {}


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="expected a directory, got the file"):
        RunDirectory.create(tmp_path / "file", {})
    with pytest.raises(OSError, match="Could not make the run directory"):
        RunDirectory.create(tmp_path / "file" / "run", {})


def test_a_directory_that_cannot_be_written():
    with pytest.raises(OSError, match="Could not"):
        RunDirectory.create("/proc/run", {})


def test_open(tmp_path):
    with pytest.raises(ConfigError, match=r"which holds no model\.fastpg"):
        RunDirectory.open(tmp_path)
    with pytest.raises(ConfigError, match="which does not exist"):
        RunDirectory.open(tmp_path / "none")
    (tmp_path / "model.fastpg").write_bytes(b"")
    assert RunDirectory.open(tmp_path).read_config() == {}


@pytest.mark.parametrize(("text", "reason"), [("{", "expected JSON"), ("[1]", "expected a JSON object, got list")])
def test_damaged_config(tmp_path, text, reason):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        RunDirectory(tmp_path).read_config()


def test_next_run_path(tmp_path):
    assert next_run_path(tmp_path, "CartPole-v1-ppo") == tmp_path / "CartPole-v1-ppo-1"
    (tmp_path / "CartPole-v1-ppo-1").mkdir()
    assert next_run_path(tmp_path, "CartPole-v1-ppo") == tmp_path / "CartPole-v1-ppo-2"
