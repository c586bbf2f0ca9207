"""Hyper-parameters that change while training: a number, or a function of the remaining progress.

Progress runs from 1 (start) to 0 (``total_timesteps`` reached), the convention of stable-baselines3. Any callable
works; :class:`LinearSchedule` is the usual one and has a text form, ``lin_1e-3``, so that it survives in a
command line, a ``config.json`` and a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fastpg.errors import ConfigError

Schedule: TypeAlias = float | Callable[[float], float]

_LINEAR_PREFIX = "lin_"


@dataclass(frozen=True)
class LinearSchedule:
    """A straight line from ``start`` at progress 1 to ``end`` at progress 0.

    Attributes:
        start: value at the beginning of training.
        end: value when ``total_timesteps`` is reached.
    """

    start: float
    end: float = 0.0

    def __call__(self, progress_remaining: float) -> float:
        """The value at ``progress_remaining`` in [0, 1]."""
        return self.end + progress_remaining * (self.start - self.end)

    def __str__(self) -> str:
        """The text form: ``lin_1e-3``, or ``lin_1e-3_1e-4`` with an ``end`` other than 0."""
        ends = [self.start] if self.end == 0.0 else [self.start, self.end]
        return _LINEAR_PREFIX + "_".join(repr(float(value)) for value in ends)


@dataclass(frozen=True)
class LostSchedule:
    """Stands for a Python function that a checkpoint cannot hold; evaluating it is an error.

    Attributes:
        name: the argument whose value it is.
        description: how the function printed when it was saved.
    """

    name: str
    description: str

    def __call__(self, progress_remaining: float) -> float:
        """Raise ConfigError: the function has to be given again."""
        raise ConfigError(
            f"{self.name} was a Python function ({self.description}) when the model was saved, and a checkpoint holds "
            f"no code. Fix: pass it again, fastpg.load(path, env, {self.name}=...), or use fastpg.LinearSchedule."
        )


def parse_schedule(text: str) -> Schedule:
    """The schedule written as ``text``: a number (``3e-4``), ``lin_START`` or ``lin_START_END``.

    Raises:
        ValueError: ``text`` is neither.
    """
    if not text.startswith(_LINEAR_PREFIX):
        return float(text)
    ends = [float(value) for value in text[len(_LINEAR_PREFIX) :].split("_")]
    if len(ends) > 2:
        raise ValueError(f"expected lin_START or lin_START_END, got {text!r}")
    return LinearSchedule(*ends)


def evaluate_schedule(name: str, schedule: Schedule, progress_remaining: float) -> float:
    """The value of ``schedule`` at ``progress_remaining`` in [0, 1], checked.

    Raises:
        ConfigError: the schedule did not return one finite number >= 0; the message names argument and progress.
    """
    value: Any = schedule(progress_remaining) if callable(schedule) else schedule
    number = as_number(value)
    if number is None or not math.isfinite(number) or number < 0.0:
        raise ConfigError(
            f"{name}: expected the schedule to return a finite number >= 0, got {value!r} — at progress_remaining "
            f"{progress_remaining:g} (1 at the start, 0 at the end). Fix: correct the function given as {name}."
        )
    return number


def as_number(value: object) -> float | None:
    """``value`` as a float if it is one real number (not a bool), else None."""
    if isinstance(value, (bool, np.bool_, str, bytes, complex, np.complexfloating)):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # the except clause is the check
    except Exception:  # noqa: BLE001 - whatever the user's __float__ raises, it is not a number
        return None
