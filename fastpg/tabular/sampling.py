"""Sampling from a finite MDP, many rollouts side by side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastpg.tabular.mdp import MDP

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def sample_visited_states(
    mdp: MDP, policy: Array, n_samples: int, *, restart: Array, rng: np.random.Generator
) -> Indices:
    """States (n_samples,) from the discounted visitation of ``policy`` after ``restart`` (S,).

    A rollout goes on with probability gamma before every step, which is how often discounting counts it.
    """
    states = _draw(np.broadcast_to(restart, (n_samples, mdp.n_states)), rng)
    is_running = rng.random(n_samples) < mdp.gamma
    while is_running.any():
        running = np.flatnonzero(is_running)
        states[running] = _next_states(mdp, states[running], _draw(policy[states[running]], rng), rng)
        is_running[running] = rng.random(len(running)) < mdp.gamma
    return states


def sample_returns(
    mdp: MDP,
    policy: Array,
    first: tuple[Indices, Indices],
    *,
    bonuses: Array,
    truncation: float,
    rng: np.random.Generator,
) -> Array:
    """Discounted returns (n,) of rollouts from the states and actions ``first``, (n,) each.

    Args:
        mdp: to sample from.
        policy: (S, A) of all actions but the first.
        first: states and actions.
        bonuses: (S,) added to the reward in every state but the first.
        truncation: rollouts end where gamma^t falls below it.
        rng: draws actions and states.
    """
    states, actions = first
    returns: Array = mdp.rewards[states, actions]
    n_steps = math.ceil(math.log(truncation) / math.log(mdp.gamma)) if mdp.gamma > 0.0 else 0
    for t in range(1, n_steps):
        states = _next_states(mdp, states, actions, rng)
        actions = _draw(policy[states], rng)
        returns += mdp.gamma**t * (mdp.rewards[states, actions] + bonuses[states])
    return returns


def _next_states(mdp: MDP, states: Indices, actions: Indices, rng: np.random.Generator) -> Indices:
    return _draw(mdp.transitions[states, actions], rng)


def _draw(probabilities: Array, rng: np.random.Generator) -> Indices:
    """One index per row of ``probabilities`` (n, K), by inversion."""
    below = np.cumsum(probabilities, axis=1) <= rng.random(len(probabilities))[:, None]
    return np.asarray(np.minimum(below.sum(axis=1), _last_possible(probabilities)))


def _last_possible(probabilities: Array) -> Indices:
    """The last index with a chance in each row: where rounding leaves the sum below the drawn number."""
    n = probabilities.shape[1]
    return np.asarray(n - 1 - (probabilities[:, ::-1] > 0.0).argmax(axis=1))
