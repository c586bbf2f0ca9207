"""PPO's constraint form: what is measured, and what each of the four ways does to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.updates.clip_range import AdaptiveClipRange, Gains, gains
from fastpg.updates.constraint import Backtrack, Barrier, Constraint, ExactPenalty, Mask, violations
from fastpg.updates.inner_loop import Descent, MinibatchAdam
from fastpg.updates.policy_change import PolicyChange, standardized
from fastpg.updates.proximal import ClippedRatio
from tests.updates.test_proximal import LAYOUT, SampledProblem, make_batch, make_update, run, state

__all__ = ["state"]
LOOP = MinibatchAdam(
    learning_rate=5e-3, n_epochs=6, batch_size=8, max_grad_norm=np.inf, beta1=0.9, beta2=0.999, epsilon=1e-5
)
CONSTRAINTS: list[Constraint] = [Mask(), Backtrack(), Barrier(), ExactPenalty()]


def on_policy(old: Any) -> Any:
    """Samples whose ratios are 1 at ``old``."""
    batch = make_batch(np.random.default_rng(0))
    problem = SampledProblem(batch=batch, layout=LAYOUT, backend="reference")
    log_ratio = np.log(PolicyChange(problem, old.params, old.params).ratio)
    changed = {**vars(batch), "old_log_probs": (batch.old_log_probs + log_ratio).astype(np.float32)}
    return type(batch)(**changed)


def constrained(old: Any, constraint: Constraint | None, clip_range: float = 0.05) -> Any:
    surrogate = ClippedRatio(clip_range=clip_range, normalize_advantage=True)
    return run(make_update(surrogate=surrogate, inner_loop=LOOP, constraint=constraint), old, on_policy(old))


def test_violations() -> None:
    found = violations(np.array([1.5, 0.5, 1.5, 0.6, 1.2]), np.array([1.0, 2.0, -1.0, -3.0, 0.0]), 0.3)
    assert found.largest == pytest.approx(0.2)
    assert found.mean == pytest.approx(0.3 / 5)
    assert found.fraction == pytest.approx(2 / 5)


def test_the_mask_is_the_clipped_ratio_bit_for_bit(state: Any) -> None:
    masked, report = constrained(state, Mask())
    clipped, _ = constrained(state, None)
    np.testing.assert_array_equal(masked.params, clipped.params)
    assert report.ratio_violation_max > 0
    assert report.gradient_step == pytest.approx(report.learning_rate * report.gradient_norm)


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_backtracking_ends_feasible(state: Any, tolerance: float) -> None:
    new, report = constrained(state, Backtrack(tolerance=tolerance, n_trials=8))
    assert report.ratio_violation_max <= tolerance * 0.05 * (1 + 1e-6)
    assert not np.array_equal(new.params, state.params)
    assert new.step == report.n_optimizer_steps == 24


def test_backtracking_keeps_the_step_of_the_values(state: Any) -> None:
    tight, _ = constrained(state, Backtrack(n_trials=1), clip_range=1e-9)
    n_policy = LAYOUT.actor.n_params
    np.testing.assert_array_equal(tight.params[:n_policy], state.params[:n_policy])
    assert not np.array_equal(tight.params[n_policy:], state.params[n_policy:])


def test_barrier_and_penalty_violate_less_than_the_free_ratio(state: Any) -> None:
    class Free(Mask):
        surrogate = "ratio"

    free = constrained(state, Free())[1].ratio_violation_max
    barrier = constrained(state, Barrier())[1]
    assert barrier.ratio_violation_max < 0.3 * free
    heavy, light = (constrained(state, ExactPenalty(coefficient=c, growth=1.0))[1] for c in (5.0, 0.5))
    assert heavy.ratio_violation_max < 0.6 * free
    assert heavy.ratio_violation_mean < light.ratio_violation_mean


def test_a_growing_penalty_is_the_heavier_one(state: Any) -> None:
    growing, constant = (constrained(state, ExactPenalty(coefficient=0.5, growth=g))[1] for g in (3.0, 1.0))
    assert growing.ratio_violation_mean < constant.ratio_violation_mean


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: type(c).__name__)
def test_every_variant_improves_the_surrogate(state: Any, constraint: Constraint) -> None:
    batch = on_policy(state)
    new, _ = constrained(state, constraint, clip_range=0.2)
    ratio = PolicyChange(SampledProblem(batch=batch, layout=LAYOUT), state.params, new.params).ratio
    assert ((ratio - 1) * standardized(batch.advantages)).mean() > 0.005


def test_stages_of_a_descent_are_one_update(state: Any) -> None:
    batch = on_policy(state)
    problem = SampledProblem(batch=batch, layout=LAYOUT, backend="reference")
    arguments = {
        "learning_rate": 1e-3,
        "clip_range": 0.2,
        "vf_coef": 0.5,
        "ent_coef": 0.0,
        "normalize_advantage": True,
        "kl_coef": 0.3,
        "seed": 1,
        "update_index": 2,
        **LOOP.arguments(batch),
    }
    whole, parts = (Descent(state, problem, batch, arguments, n_epochs=5, first_step=0) for _ in range(2))
    whole.run()
    for n_epochs in (1, 3, 1):
        parts.run(n_epochs)
    assert parts.n_epochs_left == 0
    for ours, theirs in zip(parts.result[:4], whole.result[:4], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name, value in vars(whole.result.stats).items():
        assert getattr(parts.result.stats, name) == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_violation_after_a_gradient_step_is_bounded_by_its_length(advantage: float) -> None:
    """One parameter, plain gradient ascent on the clipped surrogate: violation <= max |dr/dtheta| * rate * |gradient|.

    A sample that violates the bound has no gradient, so only one step can carry it across. Here r = p(theta) / p(0)
    of a Bernoulli policy with one logit, whose slope is at most 1/4 / p(0) = 1/2.
    """
    layout = ActorCriticLayout(MLPLayout((1, 1), "tanh"), MLPLayout((1, 1), "tanh"), HeadLayout("bernoulli", (1,)))
    samples = {
        "observations": np.zeros((1, 1)),
        "actions": np.ones((1, 1), np.int32),
        "old_log_probs": np.log([0.5]),
        "advantages": np.array([advantage]),
        "returns": np.zeros(1),
        "old_values": np.zeros(1),
    }
    params, rate, clip_range, n_violations = np.zeros(layout.n_params), 0.7, 0.1, 0
    for _ in range(5):
        gradient, _ = kernels.clipped_loss_gradient(
            params,
            **samples,
            layout=layout,
            clip_range=clip_range,
            vf_coef=0.0,
            ent_coef=0.0,
            normalize_advantage=False,
            backend="reference",
        )
        params = params - rate * gradient
        ratio = np.exp(-np.log1p(np.exp(-params[1:2]))) / 0.5
        found = violations(ratio, samples["advantages"], clip_range).largest
        if found > 0 and np.abs(gradient).max() > 0:
            n_violations += 1
            assert found <= 0.5 * rate * np.linalg.norm(gradient)
    assert n_violations == 1


@pytest.mark.parametrize(
    ("predicted", "actual", "is_at_boundary", "expected"),
    [
        (0.02, 0.019, True, 0.4),
        (0.02, 0.019, False, 0.2),
        (0.02, 0.01, True, 0.2),
        (0.02, 0.004, True, 0.1),
        (0.02, -0.1, True, 0.1),
        (0.0, 0.1, True, 0.1),
        (0.02, np.nan, True, 0.1),
    ],
)
def test_rule_of_the_clip_range(predicted: float, actual: float, is_at_boundary: bool, expected: float) -> None:
    assert AdaptiveClipRange().next_value(0.2, Gains(predicted, actual, is_at_boundary)) == pytest.approx(expected)


def test_the_clip_range_keeps_its_bounds() -> None:
    rule = AdaptiveClipRange()
    assert rule.next_value(0.4, Gains(1.0, 1.0, True)) == 0.5
    assert rule.next_value(0.03, Gains(1.0, 0.0, True)) == 0.02


def test_held_out_samples_are_another_tenth_each_time() -> None:
    rule = AdaptiveClipRange()
    splits = [rule.split(100, 7, index) for index in (0, 0, 1)]
    for trained, held in splits:
        assert len(held) == 10
        assert sorted([*trained, *held]) == list(range(100))
    np.testing.assert_array_equal(splits[0][1], splits[1][1])
    assert not np.array_equal(splits[0][1], splits[2][1])
    assert [len(rows) for rows in rule.split(2, 7, 0)] == [1, 1]


def test_gains() -> None:
    ratio, advantages = np.array([1.5, 0.9, 1.1, 2.0]), np.array([1.0, -1.0, 2.0, 3.0])
    gained = gains(ratio, advantages, 0.2, (np.array([0, 1]), np.array([2, 3])))
    assert gained.predicted == pytest.approx((0.2 + 0.1) / 2)
    assert gained.actual == pytest.approx((0.2 + 3.0) / 2)
    assert gained.is_at_boundary


def test_an_adaptive_clip_range_is_remembered_and_does_not_see_what_it_holds_out(state: Any) -> None:
    surrogate = ClippedRatio(clip_range=AdaptiveClipRange(), normalize_advantage=True)
    batch = on_policy(state)
    new, report = run(make_update(surrogate=surrogate, inner_loop=LOOP), state, batch)
    assert report.clip_range == 0.2
    assert new.scalars["clip_range"] in (0.1, 0.2, 0.4)
    assert report.improvement_ratio == pytest.approx(report.actual_improvement / report.predicted_improvement)
    _, held = AdaptiveClipRange().split(len(batch), 3, 0)
    other = {**vars(batch), "returns": batch.returns.copy()}
    other["returns"][held] += 5
    same, _ = run(make_update(surrogate=surrogate, inner_loop=LOOP), state, type(batch)(**other))
    np.testing.assert_array_equal(same.params, new.params)
