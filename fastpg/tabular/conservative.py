"""Conservative policy iteration: a mixture of the old policy and the greedy one, with a weight that cannot do harm.

Kakade and Langford 2002, "Approximately optimal approximate reinforcement learning", Theorem 4.1 and Corollary 4.2. The
paper multiplies values by 1 - gamma; here they are plain discounted sums, which scales its weight and gain. A mixture
of policies has no counterpart among the parameters of a network: this exists for tables only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpg.tabular.evaluation import action_values, expected_return, optimal_policy, policy_advantage, state_values
from fastpg.tabular.geometry import KL
from fastpg.tabular.mdp import MDP

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ConservativePolicyIteration:
    """Pi' = (1 - alpha) pi + alpha greedy, alpha = (1 - gamma)^2 advantage / (4 reward_span), at most 1.

    Every step with a policy advantage > 0 gains at least ``guaranteed_gain``.
    """

    def mixture_weight(self, mdp: MDP, policy: Array) -> float:
        """Alpha in [0, 1]; 0 where no policy is better."""
        advantage = self._greedy_advantage(mdp, policy)
        if advantage <= 0.0 or mdp.reward_span == 0.0:
            return 0.0
        return min(1.0, (1.0 - mdp.gamma) ** 2 * advantage / (4.0 * mdp.reward_span))

    def guaranteed_gain(self, mdp: MDP, policy: Array) -> float:
        """Lower bound on the gain of one step, (1 - gamma) advantage^2 / (8 reward_span)."""
        advantage = self._greedy_advantage(mdp, policy)
        if advantage <= 0.0 or mdp.reward_span == 0.0:
            return 0.0
        return (1.0 - mdp.gamma) * advantage**2 / (8.0 * mdp.reward_span)

    def improve(self, mdp: MDP, policy: Array, *, iteration: int, rng: np.random.Generator) -> Array:
        """One conservative step."""
        del iteration, rng
        weight = self.mixture_weight(mdp, policy)
        return (1.0 - weight) * policy + weight * _greedy(mdp, policy)

    def objective(self, mdp: MDP, policy: Array) -> float:
        """The expected return."""
        return expected_return(mdp, policy)

    def optimum(self, mdp: MDP) -> float:
        """That of the best policy."""
        return expected_return(mdp, optimal_policy(mdp))

    def _greedy_advantage(self, mdp: MDP, policy: Array) -> float:
        return policy_advantage(mdp, policy, _greedy(mdp, policy))


def _greedy(mdp: MDP, policy: Array) -> Array:
    """The policy (S, A) that is greedy with respect to the values of ``policy``."""
    return KL().greedy(action_values(mdp, state_values(mdp, policy)), 0.0)
