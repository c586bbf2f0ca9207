"""A step judged by the return of the next rollout: radius, taking back, noise, and what a rollout tells of returns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.types import Batch, Rollout
from fastpg.updates.radius import RadiusController
from fastpg.updates.report import UpdateStatus
from fastpg.updates.return_review import ReturnReview
from fastpg.updates.state import OptimizerState
from tests.updates.test_natural_gradient import SMALL, make_problem

REVIEW = ReturnReview(gamma=1.0, controller=RadiusController(minimum=1e-3, maximum=0.1), target_kl=0.01)
LENGTH = 8  # samples per episode of a batch below


def make_batch(mean: float, noise: float = 0.01) -> Batch:
    """Six episodes of eight steps whose returns have that mean and spread; the advantages have standard deviation 2."""
    starts = mean + noise * np.array([-1.0, 1.0] * 3)
    columns = np.zeros(6 * LENGTH)
    return Batch(
        observations=columns[:, None],
        actions=columns[:, None],
        old_log_probs=columns,
        advantages=np.tile([-2.0, 2.0], 3 * LENGTH),
        returns=columns,
        old_values=columns,
        start_returns=starts,
    )


def after_a_step(*, is_at_boundary: bool = True) -> OptimizerState:
    """From returns of 10, with 0.5 promised in standardised advantages: 8 steps * 2 * 0.5 = 8 of the return."""
    old = OptimizerState.start(np.arange(5.0))
    memory = REVIEW.look_ahead(
        old.params[:3], make_batch(10.0), predicted=0.5, is_at_boundary=is_at_boundary, is_standardised=True
    )
    return replace(old, params=old.params + 1.0).remember(*memory)


@pytest.mark.parametrize(
    ("mean", "is_at_boundary", "radius"),
    [(17.0, True, 0.02), (17.0, False, 0.01), (14.0, True, 0.01), (11.5, True, 0.005), (10.9, True, 0.005)],
)
def test_radius_follows_the_return(mean: float, is_at_boundary: bool, radius: float) -> None:
    new, is_taken_back = REVIEW.look_back(after_a_step(is_at_boundary=is_at_boundary), make_batch(mean))
    assert new.scalars["trust_radius"] == pytest.approx(radius)
    assert not is_taken_back


def test_clearly_worse_is_taken_back_once() -> None:
    state = after_a_step()
    new, is_taken_back = REVIEW.look_back(state, make_batch(5.0))
    assert is_taken_back
    np.testing.assert_array_equal(new.params, [0.0, 1.0, 2.0, 4.0, 5.0])  # the policy's; not the critic's
    assert new.scalars["n_steps_taken_back"] == 1.0
    assert new.scalars["trust_radius"] == 0.005
    again, is_taken_back = REVIEW.look_back(new, make_batch(0.0))
    assert not is_taken_back
    np.testing.assert_array_equal(again.params, new.params)


def test_noise_is_given_the_benefit_of_the_doubt() -> None:
    _, is_taken_back = REVIEW.look_back(after_a_step(), make_batch(9.0, noise=5.0))
    assert not is_taken_back


@pytest.mark.parametrize("starts", [None, np.zeros(0), np.zeros(1)])
def test_without_episodes_nothing_is_judged(starts: Any) -> None:
    blind = replace(make_batch(0.0), start_returns=starts)
    new, is_taken_back = REVIEW.look_back(after_a_step(), blind)
    assert not is_taken_back
    assert "trust_radius" not in new.scalars
    scalars, memory = REVIEW.look_ahead(np.zeros(3), blind, predicted=0.5, is_at_boundary=True, is_standardised=True)
    assert (scalars, memory) == ({"return_pending": 0.0}, {})


def test_in_an_update() -> None:
    problem, state = make_problem()
    update = trpo(TRPOConfig(adaptive_radius="return", **SMALL))
    n_actor = problem.layout.actor.n_params
    good = replace(problem, batch=replace(problem.batch, start_returns=np.array([1.0, 1.1, 0.9])))
    bad = replace(problem, batch=replace(problem.batch, start_returns=np.array([-1e3, -1e3 + 1, -1e3 - 1])))
    stepped, report = update(state, good, progress_remaining=1.0, seed=0, update_index=0)
    assert (report.status, report.trust_radius, report.n_steps_taken_back) == (UpdateStatus.IMPROVED, 0.01, 0)
    back, report = update(stepped, bad, progress_remaining=1.0, seed=0, update_index=1)
    assert (report.status, report.trust_radius, report.n_steps_taken_back) == (UpdateStatus.TAKEN_BACK, 0.005, 1)
    np.testing.assert_array_equal(back.params[:n_actor], state.params[:n_actor])
    np.testing.assert_array_equal(back.params[n_actor:], stepped.params[n_actor:])
    _, report = update(back, good, progress_remaining=1.0, seed=0, update_index=2)
    assert (report.status, report.trust_radius) == (UpdateStatus.IMPROVED, 0.005)


def test_first_steps_of_a_rollout() -> None:
    """After an end, and after a reset step that carries no transition; never in the first row."""
    shape = (5, 2)
    flags = {name: np.zeros(shape, bool) for name in ("terminated", "truncated")}
    flags["terminated"][1, 0] = flags["truncated"][0, 1] = True
    valid = np.ones(shape, bool)
    valid[1, 1] = False
    column = np.arange(10.0).reshape(shape)
    rollout = Rollout(
        observations=column[..., None],
        actions=column[..., None],
        rewards=column,
        values=np.zeros(shape),
        next_values=column,
        log_probs=column,
        valid=valid,
        **flags,
    )
    expected = np.zeros(shape, bool)
    expected[2, 0] = expected[2, 1] = True
    np.testing.assert_array_equal(rollout.first_steps(), expected)
    np.testing.assert_array_equal(rollout.flatten(column).start_returns, [4.0, 5.0])
