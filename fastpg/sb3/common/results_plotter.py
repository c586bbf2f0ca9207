"""Episodes of ``Monitor`` files as x and y values, and as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.sb3.common.monitor import load_results

__all__ = [
    "EPISODES_WINDOW",
    "POSSIBLE_X_AXES",
    "X_EPISODES",
    "X_TIMESTEPS",
    "X_WALLTIME",
    "load_results",
    "plot_curves",
    "plot_results",
    "rolling_window",
    "ts2xy",
    "window_func",
]

X_TIMESTEPS, X_EPISODES, X_WALLTIME = "timesteps", "episodes", "walltime_hrs"

POSSIBLE_X_AXES = (X_TIMESTEPS, X_EPISODES, X_WALLTIME)
EPISODES_WINDOW = 100  # episodes of a running mean

_SECONDS_PER_HOUR = 3600.0

Array = NDArray[Any]


def ts2xy(data_frame: Any, x_axis: str) -> tuple[Array, Array]:
    """(x, returns) of the episodes in the data frame of ``load_results``.

    Args:
        data_frame: with columns r, l and t.
        x_axis: timesteps, episodes or walltime_hrs.
    """
    returns = np.asarray(data_frame["r"])
    if x_axis == X_TIMESTEPS:
        return np.cumsum(np.asarray(data_frame["l"])), returns
    if x_axis == X_EPISODES:
        return np.arange(len(returns)), returns
    if x_axis == X_WALLTIME:
        return np.asarray(data_frame["t"]) / _SECONDS_PER_HOUR, returns
    raise ConfigError(f"x_axis: expected {X_TIMESTEPS!r}, {X_EPISODES!r} or {X_WALLTIME!r}, got {x_axis!r}.")


def rolling_window(array: Array, window: int) -> Array:
    """All windows of ``window`` consecutive entries of the last axis, as rows."""
    return np.lib.stride_tricks.sliding_window_view(array, window, axis=-1)


def window_func(var_1: Array, var_2: Array, window: int, func: Any) -> tuple[Array, Array]:
    """(``var_1`` from the end of the first window on, ``func`` of every window of ``var_2``)."""
    return var_1[window - 1 :], func(rolling_window(var_2, window), axis=-1)


def plot_curves(
    xy_list: Sequence[tuple[Array, Array]], x_axis: str, title: str, figsize: tuple[float, float] = (8.0, 2.0)
) -> None:
    """Draw the returns of episodes as points with their running mean, into the pyplot figure called ``title``.

    Args:
        xy_list: what ``ts2xy`` returned, one per curve; the running mean begins with episode ``EPISODES_WINDOW``.
        x_axis: name of the x axis.
        title: of the figure.
        figsize: width and height in inches.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError("plot_curves needs the package matplotlib. Fix: pip install 'fastpg[plot]'") from error
    pyplot.figure(title, figsize=figsize)
    for x, y in xy_list:
        pyplot.scatter(x, y, s=2)
        if len(x) >= EPISODES_WINDOW:
            pyplot.plot(*window_func(x, y, EPISODES_WINDOW, np.mean))
    ends = [x[-1] for x, _ in xy_list if len(x)]
    if ends:
        pyplot.xlim(0, max(ends))
    pyplot.title(title)
    pyplot.xlabel(x_axis)
    pyplot.ylabel("Episode Rewards")
    pyplot.tight_layout()


def plot_results(
    dirs: Sequence[str],
    num_timesteps: int | None,
    x_axis: str,
    task_name: str,
    figsize: tuple[float, float] = (8.0, 2.0),
) -> None:
    """Draw the episodes in the ``Monitor`` files of directories; ``pyplot.show()`` shows them.

    Args:
        dirs: directories with monitor files, one curve each.
        num_timesteps: episodes that end later are left out; None takes all.
        x_axis: timesteps, episodes or walltime_hrs.
        task_name: title of the figure.
        figsize: width and height in inches.

    Raises:
        ImportError: pandas or matplotlib is not installed.
        LoadMonitorResultsError: a directory has no monitor files.
    """
    frames = [load_results(folder) for folder in dirs]
    if num_timesteps is not None:
        frames = [frame[frame["l"].cumsum() <= num_timesteps] for frame in frames]
    plot_curves([ts2xy(frame, x_axis) for frame in frames], x_axis, task_name, figsize)
