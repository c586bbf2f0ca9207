"""Repeating a method, and what it attained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.tabular.mdp import MDP, uniform_policy

Array = NDArray[np.float64]


class Method(Protocol):
    """Turns a policy into the next one."""

    def improve(self, mdp: MDP, policy: Array, *, iteration: int, rng: np.random.Generator) -> Array:
        """The policy (S, A) after ``policy`` in iteration k = 0, 1, ...; only sampling uses ``rng``."""

    def objective(self, mdp: MDP, policy: Array) -> float:
        """What the method maximises, exactly."""

    def optimum(self, mdp: MDP) -> float:
        """The largest value of ``objective``."""


@dataclass(frozen=True, eq=False)
class History:
    """The exact objective of every iterate.

    Attributes:
        objectives: (n_iterations + 1,), the start included.
        optimum: the largest possible objective.
        policy: (S, A), the last iterate.
        best_policy: (S, A), the iterate of largest objective, the one that sample-based guarantees speak of.
    """

    objectives: Array
    optimum: float
    policy: Array
    best_policy: Array

    @property
    def gaps(self) -> Array:
        """Optimum minus objective of every iterate (n_iterations + 1,)."""
        return np.asarray(self.optimum - self.objectives)

    @property
    def best_gaps(self) -> Array:
        """The smallest gap so far (n_iterations + 1,)."""
        return np.asarray(np.minimum.accumulate(self.gaps))


def iterate(method: Method, mdp: MDP, n_iterations: int, *, policy: Array | None = None, seed: int = 0) -> History:
    """Apply ``method`` again and again.

    Args:
        method: from this package, or any object with the methods of ``Method``.
        mdp: to solve.
        n_iterations: >= 0.
        policy: (S, A) to start from; by default uniform.
        seed: of the samples, for methods that draw any.

    Raises:
        ConfigError: a negative number of iterations, or an argument that the method refuses.
    """
    if n_iterations < 0:
        raise ConfigError(f"n_iterations: expected an integer >= 0, got {n_iterations!r}.")
    rng = np.random.default_rng(seed)
    current = best = uniform_policy(mdp) if policy is None else np.array(policy, np.float64)
    objectives = [method.objective(mdp, current)]
    for iteration in range(n_iterations):
        current = method.improve(mdp, current, iteration=iteration, rng=rng)
        objective = method.objective(mdp, current)
        best = current if objective > max(objectives) else best
        objectives.append(objective)
    return History(np.array(objectives), method.optimum(mdp), current, best)
