"""The experiments from the command line, with tiny budgets."""

import csv
import json

import pytest

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.cli.app import main
from fastpg.errors import ConfigError
from fastpg.experiments.experiment import Options
from fastpg.experiments.family import MEMBERS, choose_members
from fastpg.experiments.registry import EXPERIMENTS
from fastpg.experiments.settings import SETTINGS, TASKS, arguments_for, find_task
from fastpg.training.loading import ALGORITHMS, model_class


def exit_code(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *map(str, arguments)])
    return ended.value.code


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.label)
def test_the_settings_of_every_member_on_every_task_are_valid(member, settings):
    config_class = model_class(member.algorithm).config_class
    for task in TASKS.values():
        arguments = arguments_for(task, member.algorithm, settings=settings) | dict(member.options)
        assert isinstance(config_class.from_arguments({**arguments, "seed": 0}), OnPolicyConfig)


def test_the_variants_start_from_the_defaults(tmp_path):
    runs = EXPERIMENTS["variants"].plan(Options(out=tmp_path, n_seeds=1, settings="zoo"))
    assert {run.label.partition(",")[0] for run in runs} == set(ALGORITHMS)
    of_label = {run.label: run.arguments for run in runs}
    assert of_label["MDPO, Tsallis"] == {"n_envs": 8, "tsallis_q": 2.0}
    assert of_label["TRPO, Newton"] == of_label["TRPO"] | {"direction": "newton"}


def test_every_algorithm_is_in_the_family():
    assert {member.algorithm for member in MEMBERS} == set(ALGORITHMS)
    assert len({member.label for member in MEMBERS}) == len(MEMBERS)


def test_tasks_are_found_by_short_names():
    assert find_task("cartpole") is find_task("CartPole-v1") is TASKS["CartPole-v1"]
    with pytest.raises(ConfigError, match=r"tasks: expected names among CartPole-v1, .*, got 'Chess'"):
        find_task("Chess")
    with pytest.raises(ConfigError, match="settings: expected one of zoo, defaults, got 'mine'"):
        arguments_for(TASKS["CartPole-v1"], "PPO", settings="mine")


def test_members_are_chosen_by_label_or_algorithm():
    assert {member.algorithm for member in choose_members(MEMBERS, ["ppo"])} == {"PPO"}
    assert choose_members(MEMBERS, []) == list(MEMBERS)
    assert [member.label for member in choose_members(MEMBERS, ["trpo-adaptive-radius"])] == ["TRPO, adaptive radius"]
    with pytest.raises(ConfigError, match=r"members: expected names among .*ppo.*, got sac"):
        choose_members(MEMBERS, ["PPO", "SAC"])


def test_seeds_are_outermost_so_that_all_lines_grow_alike(tmp_path):
    runs = EXPERIMENTS["family"].plan(Options(out=tmp_path, n_seeds=2))
    assert len(runs) == 2 * len(TASKS) * len(MEMBERS) == len({run.directory for run in runs})
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    with pytest.raises(ConfigError, match=r"tasks: this experiment has LunarLander-v3, got CartPole-v1"):
        EXPERIMENTS["lunarlander"].plan(Options(out=tmp_path, tasks=("cartpole",)))
    with pytest.raises(ConfigError, match="neither --tasks nor --members"):
        EXPERIMENTS["tabular"].plan(Options(out=tmp_path, tasks=("cartpole",)))


SMALL = ("--tasks", "cartpole", "--members", "mdpo", "--seeds", 2, "--n-jobs", 1)


def test_family_trains_draws_and_skips_what_is_finished(tmp_path, capsys):
    arguments = ("family", *SMALL, "--total-timesteps", 512, "--out", tmp_path)
    assert exit_code(*arguments) == 0
    printed = capsys.readouterr().out
    assert "MDPO on CartPole-v1, seed 1: mean return" in printed
    assert (tmp_path / "family.png").read_bytes().startswith(b"\x89PNG")
    summary = rows_of(tmp_path / "summary.csv")
    assert [(row["env"], row["label"], row["seed"]) for row in summary] == [
        ("CartPole-v1", "MDPO", "0"),
        ("CartPole-v1", "MDPO", "1"),
    ]
    assert all(float(row["mean_return"]) > 0 and float(row["training_s"]) > 0 for row in summary)
    assert rows_of(tmp_path / "return-over-timesteps.csv")[-1]["n_runs"] == "2"

    directory = tmp_path / "runs" / "CartPole-v1" / "mdpo-0"
    assert json.loads((directory / "config.json").read_text())["experiment"]["total_timesteps"] == 512
    written_at = (directory / "model.fastpg").stat().st_mtime_ns
    assert exit_code(*arguments) == 0
    assert "2 of 2 runs are not run: finished already" in capsys.readouterr().out
    assert (directory / "model.fastpg").stat().st_mtime_ns == written_at

    assert exit_code("family", *SMALL, "--total-timesteps", 256, "--out", tmp_path) == 2
    assert "mdpo-0 holds a finished run with other settings. Nothing was changed." in capsys.readouterr().err
    assert exit_code("family", *SMALL, "--total-timesteps", 256, "--out", tmp_path, "--overwrite") == 0
    assert (directory / "model.fastpg").stat().st_mtime_ns > written_at


def test_the_variants_are_drawn(tmp_path, capsys):
    members = ("--members", "mdpo-tsallis,vpg-tonga", "--seeds", 1, "--n-jobs", 1)
    assert exit_code("variants", *members, "--total-timesteps", 2048, "--out", tmp_path) == 0
    assert "TONGA on CartPole-v1, seed 0: mean return" in capsys.readouterr().out
    assert (tmp_path / "variants.png").read_bytes().startswith(b"\x89PNG")
    assert {row["label"] for row in rows_of(tmp_path / "curves.csv")} == {"MDPO, Tsallis", "VPG, TONGA"}


def test_a_run_without_its_evaluation_is_repeated(tmp_path, capsys):
    arguments = ("family", *SMALL[:-4], "--seeds", 1, "--n-jobs", 1, "--total-timesteps", 256, "--out", tmp_path)
    assert exit_code(*arguments) == 0
    (tmp_path / "runs" / "CartPole-v1" / "mdpo-0" / "evaluation.json").unlink()
    capsys.readouterr()
    assert exit_code(*arguments, "--plot-only") == 2
    assert "no run of family is finished" in capsys.readouterr().err
    assert exit_code(*arguments, "--quiet") == 0
    assert "[1/1" not in capsys.readouterr().out


def test_a_failed_run_is_an_error_and_the_others_are_drawn(tmp_path, capsys, monkeypatch):
    from fastpg.experiments.training_run import TrainingRun

    execute = TrainingRun.execute

    def fail_once(self, report):
        if self.seed == 0:
            raise ConfigError("something is missing")
        return execute(self, report)

    monkeypatch.setattr(TrainingRun, "execute", fail_once)
    assert exit_code("family", *SMALL, "--total-timesteps", 256, "--out", tmp_path) == 2
    printed = capsys.readouterr()
    assert "MDPO on CartPole-v1, seed 0 failed: something is missing" in printed.err
    assert [row["seed"] for row in rows_of(tmp_path / "summary.csv")] == ["1"]


def test_tabular_runs_draws_and_skips_what_is_finished(tmp_path, capsys):
    arguments = ("tabular", "--seeds", 2, "--n-jobs", 1, "--total-timesteps", 3, "--out", tmp_path)
    assert exit_code(*arguments) == 0
    assert (tmp_path / "gap.png").read_bytes().startswith(b"\x89PNG")
    rows = rows_of(tmp_path / "curves.csv")
    assert {row["panel"] for row in rows} == {"plain", "regularised"}
    assert all(0.0 < float(row["mean"]) <= 1.0 for row in rows)
    capsys.readouterr()
    assert exit_code(*arguments) == 0
    assert "18 of 18 runs are not run" in capsys.readouterr().out
    assert exit_code(*arguments[:-4], "--total-timesteps", 4, "--out", tmp_path) == 2
    assert "holds a result with other settings" in capsys.readouterr().err


def test_an_unknown_experiment_lists_those_there_are(capsys):
    assert exit_code("chess") == 2
    printed = capsys.readouterr().err
    assert all(name in printed for name in EXPERIMENTS)


def test_the_help_says_what_each_experiment_is(capsys):
    assert exit_code("--help") == 0
    printed = capsys.readouterr().out
    assert "PPO against TRPO on LunarLander-v3" in printed
    assert "--n-jobs" in printed
