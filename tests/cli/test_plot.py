"""The command that plots run directories."""

import pytest

from fastpg.cli.app import main
from tests.plotting.test_curves import write_run


def exit_code(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_a_picture_of_several_runs(tmp_path, capsys):
    runs = [write_run(tmp_path / name) for name in ("a", "b")]
    picture = tmp_path / "curves.png"
    assert exit_code("plot", *runs, "--output", picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"Saved {picture}\n"


def test_an_unknown_column_is_an_error_that_lists_the_columns(tmp_path, capsys):
    assert exit_code("plot", write_run(tmp_path / "a"), "--key", "loss", "--output", tmp_path / "x.png") == 2
    assert "key: expected one of time/total_timesteps, rollout/ep_rew_mean, got 'loss'" in capsys.readouterr().err


def test_an_unwritable_picture_is_an_error_without_a_traceback(tmp_path, capsys):
    assert exit_code("plot", write_run(tmp_path / "a"), "--output", tmp_path / "nowhere" / "x.png") == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_unknown_kind_of_picture_names_those_there_are(tmp_path, capsys):
    assert exit_code("plot", write_run(tmp_path / "a"), "--output", tmp_path / "x.doc") == 2
    assert "png" in capsys.readouterr().err
