"""Episodes of ``Monitor`` files as x and y values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.sb3.common.monitor import load_results

__all__ = ["X_EPISODES", "X_TIMESTEPS", "X_WALLTIME", "load_results", "rolling_window", "ts2xy", "window_func"]

X_TIMESTEPS, X_EPISODES, X_WALLTIME = "timesteps", "episodes", "walltime_hrs"

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
