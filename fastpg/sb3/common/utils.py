"""Small functions under the names of stable-baselines3.common.utils."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fastpg.sb3.modules import Device, Tensor, as_tensor
from fastpg.sb3.schedules import ConstantSchedule, FloatSchedule, LinearSchedule
from fastpg.training.logging import next_log_directory

__all__ = [
    "ConstantSchedule",
    "FloatSchedule",
    "LinearSchedule",
    "constant_fn",
    "explained_variance",
    "get_device",
    "get_latest_run_id",
    "get_linear_fn",
    "get_schedule_fn",
    "obs_as_tensor",
    "safe_mean",
    "set_random_seed",
]


def set_random_seed(seed: int, using_cuda: bool = False) -> None:
    """Seed the global generators of Python and NumPy. fastpg itself uses neither, environments may."""
    del using_cuda
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global one is meant


def get_linear_fn(start: float, end: float, end_fraction: float) -> LinearSchedule:
    """A ``LinearSchedule``."""
    return LinearSchedule(start, end, end_fraction)


def get_schedule_fn(value_schedule: Any) -> FloatSchedule:
    """A ``FloatSchedule``."""
    return FloatSchedule(value_schedule)


def safe_mean(arr: Iterable[Any]) -> float:
    """The mean, NaN of nothing."""
    values = list(arr)
    return float(np.mean(values)) if values else float("nan")


def explained_variance(y_pred: Any, y_true: Any) -> float:
    """1 - Var(y_true - y_pred) / Var(y_true); NaN where y_true is constant."""
    variance = float(np.var(y_true))
    return float("nan") if variance == 0.0 else float(1.0 - np.var(np.subtract(y_true, y_pred)) / variance)


def get_latest_run_id(log_path: str = "", log_name: str = "") -> int:
    """The largest k of the directories ``log_path/log_name_k``, 0 if there is none."""
    return int(next_log_directory(Path(log_path), log_name).name.rpartition("_")[2]) - 1


def constant_fn(val: float) -> ConstantSchedule:
    """A ``ConstantSchedule``."""
    return ConstantSchedule(val)


def obs_as_tensor(obs: Any, device: Any = "auto") -> Tensor:
    """``obs`` with the methods of a tensor."""
    del device
    return as_tensor(np.asarray(obs))


def get_device(device: Any = "auto") -> Device:
    """Always the CPU."""
    del device
    return Device("cpu")
