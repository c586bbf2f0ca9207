"""Means over seeds with their confidence band, on a common axis, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.plotting.curves import Curve, read_curve
from fastpg.training.atomic_file import write_atomically

Array = NDArray[np.float64]

N_GRID_POINTS = 200

#: 0.975 quantile of Student's t distribution for 1, 2, ... degrees of freedom; the last serves all larger numbers.
STUDENT_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Band:
    """Mean over runs and its 95 % confidence interval at n abscissae.

    Attributes:
        x, mean, low, high: (n,) each.
        n_runs: that were averaged.
    """

    x: Array
    mean: Array
    low: Array
    high: Array
    n_runs: int


def confidence_band(curves: Sequence[Curve], *, is_geometric: bool = False) -> Band:
    """Mean ± t standard errors, Student's t for 95 %, where all ``curves`` are defined; no width for a single one.

    The interval is that of the mean over seeds, assuming that the seeds' values are about normal. Curves are
    interpolated linearly.

    Args:
        curves: at least one.
        is_geometric: abscissae in geometric progression, for a logarithmic axis; they have to be positive.
    """
    start = max(curve.x[0] for curve in curves)
    stop = max(start, min(curve.x[-1] for curve in curves))
    x = (np.geomspace if is_geometric else np.linspace)(start, stop, N_GRID_POINTS)
    values = np.stack([np.interp(x, curve.x, curve.y) for curve in curves])
    mean, n_runs = values.mean(axis=0), len(curves)
    half_width = np.zeros_like(x)
    if n_runs > 1:
        quantile = STUDENT_T_975[min(n_runs - 1, len(STUDENT_T_975)) - 1]
        half_width = quantile * values.std(axis=0, ddof=1) / np.sqrt(n_runs)
    return Band(x, mean, mean - half_width, mean + half_width, n_runs)


def read_curves(directories: Iterable[Path], keys: Sequence[str], x_key: str) -> list[Curve]:
    """The curves of those runs that have a value for one of ``keys``; the first such key counts."""
    curves = []
    for directory in directories:
        for key in keys:
            try:
                curves.append(read_curve(directory, key, x_key))
            except ConfigError:
                continue
            break
    return curves


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file, atomically; floats with six significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())
    return path


def write_bands(path: Path, bands: Mapping[tuple[str, str, str], Band], *, x_name: str) -> Path:
    """Write bands by (panel, label, quantity): one row per abscissa."""
    rows = (
        (*names, float(x), float(mean), float(low), float(high), band.n_runs)
        for names, band in bands.items()
        for x, mean, low, high in zip(band.x, band.mean, band.low, band.high, strict=True)
    )
    return write_table(path, ("panel", "label", "quantity", x_name, "mean", "low_95", "high_95", "n_runs"), rows)
