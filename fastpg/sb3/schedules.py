"""Schedules as stable-baselines3 shows them: a model's ``clip_range`` and ``lr_schedule`` are functions of progress."""

from __future__ import annotations

from typing import Any

from fastpg.updates.schedules import Schedule


class FloatSchedule:
    """A number or a function of the remaining progress (1 to 0), as a function that returns a float.

    Args:
        value_schedule: the number or the function.
    """

    def __init__(self, value_schedule: Schedule) -> None:
        self.value_schedule = value_schedule

    def __call__(self, progress_remaining: float) -> float:
        """The value at ``progress_remaining``."""
        value: Any = self.value_schedule
        return float(value(progress_remaining) if callable(value) else value)

    def __repr__(self) -> str:
        """What it is made from."""
        return f"FloatSchedule({self.value_schedule!r})"


class ConstantSchedule:
    """Always the same number.

    Args:
        val: the number.
    """

    def __init__(self, val: float) -> None:
        self.val = val

    def __call__(self, progress_remaining: float) -> float:
        """The number."""
        del progress_remaining
        return self.val

    def __repr__(self) -> str:
        """With its number."""
        return f"ConstantSchedule(val={self.val})"


class LinearSchedule:
    """From ``start`` in a straight line to ``end``, which is reached when ``end_fraction`` of training is over.

    Args:
        start: value at progress 1.
        end: value at the end.
        end_fraction: part of training after which the value stays, in (0, 1].
    """

    def __init__(self, start: float, end: float, end_fraction: float) -> None:
        self.start, self.end, self.end_fraction = start, end, end_fraction

    def __call__(self, progress_remaining: float) -> float:
        """The value at ``progress_remaining``."""
        elapsed = 1.0 - progress_remaining
        if elapsed > self.end_fraction:
            return self.end
        return self.start + elapsed * (self.end - self.start) / self.end_fraction

    def __repr__(self) -> str:
        """With its numbers."""
        return f"LinearSchedule(start={self.start}, end={self.end}, end_fraction={self.end_fraction})"
