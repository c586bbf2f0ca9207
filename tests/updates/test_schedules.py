from __future__ import annotations

import math

import numpy as np
import pytest

from fastpg.errors import ConfigError
from fastpg.updates.schedules import LinearSchedule, LostSchedule, as_number, evaluate_schedule, parse_schedule


def test_linear_schedule_runs_from_start_to_end() -> None:
    schedule = LinearSchedule(1e-3, 1e-4)
    assert schedule(1.0) == pytest.approx(1e-3)
    assert schedule(0.5) == pytest.approx(5.5e-4)
    assert schedule(0.0) == pytest.approx(1e-4)


@pytest.mark.parametrize("schedule", [LinearSchedule(1e-3), LinearSchedule(0.2, 0.05), 3e-4])
def test_text_form_round_trips(schedule: object) -> None:
    assert parse_schedule(str(schedule)) == schedule


@pytest.mark.parametrize("text", ["lin_", "lin_a", "lin_1_2_3", "constant", ""])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller words the message
        parse_schedule(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e-9, None, "0.1", True, 1j, [0.1, 0.2]])
def test_nonsense_is_named_with_its_progress(value: object) -> None:
    with pytest.raises(ConfigError, match=r"clip_range: expected the schedule to return a finite number >= 0") as info:
        evaluate_schedule("clip_range", lambda progress: value, 0.25)
    assert "progress_remaining 0.25" in str(info.value)
    assert repr(value) in str(info.value)


@pytest.mark.parametrize("value", [np.float32(0.5), np.array(0.5), np.array([0.5]).item(), 0.5])
def test_any_real_number_is_accepted(value: object) -> None:
    assert evaluate_schedule("clip_range", lambda progress: value, 1.0) == 0.5


def test_lost_schedule_says_how_to_give_it_again() -> None:
    with pytest.raises(ConfigError, match=r"fastpg\.load\(path, env, clip_range=\.\.\.\)"):
        evaluate_schedule("clip_range", LostSchedule("clip_range", "<function f>"), 1.0)


@pytest.mark.parametrize(("value", "number"), [(np.int64(3), 3.0), (False, None), ("3", None), (None, None)])
def test_as_number(value: object, number: float | None) -> None:
    assert as_number(value) == number
