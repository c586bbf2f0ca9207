"""RadiusController: the table of the rule, its bounds, and what it refuses."""

from __future__ import annotations

import math

import pytest

from fastpg.updates.radius import RadiusController

RULE = RadiusController(minimum=0.001, maximum=0.1)


@pytest.mark.parametrize(
    ("actual", "is_at_boundary", "factor"),
    [
        (0.24, True, 0.5),
        (-1.0, False, 0.5),
        (math.nan, True, 0.5),
        (-math.inf, True, 0.5),
        (0.25, True, 1.0),
        (0.75, True, 1.0),
        (0.76, False, 1.0),
        (0.76, True, 2.0),
        (5.0, True, 2.0),
    ],
)
@pytest.mark.parametrize("predicted", [1e-6, 1.0, 1e6])
def test_rule(actual: float, is_at_boundary: bool, factor: float, predicted: float) -> None:
    radius = RULE.next_radius(0.01, actual=actual * predicted, predicted=predicted, is_at_boundary=is_at_boundary)
    assert radius == pytest.approx(0.01 * factor, rel=1e-15)


def test_stays_within_its_bounds() -> None:
    radius = 0.01
    for _ in range(20):
        radius = RULE.next_radius(radius, actual=1.0, predicted=1.0, is_at_boundary=True)
    assert radius == RULE.maximum
    for _ in range(20):
        radius = RULE.next_radius(radius, actual=-1.0, predicted=1.0, is_at_boundary=True)
    assert radius == RULE.minimum


def test_factors_of_one_leave_the_radius() -> None:
    rule = RadiusController(shrink=1.0, expand=1.0)
    for actual in (-1.0, 0.5, 2.0, math.nan):
        assert rule.next_radius(0.01, actual=actual, predicted=1.0, is_at_boundary=True) == 0.01


def test_acceptance() -> None:
    assert RULE.accepts(0.1, 1.0)
    assert not RULE.accepts(0.0999, 1.0)
    assert not RULE.accepts(math.nan, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"eta_accept": -0.1},
        {"eta_accept": 0.5},
        {"shrink_below": 0.8},
        {"shrink": 0.0},
        {"shrink": 1.1},
        {"expand": 0.9},
        {"minimum": -1.0},
        {"minimum": 2.0, "maximum": 1.0},
        {"expand_above": math.nan},
    ],
)
def test_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="RadiusController: expected"):
        RadiusController(**wrong)
