"""The rules that steer beta and the learning rate, and the penalty in an update."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastpg.updates.inner_loop import MinibatchAdam
from fastpg.updates.kl_penalty import KLPenalty, TargetRule, learning_rate_rule, paper_rule, rllib_rule
from fastpg.updates.policy_change import PolicyChange
from fastpg.updates.proximal import ClippedRatio
from tests.updates.test_proximal import LAYOUT, SampledProblem, make_batch, make_update, run, state

__all__ = ["state"]
LOOP = MinibatchAdam(
    learning_rate=1e-3, n_epochs=30, batch_size=None, max_grad_norm=math.inf, beta1=0.9, beta2=0.999, epsilon=1e-5
)
PLAIN = ClippedRatio(clip_range=0.2, normalize_advantage=True, is_clipped=False)


@pytest.mark.parametrize(
    ("rule", "kl", "factor"),
    [
        (paper_rule(0.01), 0.0151, 2.0),
        (paper_rule(0.01), 0.0149, 1.0),
        (paper_rule(0.01), 0.0067, 1.0),
        (paper_rule(0.01), 0.0066, 0.5),
        (rllib_rule(0.01), 0.0201, 1.5),
        (rllib_rule(0.01), 0.0199, 1.0),
        (rllib_rule(0.01), 0.0049, 0.5),
        (rllib_rule(0.01), math.nan, 1.5),
        (rllib_rule(0.01), math.inf, 1.5),
    ],
)
def test_coefficient_rules(rule: TargetRule, kl: float, factor: float) -> None:
    assert rule.next_value(0.4, kl) == pytest.approx(0.4 * factor)


def test_the_learning_rate_falls_when_the_policy_moves_too_far_and_keeps_its_bounds() -> None:
    rule = learning_rate_rule(0.01)
    assert rule.next_value(3e-4, 0.021) == pytest.approx(2e-4)
    assert rule.next_value(3e-4, 0.004) == pytest.approx(4.5e-4)
    assert rule.next_value(3e-4, 0.01) == 3e-4
    assert rule.next_value(1.1e-5, 1.0) == 1e-5
    assert rule.next_value(9e-3, 0.0) == 1e-2


def updated(old: Any, seed: int = 0, **parts: Any) -> Any:
    return run(make_update(**{"surrogate": PLAIN, **parts}), old, make_batch(np.random.default_rng(seed)))


def test_beta_is_remembered_and_reported(state: Any) -> None:
    penalty = KLPenalty(coefficient=0.5, direction="old_new", rule=paper_rule(1e-6))
    first, report = updated(state, proximity=penalty)
    assert report.kl_coef == 0.5
    assert report.kl_old_new > 1.5e-6
    assert first.scalars["kl_coef"] == 1.0
    _, report = updated(first, proximity=penalty)
    assert report.kl_coef == 1.0


def test_a_fixed_beta_leaves_nothing_to_remember(state: Any) -> None:
    new, report = updated(state, proximity=KLPenalty(coefficient=0.5, direction="new_old"))
    assert not new.scalars
    assert report.kl_coef == 0.5


def test_the_learning_rate_is_remembered(state: Any) -> None:
    first, report = updated(state, learning_rate_rule=learning_rate_rule(1e-7))
    assert report.learning_rate == 1e-3
    second, report = updated(first, learning_rate_rule=learning_rate_rule(1e-7))
    assert report.learning_rate == pytest.approx(1e-3 / 1.5)
    assert second.scalars["learning_rate"] == pytest.approx(1e-3 / 1.5**2)


@pytest.mark.parametrize("direction", ["old_new", "new_old"])
def test_adaptive_beta_finds_its_target(state: Any, direction: Any) -> None:
    """Over updates with fresh samples, the mean divergence comes within the band of the rule."""
    target, kls, now = 2e-4, [], state
    loop = replace(LOOP, n_epochs=10, learning_rate=5e-3)
    penalty = KLPenalty(coefficient=1.0, direction=direction, rule=paper_rule(target))
    for seed in range(30):
        now, report = updated(now, seed, proximity=penalty, inner_loop=loop)
        kls.append(report.kl_old_new)
    assert target / 4 < np.mean(kls[10:]) < 4 * target
    free = updated(state, inner_loop=loop)[0]
    problem = SampledProblem(batch=make_batch(np.random.default_rng(0)), layout=LAYOUT, backend="reference")
    assert PolicyChange(problem, state.params, free.params).kl("old_new") > 5 * target


def test_heavier_penalties_move_less(state: Any) -> None:
    kls = [
        updated(state, proximity=KLPenalty(coefficient=beta, direction="old_new"), inner_loop=LOOP)[1].kl_old_new
        for beta in (0.1, 3.0, 100.0)
    ]
    assert kls[0] > 3 * kls[1] > 9 * kls[2]
