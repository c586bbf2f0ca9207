"""Exact values, advantages and visitation of a policy, by linear systems of S equations.

Symbols: pi (S, A) the policy, P_pi (S, S) its transition matrix, d (S,) its discounted visitation, normalised to sum to
one. With a ``geometry`` and ``coef`` the values are those of the regularised rewards r_pi - coef omega(pi).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import NumericsError
from fastpg.tabular.geometry import KL, Geometry
from fastpg.tabular.mdp import MDP, check_distributions

Array = NDArray[np.float64]

ENTROPY = KL()

#: Policy iteration has at most A^S steps but in practice a few dozens; many more mean that rounding makes it cycle.
MAX_POLICY_ITERATIONS = 1000
#: Change of the values, relative to their size, below which policy iteration has converged.
VALUE_TOLERANCE = 1e-13


def state_values(mdp: MDP, policy: Array, *, geometry: Geometry = ENTROPY, coef: float = 0.0) -> Array:
    """V (S,): the solution of V = r_pi - coef omega(pi) + gamma P_pi V.

    Args:
        mdp: S states, A actions.
        policy: (S, A) probabilities.
        geometry: its omega regularises.
        coef: weight of the regulariser, >= 0.

    Raises:
        ConfigError: ``policy`` is no policy of the MDP.
    """
    check_distributions("policy", policy, mdp.rewards.shape)
    rewards = (policy * mdp.rewards).sum(axis=1) - coef * geometry.regularizer(policy)
    return np.linalg.solve(np.eye(mdp.n_states) - mdp.gamma * _transition_matrix(mdp, policy), rewards)


def action_values(mdp: MDP, values: Array) -> Array:
    """Q (S, A) = r + gamma E[V(s')]; a regulariser at s itself is left out, being the same for all actions."""
    return np.asarray(mdp.rewards + mdp.gamma * mdp.transitions @ values)


def advantages(mdp: MDP, policy: Array) -> Array:
    """A (S, A) = Q - V of ``policy``, without a regulariser."""
    values = state_values(mdp, policy)
    return action_values(mdp, values) - values[:, None]


def visitation(mdp: MDP, policy: Array, *, start: Array | None = None) -> Array:
    """D (S,) = (1 - gamma) sum over t of gamma^t Pr(s_t = s), from ``start`` (by default the MDP's)."""
    check_distributions("policy", policy, mdp.rewards.shape)
    matrix = np.eye(mdp.n_states) - mdp.gamma * _transition_matrix(mdp, policy).T
    return np.asarray((1.0 - mdp.gamma) * np.linalg.solve(matrix, mdp.start if start is None else start))


def expected_return(mdp: MDP, policy: Array, *, geometry: Geometry = ENTROPY, coef: float = 0.0) -> float:
    """Eta = E[V(s_0)], s_0 from the MDP's start distribution; arguments as ``state_values``."""
    return float(mdp.start @ state_values(mdp, policy, geometry=geometry, coef=coef))


def policy_advantage(mdp: MDP, policy: Array, candidate: Array) -> float:
    """The mean over d of ``policy`` of the advantage of ``candidate``'s actions (Kakade and Langford 2002, eq. 4.1)."""
    return float(visitation(mdp, policy) @ (candidate * advantages(mdp, policy)).sum(axis=1))


def optimal_policy(mdp: MDP, *, geometry: Geometry = ENTROPY, coef: float = 0.0) -> Array:
    """The best policy (S, A), by (regularised) policy iteration: Howard 1960; Geist, Scherrer, Pietquin 2019.

    Raises:
        NumericsError: no convergence.
    """
    policy = np.full(mdp.rewards.shape, 1.0 / mdp.n_actions)
    values = state_values(mdp, policy, geometry=geometry, coef=coef)
    for _ in range(MAX_POLICY_ITERATIONS):
        policy = geometry.greedy(action_values(mdp, values), coef)
        old, values = values, state_values(mdp, policy, geometry=geometry, coef=coef)
        if np.abs(values - old).max() <= VALUE_TOLERANCE * (1.0 + np.abs(values).max()):
            return policy
    raise NumericsError(f"Policy iteration did not converge in {MAX_POLICY_ITERATIONS} iterations.")


def _transition_matrix(mdp: MDP, policy: Array) -> Array:
    """P_pi (S, S)."""
    return np.asarray(np.einsum("sa,sat->st", policy, mdp.transitions))
