"""The lower bound of TRPO's Theorem 1, and what raising it does to the return."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.tabular import (
    ExactNPG,
    MinorizeMaximize,
    advantages,
    expected_return,
    improvement_surrogate,
    lower_bound,
    penalty_coefficient,
    random_mdp,
)
from fastpg.tabular.minorant import best_within, kl_old_new
from tests.tabular.test_mdp import SEEDS, random_policy

RNG = np.random.default_rng(0)
DISTANCES = st.floats(-8.0, 0.0).map(lambda exponent: 10.0**exponent)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS, DISTANCES, st.sampled_from([0.3, 0.9, 0.99]))
def test_the_return_is_never_below_the_bound(seed, policy_seed, distance, gamma):
    mdp = random_mdp(5, 3, gamma=gamma, seed=seed)
    policy = random_policy(mdp, policy_seed)
    candidate = (1.0 - distance) * policy + distance * random_policy(mdp, policy_seed + 1)
    slack = expected_return(mdp, candidate) - lower_bound(mdp, policy, candidate)
    assert slack >= -1e-10
    assert lower_bound(mdp, policy, policy) == pytest.approx(expected_return(mdp, policy), rel=1e-11)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS, st.floats(-6.0, 1.0))
def test_what_raises_the_bound_raises_the_return(seed, policy_seed, exponent):
    """M(pi') > M(pi) implies eta(pi') > eta(pi), along natural gradient steps of every length."""
    mdp = random_mdp(5, 3, gamma=0.6, seed=seed)
    policy = random_policy(mdp, policy_seed)
    candidate = ExactNPG(10.0**exponent).improve(mdp, policy, iteration=0, rng=RNG)
    if lower_bound(mdp, policy, candidate) > lower_bound(mdp, policy, policy) + 1e-12:
        assert expected_return(mdp, candidate) > expected_return(mdp, policy)


@settings(max_examples=15, deadline=None)
@given(SEEDS, SEEDS)
def test_the_maximiser_of_the_bound_raises_it(seed, policy_seed):
    mdp = random_mdp(5, 3, gamma=0.6, seed=seed)
    policy = random_policy(mdp, policy_seed)
    best = MinorizeMaximize().improve(mdp, policy, iteration=0, rng=RNG)
    gain = lower_bound(mdp, policy, best) - expected_return(mdp, policy)
    assert 0.0 < gain <= expected_return(mdp, best) - expected_return(mdp, policy) + 1e-12
    for k in range(50):  # no other policy, near or far, makes the bound higher
        distance = 10.0 ** (-6.0 * k / 50)
        other = (1.0 - distance) * best + distance * random_policy(mdp, policy_seed + k)
        assert lower_bound(mdp, policy, other) <= lower_bound(mdp, policy, best) + 1e-9 * gain


def test_the_penalty_is_positive_and_subtracted():
    """A penalty of the other sign is no bound: the return of a far policy lies below."""
    mdp = random_mdp(5, 3, gamma=0.9, seed=0)
    policy, candidate = random_policy(mdp, 1), random_policy(mdp, 2)
    penalty = penalty_coefficient(mdp, policy)
    assert penalty == pytest.approx(4.0 * np.abs(advantages(mdp, policy)).max() * 0.9 / 0.1**2)
    wrong = improvement_surrogate(mdp, policy, candidate) + penalty * kl_old_new(policy, candidate).max()
    assert expected_return(mdp, candidate) < wrong


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(-10.0, 0.5))
def test_the_best_policy_within_a_ball_is_on_its_border_and_beats_the_rest(seed, exponent):
    rng, radius = np.random.default_rng(seed), 10.0**exponent
    policy, table = rng.dirichlet(np.ones(4), 3), rng.standard_normal((3, 4))
    best = best_within(policy, table, radius)
    np.testing.assert_allclose(best.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(kl_old_new(policy, best), radius, rtol=1e-3, atol=1e-13)
    assert (kl_old_new(policy, best) <= radius * (1.0 + 1e-9) + 1e-15).all()
    for _ in range(20):
        other = rng.dirichlet(np.ones(4), 3)
        for distance in (1.0, 0.1, 0.01, 1e-4):
            mixed = (1.0 - distance) * policy + distance * other
            is_inside = kl_old_new(policy, mixed) <= radius
            assert ((mixed * table).sum(axis=1) <= (best * table).sum(axis=1) + 1e-12)[is_inside].all()


def test_a_radius_of_nothing_and_equal_advantages_leave_the_policy():
    policy = np.array([[0.2, 0.8], [0.5, 0.5]])
    table = np.array([[1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(best_within(policy, table, 0.0), policy)
    np.testing.assert_array_equal(best_within(policy, table, 0.1)[0], policy[0])
    assert best_within(policy, table, 0.1)[1, 1] > 0.5


def test_an_action_that_is_given_up_is_infinitely_far():
    np.testing.assert_allclose(
        kl_old_new(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.5, 0.5]])), [np.inf, np.log(2.0)]
    )
