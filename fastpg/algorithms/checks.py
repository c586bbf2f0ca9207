"""What an argument may be: one small object per kind, used by every configuration.

A check is called with the value that the user gave. It returns the value in its canonical Python type (a NumPy integer
becomes an ``int``) or raises ``Rejected`` with what was expected. A configuration collects the rejections of all its
fields and reports them together.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Protocol

import numpy as np

from fastpg.errors import ConfigError
from fastpg.updates.schedules import (
    LinearSchedule,
    LostSchedule,
    Schedule,
    as_number,
    evaluate_schedule,
    parse_schedule,
)


class Rejected(Exception):  # noqa: N818 - never reaches a user
    """A value was refused; the text continues ``expected ...``."""


class Check(Protocol):
    """Returns the canonical value or raises Rejected."""

    def __call__(self, value: Any) -> Any:
        """Check ``value``."""


def argument(default: Any, check: Check, help: str, *, source: str = "stable-baselines3") -> Any:
    """A dataclass field with its check, a sentence of help and the source of its default.

    Args:
        default: used when the argument is not given.
        check: called with the given value.
        help: one sentence, with the unit if there is one.
        source: where the default comes from.
    """
    return field(default=default, metadata={"check": check, "help": help, "source": source})


@dataclass(eq=False, repr=False)
class Integer:
    """An integer in [minimum, maximum]; NumPy integers count, bools and floats do not."""

    minimum: int
    maximum: int | None = None

    def __call__(self, value: Any) -> int:
        """Check ``value``."""
        bounds = f">= {self.minimum}" if self.maximum is None else f"in [{self.minimum}, {self.maximum}]"
        try:
            number = operator.index(value)
        except Exception:  # noqa: BLE001 - whatever the user's __index__ raises, it is not an integer
            raise Rejected(f"an integer {bounds}") from None
        is_below_maximum = self.maximum is None or number <= self.maximum
        if isinstance(value, (bool, np.bool_)) or number < self.minimum or not is_below_maximum:
            raise Rejected(f"an integer {bounds}")
        return number


@dataclass(eq=False, repr=False)
class Real:
    """A real number in an interval; the lower end is excluded with ``is_above``."""

    minimum: float = -math.inf
    maximum: float = math.inf
    is_above: bool = False
    allows_infinity: bool = False

    def __call__(self, value: Any) -> float:
        """Check ``value``."""
        number = as_number(value)
        is_inside = number is not None and (self.allows_infinity or math.isfinite(number))
        if number is None or not is_inside or not self._contains(number):
            raise Rejected(str(self))
        return number

    def _contains(self, number: float) -> bool:
        is_large_enough = number > self.minimum if self.is_above else number >= self.minimum
        return is_large_enough and number <= self.maximum

    def __str__(self) -> str:
        """The interval in words."""
        kind = "a number" if self.allows_infinity else "a finite number"
        if math.isfinite(self.maximum):
            return f"a number in {'(' if self.is_above else '['}{self.minimum:g}, {self.maximum:g}]"
        if math.isfinite(self.minimum):
            return f"{kind} {'>' if self.is_above else '>='} {self.minimum:g}"
        return kind


@dataclass(eq=False, repr=False)
class Scheduled:
    """A number > 0, text such as ``lin_1e-3``, or a function of the remaining progress that starts with a number.

    Attributes:
        words: texts that are accepted as they are.
    """

    words: tuple[str, ...] = ()

    def __call__(self, value: Any) -> Schedule | str:
        """Check ``value``; a function is evaluated at progress 1."""
        others = "".join(f"{word!r}, " for word in self.words)
        expected = f"a finite number > 0, {others}'lin_START', or a function of the remaining progress (1 to 0)"
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, str):
            try:
                value = parse_schedule(value)
            except ValueError:
                raise Rejected(expected) from None
        if isinstance(value, LostSchedule):
            return value
        if not callable(value):
            number = as_number(value)
            if number is None or not 0.0 < number < math.inf:
                raise Rejected(expected)
            return number
        _check_schedule_at(1.0, value)
        if isinstance(value, LinearSchedule):
            _check_schedule_at(0.0, value)
        return value  # type: ignore[no-any-return]  # callable(value) narrows to a callable of unknown result


def _check_schedule_at(progress: float, schedule: Any) -> None:
    """Raise Rejected unless the function ``schedule`` returns a finite number >= 0 at ``progress``."""
    try:
        given = schedule(progress)
        evaluate_schedule("argument", lambda _: given, progress)
    except ConfigError:
        raise Rejected(
            f"a function that returns a finite number >= 0, but at progress {progress:g} it gave {given!r}"
        ) from None
    except Exception as error:
        raise Rejected(f"a function of one number, but at progress {progress:g} it raised {error!r}") from error


@dataclass(eq=False, repr=False)
class Optional:
    """None, or what ``check`` accepts."""

    check: Check

    def __call__(self, value: Any) -> Any:
        """Check ``value``."""
        if value is None:
            return None
        try:
            return self.check(value)
        except Rejected as rejected:
            raise Rejected(f"None or {rejected}") from rejected


class Flag:
    """True or False."""

    def __call__(self, value: Any) -> bool:
        """Check ``value``."""
        if not isinstance(value, (bool, np.bool_)):
            raise Rejected("True or False")
        return bool(value)


class Text:
    """A string, or an object whose ``str`` is meant (a path)."""

    def __call__(self, value: Any) -> str:
        """Check ``value``."""
        if not isinstance(value, str) and not hasattr(value, "__fspath__"):
            raise Rejected("a string")
        return str(value)


@dataclass(eq=False, repr=False)
class Choice:
    """One of ``choices``, compared without case and underscores; an enum member counts by its value.

    Attributes:
        choices: canonical spellings.
        advice: appended to the message.
    """

    choices: tuple[str, ...]
    advice: str = ""

    def __call__(self, value: Any) -> str:
        """Check ``value``; returns the canonical spelling."""
        text = str(getattr(value, "value", value)).replace("_", "").lower()
        for choice in self.choices:
            if choice.replace("_", "").lower() == text:
                return choice
        raise Rejected(f"one of {', '.join(map(repr, self.choices))}{self.advice}")


@dataclass(eq=False, repr=False)
class Keywords:
    """A mapping with the names in ``checks``; ``unsupported`` maps further known names to what to do instead."""

    checks: Mapping[str, Check]
    unsupported: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, value: Any) -> dict[str, Any]:
        """Check ``value``; returns a new dict with canonical values."""
        if not isinstance(value, Mapping):
            raise Rejected(f"a dict with keys among {', '.join(self.checks)}")
        return {key: self._item(key, item) for key, item in value.items()}

    def _item(self, key: Any, item: Any) -> Any:
        if key not in self.checks:
            why = self.unsupported.get(key, f"the keys are {', '.join(self.checks)}")
            raise Rejected(f"no key {key!r} ({why})")
        try:
            return self.checks[key](item)
        except Rejected as rejected:
            raise Rejected(f"{key} to be {rejected}, not {item!r}") from rejected


def find_problems(fields: Mapping[str, Any], values: dict[str, Any]) -> list[str]:
    """Check every value of ``values`` by the check of its dataclass field, storing the canonical form in place.

    Args:
        fields: dataclass fields by name.
        values: value of each argument; replaced by its canonical form where it is accepted.

    Returns:
        One line per rejected argument.
    """
    problems = []
    for name, spec in fields.items():
        try:
            values[name] = spec.metadata["check"](values[name])
        except Rejected as rejected:
            problems.append(f"{name}: expected {rejected}, got {values[name]!r}")
    return problems


def default_of(spec: Any) -> Any:
    """The default of a dataclass field (every argument has one)."""
    return spec.default_factory() if spec.default is MISSING else spec.default
