"""Finite discounted Markov decision processes as arrays, and two families of them to experiment with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError

Array = NDArray[np.float64]

#: How far a row of probabilities may be from summing to one: rounding of a few thousand terms in float64.
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite MDP (S states, A actions) with discounted rewards; the arrays are copied and cannot be written to.

    Attributes:
        transitions: (S, A, S); probability of the next state, given state and action.
        rewards: (S, A); expected reward of an action.
        start: (S,); distribution of the first state, by which policies are judged.
        gamma: discount per step, in [0, 1).

    Raises:
        ConfigError: shapes that do not fit, values that are no probabilities or not finite, or gamma outside [0, 1).
    """

    transitions: Array
    rewards: Array
    start: Array
    gamma: float

    def __post_init__(self) -> None:
        for name in ("transitions", "rewards", "start"):
            array = np.array(getattr(self, name), np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.rewards.ndim != 2 or not self.rewards.size or not np.isfinite(self.rewards).all():
            raise ConfigError(f"rewards: expected finite numbers (S, A), got shape {self.rewards.shape}.")
        check_distributions("transitions", self.transitions, (*self.rewards.shape, self.n_states))
        check_distributions("start", self.start, (self.n_states,))
        if not 0.0 <= self.gamma < 1.0:
            raise ConfigError(f"gamma: expected a number in [0, 1), got {self.gamma!r}.")

    @property
    def n_states(self) -> int:
        """S."""
        return int(self.rewards.shape[0])

    @property
    def n_actions(self) -> int:
        """A."""
        return int(self.rewards.shape[1])

    @property
    def reward_span(self) -> float:
        """Largest minus smallest reward: the constant C_max of papers with costs in [0, C_max]."""
        return float(self.rewards.max() - self.rewards.min())


def check_distributions(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless ``array`` has ``shape`` and probabilities along its last axis."""
    if array.shape != shape:
        raise ConfigError(f"{name}: expected shape {shape}, got {array.shape}.")
    is_valid = (array >= 0.0).all() and np.allclose(array.sum(axis=-1), 1.0, rtol=0.0, atol=SUM_TOLERANCE)
    if not is_valid:
        raise ConfigError(f"{name}: expected probabilities that sum to 1 along the last axis, got others.")


def uniform_policy(mdp: MDP) -> Array:
    """The policy (S, A) that takes every action with the same probability."""
    return np.full(mdp.rewards.shape, 1.0 / mdp.n_actions)


def random_mdp(n_states: int, n_actions: int, *, gamma: float, n_successors: int = 3, seed: int = 0) -> MDP:
    """A Garnet: every action leads to ``n_successors`` random states; rewards are uniform in [0, 1).

    Archibald, McKinnon, Thomas 1995, "On the generation of Markov decision processes".

    Args:
        n_states: S >= 1.
        n_actions: A >= 1.
        gamma: discount per step, in [0, 1).
        n_successors: states that an action can lead to, in [1, S]; larger ones count as S.
        seed: of the draw.

    Raises:
        ConfigError: a count below 1.
    """
    for name, value in (("n_states", n_states), ("n_actions", n_actions), ("n_successors", n_successors)):
        if value < 1:
            raise ConfigError(f"{name}: expected an integer >= 1, got {value!r}.")
    rng = np.random.default_rng(seed)
    transitions = np.zeros((n_states, n_actions, n_states))
    size = min(n_successors, n_states)
    for row in transitions.reshape(-1, n_states):
        row[rng.choice(n_states, size, replace=False)] = rng.dirichlet(np.ones(size))
    return MDP(transitions, rng.random((n_states, n_actions)), rng.dirichlet(np.ones(n_states)), gamma)


def chain_mdp(n_states: int = 8, *, gamma: float = 0.9, slip: float = 0.1) -> MDP:
    """A corridor: actions left and right, a reward of 0.1 at the left end and of 1 at the right end; starts left.

    The greedy choice near the start is wrong, so that exploration and step length show.

    Args:
        n_states: length of the corridor, >= 2.
        gamma: discount per step, in [0, 1).
        slip: probability of moving against the action, in [0, 1].

    Raises:
        ConfigError: a corridor without length, or a slip that is no probability.
    """
    if n_states < 2 or not 0.0 <= slip <= 1.0:
        raise ConfigError(f"expected n_states >= 2 and slip in [0, 1], got {n_states!r} and {slip!r}.")
    transitions = np.zeros((n_states, 2, n_states))
    for state in range(n_states):
        left, right = max(state - 1, 0), min(state + 1, n_states - 1)
        for action, (intended, other) in enumerate(((left, right), (right, left))):
            transitions[state, action, intended] += 1.0 - slip
            transitions[state, action, other] += slip
    rewards = np.zeros((n_states, 2))
    rewards[0, 0], rewards[-1, 1] = 0.1, 1.0
    return MDP(transitions, rewards, np.eye(n_states)[0], gamma)
