"""Learning curves from run directories."""

import json

import numpy as np
import pytest

from fastpg.errors import ConfigError
from fastpg.plotting.curves import N_GRID_POINTS, Curve, mean_and_band, plot_curves, read_curve


def write_run(directory, *, offset=0.0, env="CartPole-v1"):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"algorithm": "ppo", "env": env}))
    rows = ["time/total_timesteps,rollout/ep_rew_mean", "100,"]
    rows += [f"{steps},{steps / 10 + offset}" for steps in (200, 300, 400)]
    (directory / "metrics.csv").write_text("\n".join(rows) + "\n")
    return directory


def test_rows_without_a_value_are_left_out(tmp_path):
    curve = read_curve(write_run(tmp_path / "a"), "rollout/ep_rew_mean", "time/total_timesteps")
    np.testing.assert_array_equal(curve.x, [200, 300, 400])
    np.testing.assert_array_equal(curve.y, [20, 30, 40])
    assert curve.label == "PPO, CartPole-v1"


def test_mean_and_standard_error_on_the_common_range():
    curves = [
        Curve("a", np.array([0.0, 10.0]), np.array([0.0, 10.0])),
        Curve("a", np.array([5.0, 20.0]), np.array([7.0, 22.0])),
    ]
    x, mean, standard_error = mean_and_band(curves)
    assert (x[0], x[-1], len(x)) == (5.0, 10.0, N_GRID_POINTS)
    np.testing.assert_allclose(mean, x + 1)
    np.testing.assert_allclose(standard_error, 1.0)


def test_a_picture_is_written(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", offset=5), write_run(tmp_path / "c", env="Acrobot-v1")]
    picture = plot_curves(runs, tmp_path / "curve.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("argument", "name"), [("key", "key"), ("x_key", "x")])
def test_an_unknown_column_lists_what_is_there(tmp_path, argument, name):
    message = f"{name}: expected one of time/total_timesteps, rollout/ep_rew_mean, got 'no'"
    with pytest.raises(ConfigError, match=message):
        plot_curves([write_run(tmp_path / "a")], tmp_path / "curve.png", **{argument: "no"})


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a directory with config.json and metrics.csv, got '.*nowhere'"):
        plot_curves([tmp_path / "nowhere"], tmp_path / "curve.png")
    with pytest.raises(ConfigError, match="at least one run directory, got none"):
        plot_curves([], tmp_path / "curve.png")


def test_a_run_without_finished_episodes_says_so(tmp_path):
    run = write_run(tmp_path / "a")
    (run / "metrics.csv").write_text("time/total_timesteps,rollout/ep_rew_mean\n100,\n")
    with pytest.raises(ConfigError, match=r"holds no value yet\..* one that PPO has written: time/total_timesteps\."):
        plot_curves([run], tmp_path / "curve.png")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "[]", "config.json: expected a JSON object, got list"),
        ("config.json", '{"algorithm": 3}', "algorithm: expected a text, got 3"),
        ("config.json", "{}", "names no algorithm and no environment"),
        ("metrics.csv", "", "metrics.csv is empty"),
        ("metrics.csv", "time/total_timesteps,rollout/ep_rew_mean\n1,x\n", "expected numbers in .* 'x'"),
    ],
)
def test_a_damaged_run_is_an_error_that_says_what_is_wrong(tmp_path, name, text, message):
    run = write_run(tmp_path / "a")
    (run / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        plot_curves([run], tmp_path / "curve.png")
