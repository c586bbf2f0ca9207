"""Learning curves from run directories: one line per algorithm and environment, a band over its seeds.

Reads only what a run directory holds (``config.json``, ``metrics.csv``), so a running training can be plotted too.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.training.run_directory import RunDirectory

N_GRID_POINTS = 200  # abscissae at which the seeds of one group are averaged


@dataclass(frozen=True)
class Curve:
    """One column of one run over another: ``x`` and ``y`` (n,) without gaps, ``label`` the group it belongs to."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def read_curve(run_dir: Path, key: str, x_key: str) -> Curve:
    """Reads the columns ``x_key`` and ``key`` of ``run_dir/metrics.csv``; rows without a value are left out.

    Raises:
        ConfigError: not a run directory, an unknown column, or no value in it yet.
    """
    label, columns, rows = _read_run(run_dir)
    for name, column in (("x", x_key), ("key", key)):
        if column not in columns:
            raise ConfigError(
                f"{name}: expected one of {', '.join(columns)}, got {column!r} (in {run_dir}/metrics.csv)."
            )
    try:
        points = np.array([(float(row[x_key]), float(row[key])) for row in rows if row[x_key] and row[key]])
    except ValueError as error:
        raise ConfigError(f"{run_dir}/metrics.csv: expected numbers in {x_key!r} and {key!r}: {error}.") from error
    if not len(points):
        filled = [column for column in columns if any(row[column] for row in rows)]
        raise ConfigError(
            f"{run_dir}/metrics.csv: column {key!r} holds no value yet. Fix: train longer, or choose one that "
            f"{label.partition(',')[0]} has written: {', '.join(filled) or 'none so far'}."
        )
    return Curve(label, points[:, 0], points[:, 1])


def _read_run(run_dir: Path) -> tuple[str, list[str], list[dict[str, str]]]:
    """(algorithm and environment, columns of ``metrics.csv``, its rows).

    Raises:
        ConfigError: ``run_dir`` is not a run directory.
    """
    run = RunDirectory(run_dir)
    reason = ""
    try:
        config = run.read_config()
        with run.metrics.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
        if not {"algorithm", "env"} <= config.keys():
            reason = "config.json names no algorithm and no environment"
        elif not columns:
            reason = "metrics.csv is empty"
    except (OSError, ValueError) as error:
        reason = str(error)
    if reason:
        raise ConfigError(
            f"run directory: expected a directory with config.json and metrics.csv, got {str(run_dir)!r} ({reason}). "
            "Fix: pass directories written by `fastpg train --run-dir`."
        )
    return f"{config['algorithm'].upper()}, {config['env']}", columns, rows


def mean_and_band(curves: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error over the seeds of one group, on the range of x that all of them cover.

    Returns:
        (x, mean, standard_error), each (N_GRID_POINTS,); the standard error is 0 for a single run.
    """
    start = max(curve.x[0] for curve in curves)
    stop = min(curve.x[-1] for curve in curves)
    grid = np.linspace(start, max(start, stop), N_GRID_POINTS)
    values = np.stack([np.interp(grid, curve.x, curve.y) for curve in curves])
    n_runs = len(curves)
    standard_error = values.std(axis=0, ddof=1) / np.sqrt(n_runs) if n_runs > 1 else np.zeros_like(grid)
    return grid, values.mean(axis=0), standard_error


def plot_curves(
    run_dirs: Sequence[str | Path],
    output: str | Path,
    *,
    key: str = "rollout/ep_rew_mean",
    x_key: str = "time/total_timesteps",
) -> Path:
    """Plots ``key`` over ``x_key`` of several runs: thin lines per run, mean and standard error per group.

    Runs of the same algorithm on the same environment form a group (its seeds).

    Args:
        run_dirs: directories written by ``fastpg train --run-dir``; at least one.
        output: picture to write; the suffix (``.png``, ``.svg``, ``.pdf``) chooses the format.
        key: column of ``metrics.csv`` on the y axis.
        x_key: column on the x axis, for instance ``time/time_elapsed`` for seconds.

    Returns:
        The path of the picture.

    Raises:
        ConfigError: no run, not a run directory, unknown or empty column, unknown format.
        ImportError: matplotlib is not installed.
    """
    if not run_dirs:
        raise ConfigError("run_dirs: expected at least one run directory, got none.")
    groups: dict[str, list[Curve]] = {}
    for run_dir in run_dirs:
        curve = read_curve(Path(run_dir), key, x_key)
        groups.setdefault(curve.label, []).append(curve)
    figure = _new_figure()
    axes = figure.subplots()
    for index, (label, curves) in enumerate(groups.items()):
        _draw_group(axes, curves, f"{label} ({len(curves)} run{'s' if len(curves) > 1 else ''})", f"C{index}")
    axes.set(xlabel=x_key, ylabel=key)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    suffix = Path(output).suffix.removeprefix(".")
    formats = figure.canvas.get_supported_filetypes()
    if suffix not in formats:
        raise ConfigError(
            f"output: expected a file name that ends in one of {', '.join(formats)}, got {str(output)!r}."
        )
    figure.savefig(output, dpi=150)
    return Path(output)


def _new_figure() -> Any:
    """A figure outside matplotlib's global state, so that nothing of the caller's session changes."""
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError("plotting needs matplotlib. Fix: pip install 'fastpg[plot]'") from error
    return module.Figure(figsize=(7, 4.2), layout="constrained")


def _draw_group(axes: Any, curves: Sequence[Curve], label: str, colour: str) -> None:
    x, mean, standard_error = mean_and_band(curves)
    if len(curves) > 1:
        for curve in curves:
            axes.plot(curve.x, curve.y, color=colour, alpha=0.25, linewidth=0.8)
        axes.fill_between(x, mean - standard_error, mean + standard_error, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=1.8, label=label)
