"""Exact NPG, adaptive TRPO, conservative policy iteration: closed forms, rates, guarantees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.errors import ConfigError
from fastpg.tabular import (
    KL,
    MDP,
    ConservativePolicyIteration,
    Euclidean,
    ExactNPG,
    MinorizeMaximize,
    SampleBasedTRPO,
    UniformTRPO,
    action_values,
    advantages,
    expected_return,
    iterate,
    random_mdp,
    state_values,
    uniform_policy,
    visitation,
)
from tests.tabular.test_mdp import SEEDS, random_policy

MDP_10 = random_mdp(10, 4, gamma=0.9, seed=1)
START = uniform_policy(MDP_10)
EXACT = [
    ExactNPG(0.1),
    ExactNPG(10.0),
    UniformTRPO(),
    UniformTRPO(coef=0.1),
    UniformTRPO(geometry=Euclidean()),
    UniformTRPO(coef=0.1, geometry=Euclidean()),
    ConservativePolicyIteration(),
    MinorizeMaximize(),
]


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def log_policy(policy):
    """Without the constant per state, which a softmax does not see."""
    logs = np.log(policy)
    return logs - logs.mean(axis=1, keepdims=True)


def improve(method, mdp, policy, iteration=0):
    return method.improve(mdp, policy, iteration=iteration, rng=np.random.default_rng(0))


@settings(max_examples=15, deadline=None)
@given(SEEDS, SEEDS)
def test_npg_is_the_gradient_times_the_pseudo_inverse_of_the_fisher(seed, policy_seed):
    """F from the definition, the gradient of eta by finite differences in theta: nothing is shared but the MDP."""
    mdp = random_mdp(4, 3, gamma=0.8, seed=seed)
    theta = np.random.default_rng(policy_seed).standard_normal(12)
    policy = softmax(theta.reshape(4, 3))

    def eta(vector):
        return expected_return(mdp, softmax(vector.reshape(4, 3)))

    gradient = np.array([(eta(theta + h) - eta(theta - h)) / 2e-5 for h in 1e-5 * np.eye(12)])
    fisher = np.zeros((12, 12))
    for state, weight in enumerate(visitation(mdp, policy)):
        for action, probability in enumerate(policy[state]):
            score = np.zeros((4, 3))
            score[state] = np.eye(3)[action] - policy[state]
            fisher += weight * probability * np.outer(score, score)
    direction = np.linalg.pinv(fisher, rcond=1e-10) @ gradient
    closed_form = advantages(mdp, policy) / (1.0 - mdp.gamma)
    np.testing.assert_allclose(fisher @ closed_form.ravel(), gradient, atol=1e-8)
    stepped = softmax((theta + 0.3 * direction).reshape(4, 3))
    np.testing.assert_allclose(improve(ExactNPG(0.3), mdp, policy), stepped, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_a_step_of_npg_is_a_step_of_mirror_descent(seed, policy_seed):
    mdp = random_mdp(5, 3, gamma=0.8, seed=seed)
    policy = random_policy(mdp, policy_seed)
    uniform_trpo = UniformTRPO()
    step_size = uniform_trpo.step_size(mdp, 3) * (1.0 - mdp.gamma)
    np.testing.assert_allclose(
        improve(ExactNPG(step_size), mdp, policy), improve(uniform_trpo, mdp, policy, 3), rtol=1e-12
    )


@pytest.mark.parametrize("step_size", [0.01, 0.1, 1.0])
def test_npg_is_within_its_bound(step_size):
    """Agarwal et al. 2021, Theorem 16; rewards are in [0, 1] and the start is uniform."""
    gaps = iterate(ExactNPG(step_size), MDP_10, 100).gaps[1:]
    n = np.arange(1, 101)
    bound = np.log(MDP_10.n_actions) / (step_size * n) + 1.0 / ((1.0 - MDP_10.gamma) ** 2 * n)
    assert (gaps <= bound).all()


def bandit(rewards):
    """One state: every value is a reward."""
    return MDP(np.ones((1, len(rewards), 1)), np.array([rewards]), np.ones(1), 0.0)


def test_closed_forms_on_a_bandit():
    """By hand: sums of the step sizes 1 / sqrt(k), and a running mean of the rewards over lambda."""
    rewards = np.array([0.0, 0.25, 1.0])
    exponent = sum(1.0 / np.sqrt(k) for k in (1, 2, 3, 4))
    np.testing.assert_allclose(
        iterate(UniformTRPO(), bandit(rewards), 4).policy[0], softmax(exponent * rewards), rtol=1e-12
    )
    coef = 0.2
    np.testing.assert_allclose(
        iterate(UniformTRPO(coef=coef), bandit(rewards), 4).policy[0], softmax(4 / 5 * rewards / coef), rtol=1e-12
    )
    np.testing.assert_allclose(
        iterate(UniformTRPO(geometry=Euclidean()), bandit([0.0, 0.1]), 1).policy[0],
        [0.5 - 0.5 / np.sqrt(2.0), 0.5 + 0.5 / np.sqrt(2.0)],
        rtol=1e-12,
    )


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([0.05, 0.5]))
def test_regularised_iterates_are_the_mean_of_all_action_values(seed, coef):
    """With t_k = 1 / (lambda (k + 2)): log pi_N = (log pi_0 + sum of q_k / lambda) / (N + 1), but for a constant."""
    mdp = random_mdp(5, 3, gamma=0.8, seed=seed)
    method, policy = UniformTRPO(coef=coef), random_policy(mdp, seed + 1)
    total, n = log_policy(policy), 6
    for k in range(n):
        values = action_values(mdp, state_values(mdp, policy, coef=coef))
        total += (values - values.mean(axis=1, keepdims=True)) / coef
        policy = improve(method, mdp, policy, k)
    np.testing.assert_allclose(log_policy(policy), total / (n + 1), rtol=1e-9, atol=1e-9)


def slope(gaps, first):
    """Exponent of the trend gap = c N^slope from iteration ``first`` on."""
    n = np.arange(first, len(gaps))
    return np.polyfit(np.log(n), np.log(gaps[first:]), 1)[0]


@pytest.mark.parametrize("geometry", [KL(), Euclidean()])
@pytest.mark.parametrize("seed", [0, 2])
def test_the_gap_falls_as_one_over_root_n(geometry, seed):
    mdp = random_mdp(10, 4, gamma=0.9, seed=seed)
    gaps = iterate(UniformTRPO(geometry=geometry), mdp, 1500).gaps
    n = np.arange(1, len(gaps))
    scaled = gaps[1:] * np.sqrt(n)
    assert scaled[500:].max() < scaled.max()
    assert scaled[-1] < 0.9 * scaled.max()
    scale = geometry.gradient_bound(4) * mdp.reward_span / (1.0 - mdp.gamma) ** 2
    assert (gaps[1:] <= scale * (np.log(4) + np.log(n) + 1.0) / np.sqrt(n)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_gap_falls_as_one_over_n_with_a_regulariser(seed):
    mdp = random_mdp(10, 4, gamma=0.9, seed=seed)
    gaps = iterate(UniformTRPO(coef=0.1), mdp, 300).gaps
    assert slope(gaps, 30) <= -1.0
    assert (gaps * (np.arange(301) + 1.0)).max() <= 10.0 * gaps[0]


@pytest.mark.parametrize("method", EXACT, ids=repr)
def test_exact_methods_never_lose(method):
    history = iterate(method, MDP_10, 15)
    assert np.diff(history.objectives).min() >= -1e-12
    assert history.gaps.min() >= -1e-12
    assert history.gaps[-1] < 0.99 * history.gaps[0]
    np.testing.assert_array_equal(history.best_gaps, history.gaps.clip(max=history.gaps[0]))


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_conservative_policy_iteration_gains_what_it_promises(seed, policy_seed):
    mdp = random_mdp(6, 3, gamma=0.7, seed=seed)
    policy, method = random_policy(mdp, policy_seed), ConservativePolicyIteration()
    gain = expected_return(mdp, improve(method, mdp, policy)) - expected_return(mdp, policy)
    assert 0.0 <= method.mixture_weight(mdp, policy) <= 1.0
    assert gain >= method.guaranteed_gain(mdp, policy) - 1e-12
    assert method.guaranteed_gain(mdp, policy) > 0.0


def test_where_all_rewards_are_equal_nothing_moves():
    mdp = random_mdp(4, 3, gamma=0.9, seed=0)
    flat = MDP(mdp.transitions, np.ones((4, 3)), mdp.start, mdp.gamma)
    policy = random_policy(flat, 0)
    for method in (ExactNPG(), UniformTRPO(), UniformTRPO(geometry=Euclidean()), ConservativePolicyIteration()):
        np.testing.assert_allclose(improve(method, flat, policy), policy, atol=1e-12)


def test_samples_estimate_action_values_without_bias():
    mdp, policy = random_mdp(4, 2, gamma=0.6, seed=2), random_policy(random_mdp(4, 2, gamma=0.6), 3)
    method = SampleBasedTRPO(coef=0.1, n_samples=400, truncation=1e-6, restart=np.full(4, 0.25))
    rng = np.random.default_rng(0)
    estimates = [method.estimate(mdp, policy, rng) for _ in range(200)]
    assert all(is_visited.all() for _, is_visited in estimates)
    values = np.stack([values for values, _ in estimates])
    standard_error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    exact = action_values(mdp, state_values(mdp, policy, coef=0.1))
    assert (np.abs(values.mean(axis=0) - exact) <= 4.0 * standard_error).all()


def test_states_are_sampled_by_their_visitation():
    from fastpg.tabular.sampling import sample_visited_states

    mdp, n = MDP_10, 20_000
    policy = random_policy(mdp, 5)
    states = sample_visited_states(mdp, policy, n, restart=mdp.start, rng=np.random.default_rng(1))
    frequency, expected = np.bincount(states, minlength=10) / n, visitation(mdp, policy)
    assert (np.abs(frequency - expected) <= 4.0 * np.sqrt(expected * (1.0 - expected) / n) + 1e-12).all()


def test_states_that_were_not_sampled_keep_their_policy():
    transitions = np.zeros((2, 2, 2))
    transitions[0, :, 0] = transitions[1, :, 1] = 1.0  # nothing leads from the one to the other
    mdp = MDP(transitions, np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([1.0, 0.0]), 0.5)
    policy = np.array([[0.3, 0.7], [0.4, 0.6]])
    improved = improve(SampleBasedTRPO(n_samples=50), mdp, policy)
    np.testing.assert_array_equal(improved[1], policy[1])
    assert improved[0, 1] > 0.7


def test_sample_based_trpo_finds_the_optimum_and_repeats_itself():
    mdp = random_mdp(6, 3, gamma=0.7, seed=3)
    method = SampleBasedTRPO(coef=0.1, n_samples=500, restart=np.full(6, 1 / 6), truncation=1e-2)
    history = iterate(method, mdp, 60, seed=1)
    assert history.best_gaps[-1] < 0.03 * history.gaps[0]
    assert np.diff(history.objectives).min() < 0.0  # noisy: hence the best iterate
    assert method.objective(mdp, history.best_policy) == history.objectives.max()
    np.testing.assert_array_equal(iterate(method, mdp, 60, seed=1).policy, history.policy)
    assert (iterate(method, mdp, 60, seed=2).policy != history.policy).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExactNPG(0.0), "step_size: expected a finite number > 0, got 0.0"),
        (lambda: ExactNPG(np.inf), "step_size: expected a finite number > 0, got inf"),
        (lambda: UniformTRPO(coef=-1.0), "coef: expected a finite number >= 0, got -1.0"),
        (lambda: SampleBasedTRPO(n_samples=0), "n_samples: expected an integer >= 1, got 0"),
        (lambda: SampleBasedTRPO(truncation=1.0), r"truncation: expected a number in \(0, 1\), got 1.0"),
        (lambda: iterate(ExactNPG(), MDP_10, -1), "n_iterations: expected an integer >= 0, got -1"),
        (
            lambda: improve(SampleBasedTRPO(restart=np.ones(2)), MDP_10, START),
            "restart: expected shape",
        ),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
