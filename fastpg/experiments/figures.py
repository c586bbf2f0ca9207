"""How the figures look: one style for all of them."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastpg.experiments.bands import Band

#: Colours that stay apart for the colour-blind (Okabe and Ito 2008, less the yellow, and three mixtures).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F3C8D", "#8C6D31", "#7A7A7A")
INK, FAINT = "#333333", "#D9D9D9"
DPI = 160
PANEL_WIDTH, PANEL_HEIGHT = 3.9, 2.9  # inches
SINGLE_WIDTH, SINGLE_HEIGHT = 5.6, 3.4  # of a panel that is alone
LEGEND_ROW_HEIGHT = 0.2  # of a line's name below its panel
DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Style:
    """How a line looks: its colour, and an element of ``DASHES``."""

    colour: str
    dashes: Any = "solid"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        title, xlabel, ylabel: texts.
        bands: label -> what is drawn.
        levels: text -> ordinate of a dashed line.
        guides: text -> points (x, y) of a dashed line.
        x_scale, y_scale: ``linear`` or ``log``.
        y_limits: of the axis; None takes what the means need.
    """

    title: str
    xlabel: str
    ylabel: str
    bands: Mapping[str, Band]
    levels: Mapping[str, float] = field(default_factory=dict)
    guides: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    x_scale: str = "linear"
    y_scale: str = "linear"
    y_limits: tuple[float, float] | None = None


def draw_figure(
    path: Path,
    rows: Sequence[Sequence[Panel]],
    *,
    title: str,
    note: str,
    styles: Mapping[str, Style] | None = None,
    has_legend_per_panel: bool = False,
) -> Path:
    """Draw panels in rows, with one legend below or one in every panel, and write the picture ``path``.

    Args:
        path: its suffix chooses the format.
        rows: of panels; equally many in each.
        title: above all.
        note: small print below.
        styles: by label; without them every label gets a colour of its own.
        has_legend_per_panel: the lines are named below their panel instead of below them all.

    Raises:
        ImportError: matplotlib is not installed.
    """
    n_columns = max(len(row) for row in rows)
    is_single = n_columns * len(rows) == 1
    width, height = (SINGLE_WIDTH, SINGLE_HEIGHT) if is_single else (PANEL_WIDTH, PANEL_HEIGHT)
    labels = list(dict.fromkeys(label for row in rows for panel in row for label in panel.bands))
    legend_height = LEGEND_ROW_HEIGHT * max(len(panel.bands) for row in rows for panel in row)
    height_of_row = height + (legend_height if has_legend_per_panel else 0.0)
    figure = new_figure(width * n_columns, height_of_row * len(rows) + 1.0)
    grid = figure.subplots(len(rows), n_columns, squeeze=False)
    of_index = {label: Style(COLOURS[index % len(COLOURS)]) for index, label in enumerate(labels)}
    styles = of_index if styles is None else {**of_index, **styles}
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row, row, strict=True):
            draw_panel(axes, panel, styles)
            if has_legend_per_panel and panel.bands:
                axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=12, fontweight="bold", color=INK)
    if has_legend_per_panel:
        figure.supxlabel(note, fontsize=7.5)
    else:
        _common_legend(figure, grid, labels, note=note, n_columns=_n_legend_columns(labels, width * n_columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


def _common_legend(figure: Any, grid: Any, labels: Sequence[str], *, note: str, n_columns: int) -> None:
    """One legend for all panels, ``note`` above it."""
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        handles |= {line.get_label(): line for line in axes.get_lines() if line.get_label() in labels}
    figure.legend(
        [handles[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=n_columns,
        frameon=False,
        fontsize=9,
        title=note,
        title_fontproperties={"size": 7.5},
    )


def _n_legend_columns(labels: Sequence[str], width: float) -> int:
    """As many as fit into ``width`` inches at nine points: about 0.075 inches per letter and 0.6 for line and gap."""
    widest = max(len(label) for label in labels)
    return max(1, min(len(labels), int(width / (0.075 * widest + 0.6))))


def new_figure(width: float, height: float) -> Any:
    """A figure outside matplotlib's global state."""
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError("The figures need matplotlib. Fix: pip install 'fastpg[plot]'") from error
    return module.Figure(figsize=(width, height), layout="constrained")


def draw_panel(axes: Any, panel: Panel, styles: Mapping[str, Style]) -> None:
    """Draw ``panel`` on ``axes``."""
    axes.set_xscale(panel.x_scale)
    axes.set_yscale(panel.y_scale)
    for label, band in panel.bands.items():
        style = styles[label]
        axes.fill_between(band.x, band.low, band.high, color=style.colour, alpha=0.14, linewidth=0)
        axes.plot(band.x, band.mean, color=style.colour, linestyle=style.dashes, linewidth=1.7, label=label)
    for text, level in panel.levels.items():
        axes.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)
        axes.annotate(
            text, (0.0, level), xycoords=("axes fraction", "data"), xytext=(3, 2), textcoords="offset points",
            ha="left", va="bottom", fontsize=7, color=INK, bbox={"color": "white", "alpha": 0.7, "pad": 0.5},
        )  # fmt: skip
    for text, (x, y) in panel.guides.items():
        axes.plot(x, y, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)
        axes.annotate(text, (x[-1], y[-1]), xytext=(3, 0), textcoords="offset points", fontsize=7, color=INK)
    _frame(axes, panel)


def _frame(axes: Any, panel: Panel) -> None:
    """Titles, limits and everything that is not data."""
    axes.set_title(panel.title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel(panel.xlabel, fontsize=8.5, color=INK)
    axes.set_ylabel(panel.ylabel, fontsize=8.5, color=INK)
    limits = panel.y_limits or _limits_of(panel)
    if limits is not None:
        axes.set_ylim(*limits)
    if panel.x_scale == "log" and panel.bands:
        _logarithmic_axis(axes, panel)
    else:
        axes.margins(x=0.02)
    axes.xaxis.set_major_formatter(_thousands)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("#999999")


def _limits_of(panel: Panel) -> tuple[float, float] | None:
    """Limits that show all means and levels with a margin; the bands of few seeds may be cut off."""
    if not panel.bands:
        return None
    values = np.concatenate([band.mean for band in panel.bands.values()] + [list(panel.levels.values())])
    low, high = float(values.min()), float(values.max())
    if panel.y_scale == "log":
        factor = (high / low) ** 0.08 if high > low else 2.0
        return low / factor, high * factor
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _logarithmic_axis(axes: Any, panel: Panel) -> None:
    """Limits and ticks: powers of ten, with 2 and 5 between them where there would be few."""
    ticker = importlib.import_module("matplotlib.ticker")
    ends = [band.x[[0, -1]] for band in panel.bands.values()]
    low, high = float(np.min(ends)), float(np.max(ends))
    n_decades = math.log10(high / low)
    margin = 10.0 ** (0.02 * n_decades) if high > low else 2.0
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0,) if n_decades >= 1.5 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def _thousands(value: float, position: int | None = None) -> str:
    """``200k`` for 200000, ``1.5M`` for 1500000."""
    del position
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}" if math.isfinite(value) else ""
