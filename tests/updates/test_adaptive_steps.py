"""AdaptiveSteps: when t_k is what limited an update, what it does next, and the samples that are held out to see it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastpg.policies.problem import SampledProblem
from fastpg.updates.critic import NoCritic
from fastpg.updates.hold_out import Gains, Split, rows_of, standard_error, surrogate_gain
from fastpg.updates.inner_loop import MinibatchAdam
from fastpg.updates.kl_penalty import KLPenalty
from fastpg.updates.mirror_descent import AdaptiveSteps, ConstantSteps, MirrorStep, tsallis_divergence
from fastpg.updates.policy_change import PolicyChange
from fastpg.updates.proximal import ClippedRatio, ValueAndEntropy
from fastpg.updates.radius import RadiusController
from tests.updates.test_constraint import on_policy
from tests.updates.test_proximal import BACKEND, LAYOUT, N_SAMPLES, make_update, run, state

__all__ = ["state"]
RULE = AdaptiveSteps(start=1.0, controller=RadiusController(minimum=0.01, maximum=100.0))
SPLIT = Split(np.array([0, 1]), np.array([2, 3]))
LOOP = MinibatchAdam(
    learning_rate=1e-2, n_epochs=4, batch_size=None, max_grad_norm=math.inf, beta1=0.9, beta2=0.999, epsilon=1e-5
)
FREE = ClippedRatio(clip_range=math.inf, normalize_advantage=True, is_clipped=False)
NO_VALUE = ValueAndEntropy(vf_coef=0.0, ent_coef=0.0, clip_range_vf=None)


class Change:
    """What ``PolicyChange`` tells: ratios (B,), and divergences (B,) by direction."""

    def __init__(self, ratio: Any, **divergences: Any) -> None:
        self.ratio = np.asarray(ratio, float)
        self.divergences = divergences

    def kl_by_sample(self, direction: str) -> Any:
        return np.asarray(self.divergences[direction], float)


def measured(change: Change, advantages: Any, **arguments: Any) -> Gains:
    return RULE.measured(change, np.asarray(advantages, float), arguments, SPLIT)  # type: ignore[arg-type]  # a fake


def adaptive_update(**changes: Any) -> Any:
    parts = {"surrogate": FREE, "penalty": NO_VALUE, "inner_loop": LOOP, "critic": NoCritic()}
    return make_update(**{**parts, "proximity": MirrorStep(steps=RULE), **changes})


@pytest.mark.parametrize("step", [0.1, 1.0, 7.0])
@pytest.mark.parametrize(("fraction", "is_at_boundary"), [(0.1, False), (0.49, False), (0.51, True), (1.0, True)])
def test_the_boundary_is_half_of_the_way_to_the_maximiser(step: float, fraction: float, is_at_boundary: bool) -> None:
    """g's - s'Fs / (2 t) has its maximum at t F^-1 g; D / (t G) of a part of the way is half of that part."""
    rng = np.random.default_rng(0)
    gradient, root = rng.standard_normal(5), rng.standard_normal((5, 5))
    fisher = root @ root.T + np.eye(5)
    maximiser = step * np.linalg.solve(fisher, gradient)
    np.testing.assert_allclose(gradient - fisher @ maximiser / step, 0.0, rtol=0, atol=1e-12)
    taken = fraction * maximiser
    gain, divergence = gradient @ taken, taken @ fisher @ taken / 2
    assert divergence / (step * gain) == pytest.approx(fraction / 2)
    change = Change([1 + gain, 1 + gain, 1, 1], new_old=[divergence, divergence, 1e9, 1e9])
    found = measured(change, [1, 1, 1, 1], kl_coef=1 / step, kl_direction="new_old")
    assert found.predicted == pytest.approx(gain)
    assert found.is_at_boundary is is_at_boundary


@pytest.mark.parametrize("t", [1e-3, 1e-2, 0.1])
def test_the_divergence_of_the_exact_mirror_step_is_half_of_its_gain(t: float) -> None:
    """pi ~ pi_k exp(t A): KL / t -> mean(A) / 2 for small t, in both directions and for every Tsallis order."""
    rng = np.random.default_rng(1)
    old = rng.dirichlet(np.ones(6))
    advantages = rng.standard_normal(6)
    advantages -= old @ advantages
    new = old * np.exp(t * advantages)
    new /= new.sum()
    gain, ratio = new @ advantages, new / old
    divergences = [new @ np.log(ratio), -old @ np.log(ratio)]
    divergences += [old @ ((ratio**q - 1 - q * (ratio - 1)) / (q * (q - 1))) for q in (0.5, 2.0)]
    np.testing.assert_allclose(np.array(divergences) / (t * gain), 0.5, rtol=0, atol=2 * t)


def test_gains_are_of_the_two_parts() -> None:
    change = Change([1.5, 0.5, 1.1, 2.0], old_new=[0.1, 0.3, 9.0, 9.0])
    found = measured(change, [1.0, -2.0, 2.0, -3.0], kl_coef=0.5, kl_direction="old_new")
    assert found.predicted == pytest.approx((0.5 + 1.0) / 2)
    assert found.actual == pytest.approx((0.2 - 3.0) / 2)
    assert found.standard_error == pytest.approx(np.std([0.2, -3.0], ddof=1) / math.sqrt(2))
    assert not found.is_at_boundary  # 0.5 * 0.2 < 0.75 / 4
    assert measured(change, [1.0, -2.0, 0, 0], kl_coef=1.0, kl_direction="old_new").is_at_boundary  # 0.2 > 0.1875


@pytest.mark.parametrize("q", [0.5, 1.5, 2.0])
def test_a_tsallis_divergence_takes_the_place_of_the_kl_divergence(q: float) -> None:
    ratio = np.array([1.5, 0.5])
    divergence = np.mean((ratio**q - 1 - q * (ratio - 1)) / (q * (q - 1)))
    assert tsallis_divergence(ratio, q) == pytest.approx(divergence)
    change = Change([1.5, 0.5, 9.0, 9.0])
    limit = 0.5 / 4 / divergence  # the gain below is 0.5
    for factor, is_at_boundary in ((0.99, False), (1.01, True)):
        found = measured(change, [1.0, -1.0, 0, 0], constraint_coef=float(factor * limit), tsallis_q=q)
        assert found.is_at_boundary is is_at_boundary


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        (Gains(0.02, 0.019, True), 2.0),
        (Gains(0.02, 0.019, False), 1.0),
        (Gains(0.02, 0.019, True, 0.003), 2.0),
        (Gains(0.02, 0.019, True, 0.005), 1.0),
        (Gains(0.02, 0.019, True, np.nan), 1.0),
        (Gains(0.02, 0.01, True), 1.0),
        (Gains(0.02, 0.004, True), 0.5),
        (Gains(0.02, 0.004, True, 1.0), 0.5),
        (Gains(0.02, -0.1, False), 0.5),
        (Gains(0.0, 0.1, True), 0.5),
        (Gains(-0.01, 0.1, True), 0.5),
        (Gains(0.02, np.nan, True), 0.5),
        (Gains(np.inf, np.nan, True), 0.5),
    ],
    ids=str,
)
def test_rule_of_the_step_size(gains: Gains, expected: float) -> None:
    assert RULE.adapted({}, gains) == {"trust_radius": expected}
    assert RULE.adapted({"trust_radius": 0.3}, gains) == {"trust_radius": 0.3 * expected}


def test_the_step_size_keeps_its_bounds() -> None:
    scalars: dict[str, float] = {}
    for gains, bound in ((Gains(1.0, 1.0, True), 100.0), (Gains(1.0, 0.0, True), 0.01)):
        for _ in range(20):
            scalars = RULE.adapted(scalars, gains)
        assert RULE.now(scalars) == bound


def test_gains_that_are_no_numbers_warn_of_nothing() -> None:
    assert math.isnan(surrogate_gain(np.array([]), np.array([])))
    assert math.isnan(surrogate_gain(np.array([np.inf]), np.array([0.0])))
    assert math.isnan(standard_error(np.array([1.1]), np.array([1.0])))
    assert math.isnan(standard_error(np.array([np.inf, 1.0]), np.array([1.0, 1.0])))
    assert not math.isfinite(tsallis_divergence(np.array([np.inf]), 2.0))
    found = measured(Change([np.inf, 1, 1, 1]), [1.0, 0, 0, 0], constraint_coef=1.0, tsallis_q=0.5)
    assert not found.is_at_boundary


def test_t_k_is_remembered_used_and_reported(state: Any) -> None:
    batch = on_policy(state)
    first, report = run(adaptive_update(), state, batch)
    assert (report.trust_radius, report.kl_coef) == (1.0, 1.0)
    assert first.scalars["trust_radius"] in (0.5, 1.0, 2.0)
    assert report.improvement_ratio == pytest.approx(report.actual_improvement / report.predicted_improvement)
    assert report.predicted_improvement > 0
    _, report = run(adaptive_update(), first.remember({"trust_radius": 0.3}), batch, update_index=1)
    assert (report.trust_radius, report.kl_coef) == (0.3, 1 / 0.3)


def test_the_policy_does_not_see_what_is_held_out(state: Any) -> None:
    """The policy is that of the same update with a constant t on the other samples alone."""
    batch = on_policy(state)
    new, report = run(adaptive_update(), state, batch)
    split = RULE.split(N_SAMPLES, 3, 0)
    assert (len(split.trained), len(split.held)) == (29, 3)
    alone, constant = run(
        adaptive_update(proximity=MirrorStep(steps=ConstantSteps(start=1.0))), state, rows_of(batch, split.trained)
    )
    np.testing.assert_array_equal(new.params, alone.params)
    assert (constant.trust_radius, constant.improvement_ratio) == (None, None)
    change = PolicyChange(SampledProblem(batch=batch, layout=LAYOUT, backend=BACKEND), state.params, new.params)
    scaled = (batch.advantages - batch.advantages.mean()) / batch.advantages.std(ddof=1)
    for rows, gained in ((split.trained, report.predicted_improvement), (split.held, report.actual_improvement)):
        assert gained == pytest.approx(np.mean((change.ratio - 1)[rows] * scaled[rows]), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"direction": "old_new"}, {"tsallis_q": 2.0}], ids=str)
def test_t_k_expands_where_the_divergence_limits_a_good_update(state: Any, options: Any) -> None:
    """One action is better, and every sample there many times, so that what is held out agrees with the rest."""
    batch = rows_of(on_policy(state), np.tile(np.arange(N_SAMPLES), 40))
    batch = replace(batch, advantages=batch.actions[:, 0].astype(np.float32))
    tight = MirrorStep(steps=replace(RULE, start=0.02), **options)
    many = replace(LOOP, n_epochs=150, learning_rate=1e-3)
    new, report = run(adaptive_update(proximity=tight, inner_loop=many), state, batch)
    assert report.improvement_ratio > 0.75
    assert new.scalars["trust_radius"] == 0.04
    few = replace(LOOP, n_epochs=2, learning_rate=1e-5)
    new, report = run(adaptive_update(proximity=tight, inner_loop=few), state, batch)
    assert report.improvement_ratio > 0.75
    assert new.scalars["trust_radius"] == 0.02, "two short steps do not reach the boundary"


def test_t_k_shrinks_where_the_gain_does_not_carry_over(state: Any) -> None:
    """The advantages that are held out are reversed."""
    rows = np.tile(np.arange(N_SAMPLES), 40)
    batch = rows_of(on_policy(state), rows)
    advantages = batch.advantages.copy()
    advantages[RULE.split(len(batch), 3, 0).held] *= -1
    new, report = run(adaptive_update(), state, replace(batch, advantages=advantages))
    assert report.improvement_ratio < 0
    assert new.scalars["trust_radius"] == 0.5


def test_advantages_without_differences_shrink_t_k(state: Any) -> None:
    batch = replace(on_policy(state), advantages=np.ones(N_SAMPLES, np.float32))
    new, report = run(adaptive_update(), state, batch)
    assert (report.predicted_improvement, report.improvement_ratio) == (0.0, None)
    assert new.scalars["trust_radius"] == 0.5


def test_a_batch_too_small_to_hold_anything_out_shrinks_t_k(state: Any) -> None:
    batch = rows_of(on_policy(state), np.array([0]))
    raw = replace(FREE, normalize_advantage=False)
    new, report = run(adaptive_update(surrogate=raw), state, batch)
    assert (report.actual_improvement, report.improvement_ratio) == (None, None)
    assert new.scalars["trust_radius"] == 0.5


def test_a_penalty_by_the_divergence_alone_holds_nothing_out() -> None:
    assert KLPenalty(coefficient=1.0, direction="old_new").held_out_rule is None
    assert MirrorStep(steps=ConstantSteps(start=1.0)).held_out_rule is None
