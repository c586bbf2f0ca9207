"""The natural policy gradient of a tabular softmax policy, in closed form.

For pi_theta(a|s) = softmax(theta_s)_a the Fisher matrix over the visitation d of pi_theta is block-diagonal, and its
pseudo-inverse takes the gradient of eta to A / (1 - gamma), up to a constant per state that does not change the policy:
Kakade 2001, "A natural policy gradient"; Agarwal, Kakade, Lee, Mahajan 2021, "On the theory of policy gradient methods:
optimality, approximation, and distribution shift". Visitation and start distribution cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.tabular.evaluation import advantages, expected_return, optimal_policy
from fastpg.tabular.geometry import KL
from fastpg.tabular.mdp import MDP

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ExactNPG:
    """Pi_{k+1} proportional to pi_k exp(step_size A / (1 - gamma)).

    The objective never falls, and after N iterations from the uniform policy the gap is at most
    log(A) / (step_size N) + 1 / ((1 - gamma)^2 N) for rewards in [0, 1] (Agarwal et al. 2021, Theorem 16).

    Attributes:
        step_size: eta > 0 of theta += eta F^+ g; a longer one is faster without end, up to policy iteration.
    """

    step_size: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.step_size < np.inf:
            raise ConfigError(f"step_size: expected a finite number > 0, got {self.step_size!r}.")

    def improve(self, mdp: MDP, policy: Array, *, iteration: int, rng: np.random.Generator) -> Array:
        """One natural gradient step."""
        del iteration, rng
        step_size = self.step_size / (1.0 - mdp.gamma)
        return KL().mirror_step(policy, advantages(mdp, policy), step_size=step_size, coef=0.0)

    def objective(self, mdp: MDP, policy: Array) -> float:
        """The expected return."""
        return expected_return(mdp, policy)

    def optimum(self, mdp: MDP) -> float:
        """That of the best policy."""
        return expected_return(mdp, optimal_policy(mdp))
