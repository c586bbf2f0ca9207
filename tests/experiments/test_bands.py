"""Means over seeds, their confidence intervals, tables."""

from dataclasses import replace

import numpy as np

from fastpg.experiments.bands import N_GRID_POINTS, Band, confidence_band, read_curves, write_bands, write_table
from fastpg.experiments.figures import Panel, draw_figure
from fastpg.plotting.curves import Curve
from tests.plotting.test_curves import write_run

X = np.array([0.0, 10.0])


def test_the_band_is_student_s_interval_of_the_mean():
    """Three values 1, 2, 6: mean 3, standard deviation sqrt(7), t(0.975; 2) = 4.303."""
    band = confidence_band([Curve("a", X, np.full(2, value)) for value in (1.0, 2.0, 6.0)])
    np.testing.assert_allclose(band.mean, 3.0)
    np.testing.assert_allclose(band.high - band.mean, 4.303 * np.sqrt(7.0 / 3.0))
    np.testing.assert_allclose(band.mean - band.low, 4.303 * np.sqrt(7.0 / 3.0))
    assert (band.n_runs, len(band.x)) == (3, N_GRID_POINTS)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    n_covered = 0
    for _ in range(1000):
        band = confidence_band([Curve("a", X, np.full(2, value)) for value in rng.standard_normal(5)])
        n_covered += bool(band.low[0] <= 0.0 <= band.high[0])
    assert abs(n_covered - 950) <= 3.0 * np.sqrt(1000 * 0.95 * 0.05)


def test_one_run_has_no_band_and_runs_share_their_range():
    single = confidence_band([Curve("a", X, X)])
    np.testing.assert_array_equal(single.low, single.high)
    both = confidence_band([Curve("a", X, X), Curve("a", np.array([5.0, 20.0]), np.array([5.0, 20.0]))])
    assert (both.x[0], both.x[-1]) == (5.0, 10.0)
    np.testing.assert_allclose(both.mean, both.x)
    geometric = confidence_band([Curve("a", np.array([1.0, 100.0]), X)], is_geometric=True)
    np.testing.assert_allclose(geometric.x[1:] / geometric.x[:-1], 100.0 ** (1 / (N_GRID_POINTS - 1)))


def test_the_first_key_that_a_run_has_counts(tmp_path):
    run = write_run(tmp_path / "a")
    curves = read_curves([run, tmp_path / "nowhere"], ["train/nothing", "rollout/ep_rew_mean"], "time/total_timesteps")
    assert [curve.y.tolist() for curve in curves] == [[20.0, 30.0, 40.0]]


def test_tables(tmp_path):
    path = write_table(tmp_path / "new" / "t.csv", ("a", "b"), [("x,y", 1 / 3), ("", 2)])
    assert path.read_text() == 'a,b\n"x,y",0.333333\n,2\n'
    band = Band(X, X, X - 1, X + 1, 4)
    written = write_bands(tmp_path / "b.csv", {("Env", "PPO", "return"): band}, x_name="timesteps").read_text()
    assert written.splitlines() == [
        "panel,label,quantity,timesteps,mean,low_95,high_95,n_runs",
        "Env,PPO,return,0,0,-1,1,4",
        "Env,PPO,return,10,10,9,11,4",
    ]


def test_a_figure_of_several_panels(tmp_path):
    x = np.array([1.0, 150_000.0])
    bands = {name: Band(x, x, x / 2, 2 * x, 3) for name in ("one", "a much longer label than that", "three")}
    linear = Panel(
        title="t",
        xlabel="x",
        ylabel="y",
        bands=bands,
        levels={"goal": 10.0},
        guides={"1/k": ([1.0, 10.0], [1.0, 0.1])},
    )
    logarithmic = replace(linear, x_scale="log", y_scale="log")
    empty = Panel(title="nothing yet", xlabel="x", ylabel="y", bands={})
    picture = draw_figure(tmp_path / "new" / "f.png", [[linear, logarithmic], [linear, empty]], title="T", note="n")
    assert picture.read_bytes().startswith(b"\x89PNG")
