"""The command line, run as a user runs it, and its parts."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from fastpg.algorithms.ppo import PPOConfig
from fastpg.cli import app
from fastpg.cli.options import config_arguments, config_options
from fastpg.machine import n_cores
from fastpg.training.loading import ALGORITHMS
from fastpg.training.metrics import csv_columns
from fastpg.updates.schedules import LinearSchedule

SMALL = ("--n-steps", "64", "--batch-size", "32", "--n-epochs", "2", "--n-envs", "2", "--net-arch", "8", "--seed", "1")


@pytest.fixture(autouse=True)
def _quickly_started_kernels(monkeypatch):
    monkeypatch.setenv("FASTPG_BACKEND", "reference")


def fastpg(*arguments, cwd=None):
    """Run ``python -m fastpg`` with the quickly started kernels."""
    return subprocess.run(
        [sys.executable, "-m", "fastpg", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=os.environ | {"FASTPG_BACKEND": "reference", "COLUMNS": "100"},
    )


def call(capsys, *arguments):
    """Run the command line in this process: (exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as stop:
        app.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "cartpole"
    result = fastpg(
        "train", "ppo", "CartPole-v1", "--total-timesteps", "300", "--run-dir", path, "--eval-episodes", "3", *SMALL
    )
    assert result.returncode == 0, result.stderr
    return path, result


# --- train ---------------------------------------------------------------------------------------------------------


def test_train_prints_a_header_tables_and_the_evaluation(run_dir):
    path, result = run_dir
    assert "PPO on CartPole-v1, 2 environments, 300 steps, seed 1" in result.stdout
    assert "reference kernels" in result.stdout
    assert "Slower than need be" in result.stdout
    assert "ep_rew_mean" in result.stdout
    assert "Evaluation: mean return" in result.stdout
    assert "over 3 episodes" in result.stdout
    assert f"Saved {path}/model.fastpg" in result.stdout
    assert result.stderr == ""


def test_train_writes_a_run_directory(run_dir):
    path, _ = run_dir
    assert sorted(os.listdir(path)) == ["config.json", "evaluation.json", "metrics.csv", "model.fastpg"]
    config = json.loads((path / "config.json").read_text())
    assert (config["algorithm"], config["env"], config["total_timesteps"]) == ("PPO", "CartPole-v1", 300)
    assert config["arguments"]["n_steps"] == 64
    assert config["arguments"]["seed"] == 1
    assert config["arguments"]["policy_kwargs"]["net_arch"] == {"pi": [8], "vf": [8]}
    assert config["kernels"]["name"] == "reference"
    with (path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == csv_columns()  # every key that a training records has its place there
    assert [row["time/total_timesteps"] for row in rows] == ["128", "256", "384"]
    assert [row["time/iterations"] for row in rows] == ["1", "2", "3"]
    assert json.loads((path / "evaluation.json").read_text())["n_episodes"] == 3


def test_eval_of_a_run_directory_and_of_a_file(run_dir, capsys):
    path, _ = run_dir
    code, out, _ = call(capsys, "eval", path, "--episodes", 4, "--seed", 5, "--json")
    assert code == 0
    result = json.loads(out)
    assert list(result) == ["mean_return", "std_return", "n_episodes", "returns", "lengths"]
    assert result["n_episodes"] == len(result["returns"]) == len(result["lengths"]) == 4
    code, again, _ = call(capsys, "eval", path / "model.fastpg", "--episodes", 4, "--seed", 5, "--json")
    assert json.loads(again) == result
    code, out, _ = call(capsys, "eval", path, "--episodes", 4)
    assert code == 0
    assert "CartPole-v1: mean return" in out


def test_eval_repeats_the_evaluation_after_training(run_dir, capsys):
    path, _ = run_dir
    code, out, _ = call(capsys, "eval", path, "--episodes", 3, "--json")
    assert code == 0
    after_training = json.loads((path / "evaluation.json").read_text())
    assert json.loads(out).items() <= after_training.items()


def test_stochastic_evaluation_is_repeatable(run_dir, capsys):
    path, _ = run_dir
    results = {call(capsys, "eval", path, "--stochastic", "--json", "--episodes", 3, "--seed", 1)[1] for _ in range(2)}
    assert len(results) == 1


def test_train_json_prints_one_object(tmp_path):
    result = fastpg(
        "train",
        "ppo",
        "CartPole-v1",
        "--total-timesteps",
        "128",
        "--eval-episodes",
        "2",
        "--json",
        *SMALL,
        cwd=tmp_path,
    )
    assert result.returncode == 0
    values = json.loads(result.stdout)
    assert values["num_timesteps"] == 128
    assert values["run_dir"] == os.path.join("runs", "CartPole-v1-ppo-1")
    assert values["n_episodes"] == 2
    assert values["interrupted"] is False
    assert "PPO on CartPole-v1" in result.stderr


def test_train_takes_the_step_size_of_mdpo_that_adapts(tmp_path, capsys):
    options = ("--total-timesteps", 96, "--n-steps", 48, "--net-arch", 8, "--seed", 1, "--t-schedule")
    code, _, err = call(capsys, "train", "mdpo", "CartPole-v1", "--run-dir", tmp_path, *options, "adaptive")
    assert code == 0, err
    assert json.loads((tmp_path / "config.json").read_text())["arguments"]["t_schedule"] == "adaptive"
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert [row["train/trust_radius"] != "" for row in csv.DictReader(file)] == [True, True]
    code, _, err = call(capsys, "train", "mdpo", "CartPole-v1", *options, "adapted")
    assert code == 2
    assert "adaptive" in err


def test_quiet_prints_the_result_only(tmp_path, capsys):
    arguments = ("train", "ppo", "CartPole-v1", "--total-timesteps", "128", *SMALL)
    code, out, err = call(capsys, *arguments, "--run-dir", tmp_path / "run", "--quiet", "--eval-episodes", "1")
    assert code == 0
    assert [line.split(":")[0].split()[0] for line in out.splitlines()] == ["Evaluation", "Saved"]
    code, out, err = call(capsys, *arguments, "--run-dir", tmp_path / "2", "--quiet", "--json", "--eval-episodes", "0")
    assert json.loads(out)["num_timesteps"] == 128
    assert err == ""


def test_same_seed_same_file(tmp_path, capsys):
    for name in "ab":
        arguments = ("train", "ppo", "CartPole-v1", "--total-timesteps", "128", *SMALL)
        call(capsys, *arguments, "--run-dir", tmp_path / name, "--quiet", "--eval-episodes", "0")
    assert (tmp_path / "a" / "model.fastpg").read_bytes() == (tmp_path / "b" / "model.fastpg").read_bytes()


def test_tensorboard(tmp_path, capsys):
    pytest.importorskip("tensorboardX")
    arguments = ("train", "ppo", "CartPole-v1", "--total-timesteps", "128", *SMALL)
    log = tmp_path / "tb"
    call(capsys, *arguments, "--run-dir", tmp_path / "run", "-q", "--eval-episodes", "0", "--tensorboard-log", log)
    assert len(list((log / "PPO_1").iterdir())) == 1


# --- errors --------------------------------------------------------------------------------------------------------

ERRORS = {
    "all bad values at once": (
        ("train", "ppo", "CartPole-v1", "--gamma", "2", "--n-epochs", "0"),
        ["2 arguments are wrong", "gamma", "n_epochs"],
    ),
    "not a number": (("train", "ppo", "CartPole-v1", "--gamma", "x"), ["'--gamma': expected a number, got 'x'"]),
    "no JSON": (("train", "ppo", "CartPole-v1", "--env-kwargs", "{g=1}"), ["expected a JSON object", "{g=1}"]),
    "no whole number": (("train", "ppo", "CartPole-v1", "--n-steps", "2.5"), ["'--n-steps': expected an integer"]),
    "no JSON object": (("train", "ppo", "CartPole-v1", "--env-kwargs", "[1]"), ["expected a JSON object"]),
    "bad sizes": (("train", "ppo", "CartPole-v1", "--net-arch", "a,b"), ["expected 64,64 or pi=64,64:vf=128,128"]),
    "a network twice": (("train", "ppo", "CartPole-v1", "--net-arch", "pi=8:pi=4"), ["expected each network once"]),
    "both ways to normalise": (
        ("train", "ppo", "CartPole-v1", "--no-normalize", "--normalize-options", '{"clip_obs": 5}'),
        ["normalize_options: expected none beside --no-normalize, got {'clip_obs': 5}"],
    ),
    "bad schedule": (("train", "ppo", "CartPole-v1", "--learning-rate", "lin_x"), ["learning_rate: expected"]),
    "negative steps": (("train", "ppo", "CartPole-v1", "--total-timesteps", "-1"), ["expected a whole number >= 0"]),
    "unknown environment": (("train", "ppo", "CartPole-v99"), ["CartPole-v99"]),
    "wrong arguments of the environment": (
        ("train", "ppo", "CartPole-v1", "--env-kwargs", '{"g": 9}'),
        ["env_kwargs: expected what 'CartPole-v1' takes, got {'g': 9}", "unexpected keyword argument 'g'"],
    ),
    "unknown algorithm": (("train", "nothing", "CartPole-v1"), ["No such command 'nothing'", "Commands: ", " ppo,"]),
    "algorithm in capitals": (("train", "PPO", "CartPole-v1"), ["No such command 'PPO'", "Did you mean 'ppo'?"]),
    "no number of episodes": (("eval", "run", "--episodes", "x"), ["'--episodes': expected a whole number >= 1"]),
    "too few episodes": (("eval", "run", "--episodes", "0"), ["'--episodes': expected a whole number >= 1"]),
    "draw and repeat": (("experiment", "tabular", "--plot-only", "--overwrite"), ["--plot-only", "--overwrite"]),
    "check and record": (("bench", "--check", "a", "--record", "b"), ["--check and --record"]),
    "nowhere to record": (("bench", "--record", "nowhere/a"), ["record: expected a file in a directory that exists"]),
    "misspelt command": (("trian", "ppo", "CartPole-v1"), ["No such command 'trian'", "Did you mean 'train'?"]),
    "unknown option": (("train", "ppo", "CartPole-v1", "--gama", "0.9"), ["No such option", "--gamma"]),
    "no environment": (("train", "ppo"), ["Missing argument 'ENV'"]),
    "no run": (("eval", "/nonexistent"), ["/nonexistent, which does not exist"]),
    "unwritable": (("train", "ppo", "CartPole-v1", "--run-dir", "/proc/run"), ["Could not make the run directory"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_message_and_exit_code_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, texts = ERRORS[case]
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "Error: " in err
    assert "Traceback" not in err
    for text in texts:
        assert text in err
    assert os.listdir(tmp_path) == []


def test_existing_run_is_not_overwritten(run_dir, capsys):
    path, _ = run_dir
    before = (path / "model.fastpg").read_bytes()
    code, _, err = call(capsys, "train", "ppo", "CartPole-v1", "--run-dir", path, *SMALL)
    assert code == 2
    assert "--overwrite" in err
    assert (path / "model.fastpg").read_bytes() == before


def test_a_damaged_configuration_is_named(run_dir, capsys, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run_dir[0], path)
    (path / "config.json").write_text('{"arguments": []}')
    code, _, err = call(capsys, "eval", path)
    assert code == 2
    assert "config.json: arguments: expected an object, got []" in err


def test_command_lines_in_the_help_are_not_wrapped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = call(capsys, "--help")[1]
    assert "fastpg train ppo CartPole-v1 --total-timesteps 100000 --n-envs 8 --run-dir runs/cartpole\n" in out


def test_debug_shows_the_traceback():
    result = fastpg("eval", "/nonexistent", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_reader_that_goes_away_is_no_traceback():
    command = [sys.executable, "-m", "fastpg", "info", "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(timeout=60) == 1


def test_interrupt_outside_of_training(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert app.run(interrupted, debug=False) == 130
    assert "Interrupted." in capsys.readouterr().err


def test_foreign_file(tmp_path, capsys):
    (tmp_path / "model.fastpg").write_bytes(b"PK\x03\x04" + bytes(100))
    code, _, err = call(capsys, "eval", tmp_path / "model.fastpg")
    assert code == 2
    assert "a zip archive" in err


OWN_ENV = """
import gymnasium as gym

gym.register("Own-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=20)
"""

FAILING_ENV = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

class Failing(CartPoleEnv):
    n_steps = 0
    def step(self, action):
        Failing.n_steps += 1
        observation, _, *rest = super().step(action)
        return observation, float("nan") if Failing.n_steps > 300 else 1.0, *rest

gym.register("Failing-v0", Failing)
"""


def test_environments_of_modules_in_the_current_directory(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as for the installed command
    (tmp_path / "own_env.py").write_text(OWN_ENV)
    arguments = ("own_env:Own-v0", "--total-timesteps", "100", "--run-dir", "run", "--quiet", *SMALL)
    assert call(capsys, "train", "ppo", *arguments)[0] == 0
    code, out, _ = call(capsys, "eval", "run", "--episodes", "1")
    assert code == 0
    assert "over 1 episode (mean" in out


def test_eval_elsewhere_leaves_the_arguments_of_the_environment(tmp_path, capsys, monkeypatch):
    """Both environments know this argument, which makes every reward 0 or -1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_env.py").write_text(OWN_ENV)
    arguments = ("--total-timesteps", "128", "--env-kwargs", '{"sutton_barto_reward": true}', *SMALL)
    assert call(capsys, "train", "ppo", "CartPole-v1", "--run-dir", "run", "--quiet", *arguments)[0] == 0
    for env, is_positive in (("CartPole-v1", False), ("own_env:Own-v0", True)):
        _, out, _ = call(capsys, "eval", "run", "--env", env, "--episodes", 2, "--json")
        assert (json.loads(out)["mean_return"] > 0.0) is is_positive


def test_a_failure_in_training_keeps_the_last_model(tmp_path):
    (tmp_path / "failing_env.py").write_text(FAILING_ENV)
    arguments = ("train", "ppo", "failing_env:Failing-v0", "--total-timesteps", "10000", *SMALL)
    result = fastpg(*arguments, "--run-dir", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert "reward is nan" in result.stderr
    assert "The model as of step 256 is in run/model.fastpg" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "run" / "model.fastpg").exists()


def n_rows(metrics):
    """Finished iterations in the log so far."""
    return len(metrics.read_text().splitlines()[1:]) if metrics.exists() else 0


def test_interrupt_saves_the_last_model(tmp_path):
    path = tmp_path / "run"
    command = [sys.executable, "-m", "fastpg", "train", "ppo", "CartPole-v1", "--total-timesteps", "10000000", "--json"]
    environment = os.environ | {"FASTPG_BACKEND": "reference"}
    child = subprocess.Popen(
        [*command, "--run-dir", str(path), *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # a shell that runs the tests in the background makes them ignore SIGINT, and their children too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no other threads here
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and n_rows(path / "metrics.csv") == 0:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "Interrupted: the model as of step" in err
    assert "Traceback" not in err
    summary = json.loads(out)
    assert summary["interrupted"] is True
    assert summary["num_timesteps"] > 0
    assert fastpg("eval", path, "--episodes", "1").returncode == 0


def test_the_exit_code_of_an_interrupt_that_fell_into_an_exec(tmp_path):
    """``python -m`` would leave by a signal then, though the interrupt was handled."""
    interrupt = 'if Failing.n_steps > 300: exec("raise KeyboardInterrupt")\n        return'
    (tmp_path / "failing_env.py").write_text(FAILING_ENV.replace("return", interrupt))
    result = fastpg("train", "ppo", "failing_env:Failing-v0", "--run-dir", "run", *SMALL, cwd=tmp_path)
    assert result.returncode == 130, result.stderr
    assert "Interrupted: the model as of step 256 is in run/model.fastpg" in result.stderr


def test_characters_that_standard_output_does_not_have(tmp_path):
    environment = os.environ | {"FASTPG_BACKEND": "reference", "PYTHONIOENCODING": "ascii"}
    arguments = ("train", "ppo", "CartPole-v1", "--total-timesteps", "128", "--eval-episodes", "1", *SMALL)
    result = subprocess.run(
        [sys.executable, "-m", "fastpg", *arguments, "--run-dir", str(tmp_path / "run")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert "mean return" in result.stdout
    assert " ? 0.0 over 1 episode" in result.stdout


# --- info, help ----------------------------------------------------------------------------------------------------


def test_info_json(capsys):
    code, out, _ = call(capsys, "info", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["backends"]["reference"]["available"] is True
    assert report["backend"] in report["backends"]
    assert report["n_threads"] >= 1
    assert report["packages"]["numpy"]
    assert {"version", "isa", "python", "platform", "reproducibility"} <= report.keys()


def test_info_says_why_a_backend_is_missing(capsys, monkeypatch):
    monkeypatch.setattr("fastpg.kernels.backends.available", lambda: ("jit", "reference"))
    code, out, _ = call(capsys, "info")
    assert code == 0
    words = " ".join(out.split())
    assert "native kernels not available" in words
    assert "compiler" in words
    assert "(default)" in words


def test_version(capsys):
    code, out, _ = call(capsys, "--version")
    assert code == 0
    assert out.startswith("fastpg ")


def test_help_is_quick_and_loads_neither_numba_nor_torch():
    code = "import sys\nfrom fastpg.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('numba', 'torch', 'rich', 'tensorboardX') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]"
    assert "train" in result.stdout


@pytest.mark.parametrize(
    "arguments", [(), *((name,) for name in app.COMMANDS), *(("train", name.lower()) for name in ALGORITHMS)]
)
def test_every_help_text(capsys, arguments):
    code, out, _ = call(capsys, *arguments, "--help")
    assert code == 0
    assert "Usage: fastpg" in out


# --- options -------------------------------------------------------------------------------------------------------


def parse(*arguments):
    """Keyword arguments of PPOConfig for command-line ``arguments``."""
    import click

    command = click.Command("x", params=config_options(PPOConfig), callback=lambda **given: given)
    given = command.main(list(arguments), standalone_mode=False)
    values = config_arguments(PPOConfig, given)
    assert PPOConfig.from_arguments(values)
    return values


def test_every_field_has_an_option_with_help():
    options = {option.name: option for option in config_options(PPOConfig)}
    assert set(PPOConfig.fields()) <= set(options)
    for option in options.values():
        assert option.help
        assert "[default: " in option.help or option.name == "normalize_options"


def test_only_what_was_given_is_passed_on():
    values = parse()
    assert values.keys() == {"n_threads", "verbose", "seed"}
    assert values["n_threads"] == n_cores()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (("--gamma", "0.9"), "gamma", 0.9),
        (("--n-steps", "6.4e2"), "n_steps", 640),
        (("--seed", "7"), "seed", 7),
        (("--clip-range-vf", "none"), "clip_range_vf", None),
        (("--target-kl", "0.02"), "target_kl", 0.02),
        (("--no-normalize-advantage",), "normalize_advantage", False),
        (("--normalize",), "normalize", True),
        (("--normalize-options", '{"norm_reward": false}'), "normalize", {"norm_reward": False}),
        (("--env-kwargs", '{"g": 9.8}'), "env_kwargs", {"g": 9.8}),
        (("--backend", "reference"), "backend", "reference"),
        (("--device", "CPU"), "device", "cpu"),
        (("--net-arch", "64,32"), "policy_kwargs", {"net_arch": [64, 32]}),
        (("--net-arch", ""), "policy_kwargs", {"net_arch": []}),
        (("--net-arch", "pi=8:vf=16,16"), "policy_kwargs", {"net_arch": {"pi": [8], "vf": [16, 16]}}),
        (
            ("--activation-fn", "relu", "--no-ortho-init"),
            "policy_kwargs",
            {"activation_fn": "relu", "ortho_init": False},
        ),
        (
            ("--policy-kwargs", '{"log_std_init": -1, "ortho_init": true}', "--log-std-init", "-2"),
            "policy_kwargs",
            {"log_std_init": -2.0, "ortho_init": True},
        ),
    ],
)
def test_values(arguments, name, value):
    assert parse(*arguments)[name] == value


def test_schedules():
    values = parse("--learning-rate", "lin_1e-3", "--clip-range", "0.1")
    config = PPOConfig.from_arguments(values)
    assert config.learning_rate == LinearSchedule(1e-3)
    assert config.clip_range == 0.1
