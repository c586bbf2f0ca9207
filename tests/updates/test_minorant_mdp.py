"""The theoretical bound on exact MDPs: it is a bound, and maximising it again and again never lowers the return."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.tabular.evaluation import advantages, expected_return, visitation
from fastpg.tabular.mdp import MDP, random_mdp
from fastpg.tabular.minorant import MinorizeMaximize, kl_old_new, lower_bound
from fastpg.updates.minorant import MinorantAscent, evaluate_minorant, penalty_constant

Array = np.ndarray


class SoftmaxProblem:
    """A softmax policy over logits (S * A,) on an exact MDP, as the minorant sees it."""

    def __init__(self, mdp: MDP, logits: Array) -> None:
        self.logits = logits
        self.old = self.policy(np.zeros(logits.size))
        self.weighted_advantages = visitation(mdp, self.old)[:, None] * advantages(mdp, self.old)
        self.max_abs_advantage = float(np.abs(advantages(mdp, self.old)).max())

    def policy(self, step: Array) -> Array:
        logits = self.logits + step.reshape(self.logits.shape)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def surrogate(self, step: Array) -> tuple[float, Array]:
        new = self.policy(step)
        q = self.weighted_advantages
        return float((new * q).sum()), (new * (q - (new * q).sum(axis=1, keepdims=True))).ravel()

    def kl_old_new(self, step: Array) -> Array:
        return kl_old_new(self.old, self.policy(step))

    def kl_old_new_gradient(self, step: Array, weights: Array) -> Array:
        return (weights[:, None] * (self.policy(step) - self.old)).ravel()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), gamma=st.sampled_from([0.0, 0.5, 0.9, 0.99]), size=st.floats(1e-4, 3.0))
def test_bound_holds_for_every_step(seed: int, gamma: float, size: float) -> None:
    """eta(theta + s) >= eta(theta) + M(s), whatever s; so M > 0 means a better policy."""
    mdp = random_mdp(4, 3, gamma=gamma, seed=seed)
    rng = np.random.default_rng(seed)
    problem = SoftmaxProblem(mdp, rng.standard_normal((4, 3)))
    step = size * rng.standard_normal(12)
    constant = penalty_constant(problem.max_abs_advantage, gamma)
    minorant = evaluate_minorant(problem, step, constant, gamma).minorant
    before, after = expected_return(mdp, problem.old), expected_return(mdp, problem.policy(step))
    assert after >= before + minorant - 1e-9
    assert before + minorant == pytest.approx(lower_bound(mdp, problem.old, problem.policy(step)), abs=1e-9)


@pytest.mark.parametrize("gamma", [0.3, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_every_iteration_improves_by_at_least_the_bound(gamma: float, seed: int) -> None:
    mdp = random_mdp(5, 3, gamma=gamma, seed=seed)
    logits = np.random.default_rng(seed).standard_normal((5, 3))
    for _ in range(6):
        problem = SoftmaxProblem(mdp, logits)
        found = MinorantAscent()(problem, logits.size, max_abs_advantage=problem.max_abs_advantage, gamma=gamma)
        gain = expected_return(mdp, problem.policy(found.step)) - expected_return(mdp, problem.old)
        assert found.value.minorant > 0.0
        assert gain >= found.value.minorant - 1e-12
        logits = logits + found.step.reshape(logits.shape)


@pytest.mark.parametrize("seed", range(3))
def test_inner_maximisation_comes_close_to_the_exact_maximum(seed: int) -> None:
    """The logits of every state are free, so that the policies' maximum is the logits' maximum."""
    mdp = random_mdp(5, 3, gamma=0.9, seed=seed)
    problem = SoftmaxProblem(mdp, np.random.default_rng(seed).standard_normal((5, 3)))
    found = MinorantAscent()(problem, 15, max_abs_advantage=problem.max_abs_advantage, gamma=0.9)
    exact = MinorizeMaximize().improve(mdp, problem.old, iteration=0, rng=np.random.default_rng(0))
    best = lower_bound(mdp, problem.old, exact) - expected_return(mdp, problem.old)
    assert 0.95 * best < found.value.minorant <= best * (1.0 + 1e-6)
