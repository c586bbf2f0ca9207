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
    transitions, actions_below = np.cumsum(mdp.transitions, axis=2), np.cumsum(policy, axis=1)
    states = _draw(np.broadcast_to(np.cumsum(restart), (n_samples, mdp.n_states)), rng)
    is_running = rng.random(n_samples) < mdp.gamma
    while is_running.any():
        running = np.flatnonzero(is_running)
        actions = _draw(actions_below[states[running]], rng)
        states[running] = _draw(transitions[states[running], actions], rng)
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
    transitions, actions_below = np.cumsum(mdp.transitions, axis=2), np.cumsum(policy, axis=1)
    states, actions = first
    returns: Array = mdp.rewards[states, actions]
    n_steps = math.ceil(math.log(truncation) / math.log(mdp.gamma)) if mdp.gamma > 0.0 else 0
    for t in range(1, n_steps):
        states = _draw(transitions[states, actions], rng)
        actions = _draw(actions_below[states], rng)
        returns += mdp.gamma**t * (mdp.rewards[states, actions] + bonuses[states])
    return returns


def _draw(cumulated: Array, rng: np.random.Generator) -> Indices:
    """One index per row, by inversion of ``cumulated`` (n, K), the running sums of its probabilities.

    The drawn number is scaled by the last sum, which rounding may leave beside 1; what has no chance is never drawn.
    """
    threshold = rng.random(len(cumulated)) * cumulated[:, -1]
    return np.asarray((cumulated <= threshold[:, None]).sum(axis=1))
