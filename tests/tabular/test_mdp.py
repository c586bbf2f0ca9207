"""Finite MDPs, and the exact values of their policies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.errors import ConfigError
from fastpg.tabular import (
    KL,
    MDP,
    Euclidean,
    advantages,
    chain_mdp,
    expected_return,
    improvement_surrogate,
    optimal_policy,
    random_mdp,
    state_values,
    uniform_policy,
    visitation,
)
from fastpg.tabular.geometry import project_to_simplex

SEEDS = st.integers(0, 10_000)


def random_policy(mdp, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(mdp.n_actions), mdp.n_states)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 1.0}, r"gamma: expected a number in \[0, 1\), got 1.0"),
        ({"start": [0.5, 0.6]}, "start: expected probabilities that sum to 1"),
        ({"start": [1.0]}, r"start: expected shape \(2,\), got \(1,\)"),
        ({"rewards": [[np.nan], [0.0]]}, "rewards: expected finite numbers"),
        ({"transitions": [[[2.0, -1.0]], [[1.0, 0.0]]]}, "transitions: expected probabilities"),
    ],
)
def test_what_is_no_mdp_is_refused(change, message):
    valid = {"transitions": [[[0.5, 0.5]], [[1.0, 0.0]]], "rewards": [[1.0], [0.0]], "start": [1.0, 0.0], "gamma": 0.9}
    MDP(**valid)
    with pytest.raises(ConfigError, match=message):
        MDP(**{**valid, **change})


def test_arrays_are_copied_and_read_only():
    rewards = np.zeros((2, 1))
    mdp = MDP(np.full((2, 1, 2), 0.5), rewards, np.array([1.0, 0.0]), 0.5)
    rewards[0] = 9.0
    assert mdp.rewards.max() == 0.0
    with pytest.raises(ValueError, match="read-only"):
        mdp.rewards[0] = 1.0


def test_a_policy_of_another_mdp_is_refused():
    with pytest.raises(ConfigError, match=r"policy: expected shape \(4, 2\), got \(3, 2\)"):
        state_values(chain_mdp(4), np.full((3, 2), 0.5))


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_values_and_visitation_are_their_series(seed, policy_seed):
    mdp = random_mdp(5, 3, gamma=0.7, seed=seed)
    policy = random_policy(mdp, policy_seed)
    matrix = np.einsum("sa,sat->st", policy, mdp.transitions)
    rewards = (policy * mdp.rewards).sum(axis=1)
    powers = [np.linalg.matrix_power(matrix, t) * mdp.gamma**t for t in range(120)]
    np.testing.assert_allclose(state_values(mdp, policy), sum(powers) @ rewards, rtol=1e-12)
    np.testing.assert_allclose(visitation(mdp, policy), 0.3 * mdp.start @ sum(powers), rtol=1e-12)
    assert visitation(mdp, policy).sum() == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_performance_difference(seed, policy_seed):
    """Kakade and Langford 2002, Lemma 6.1: eta(pi') - eta(pi) is pi's advantage over the visitation of pi'."""
    mdp = random_mdp(6, 3, gamma=0.8, seed=seed)
    old, new = random_policy(mdp, policy_seed), random_policy(mdp, policy_seed + 1)
    gain = visitation(mdp, new) @ (new * advantages(mdp, old)).sum(axis=1) / (1.0 - mdp.gamma)
    assert expected_return(mdp, new) - expected_return(mdp, old) == pytest.approx(gain, abs=1e-12)
    assert improvement_surrogate(mdp, old, old) == pytest.approx(expected_return(mdp, old), abs=1e-12)


@pytest.mark.parametrize("geometry", [KL(), Euclidean()])
@pytest.mark.parametrize("coef", [0.0, 0.3])
def test_no_policy_beats_the_optimal_one(geometry, coef):
    mdp = random_mdp(6, 3, gamma=0.8, seed=4)
    best = expected_return(mdp, optimal_policy(mdp, geometry=geometry, coef=coef), geometry=geometry, coef=coef)
    for seed in range(200):
        assert expected_return(mdp, random_policy(mdp, seed), geometry=geometry, coef=coef) < best


def test_the_best_way_in_the_corridor_is_right():
    assert optimal_policy(chain_mdp(6)).argmax(axis=1).tolist() == [1] * 6
    assert optimal_policy(chain_mdp(6, gamma=0.3)).argmax(axis=1)[0] == 0  # too far for an impatient one
    assert uniform_policy(chain_mdp(6)).tolist() == [[0.5, 0.5]] * 6


@pytest.mark.parametrize("arguments", [{"n_states": 1}, {"slip": 1.5}])
def test_an_impossible_corridor_is_refused(arguments):
    with pytest.raises(ConfigError, match="expected n_states >= 2 and slip"):
        chain_mdp(**arguments)


def test_a_garnet_without_actions_is_refused():
    with pytest.raises(ConfigError, match="n_actions: expected an integer >= 1, got 0"):
        random_mdp(3, 0, gamma=0.5)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(-3.0, 3.0))
def test_projection_onto_the_simplex(seed, scale):
    """Feasible, and no vertex lies at an acute angle: the optimality condition of the nearest point."""
    points = 10.0**scale * np.random.default_rng(seed).standard_normal((7, 4))
    nearest = project_to_simplex(points)
    np.testing.assert_allclose(nearest.sum(axis=1), 1.0, rtol=1e-12)
    assert (nearest >= 0.0).all()
    towards_vertices = np.eye(4)[None] - nearest[:, None]
    angles = np.einsum("sk,svk->sv", points - nearest, towards_vertices)
    assert angles.max() <= 1e-9 * (1.0 + np.abs(points).max())
