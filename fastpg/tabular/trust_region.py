"""Adaptive TRPO of Shani, Efroni, Mannor 2019 (arXiv:1909.02769): mirror descent on policies, exact or from samples.

Per state, pi_{k+1} = argmax over p of t_k <q_k - lambda grad omega(pi_k), p> - Bregman_omega(p, pi_k). "Adaptive" is
the weighting of the proximity term by the visitation of pi_k, as the gradient is weighted; it cancels in the tabular
update, which is then the same step in every state. The proximity is a penalty, not a constraint, and for omega the
negative entropy it is KL(new || old): both differ from TRPO as Schulman et al. 2015 wrote it.

The paper minimises costs, hence exp(-t (q + lambda log pi)) there and exp(t (q - lambda log pi)) here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.tabular.evaluation import ENTROPY, action_values, expected_return, optimal_policy, state_values
from fastpg.tabular.geometry import Geometry
from fastpg.tabular.mdp import MDP, check_distributions
from fastpg.tabular.sampling import sample_returns, sample_visited_states

Array = NDArray[np.float64]


@dataclass(frozen=True)
class UniformTRPO:
    """Uniform TRPO: the exact update, in every state.

    The objective never falls. With the step sizes below the gap after N iterations is O(1 / sqrt(N)) without a
    regulariser and O(1 / N) with one, up to logarithms (Shani et al. 2019, the theorem on Uniform TRPO).

    Attributes:
        coef: lambda >= 0, weight of the regulariser omega in the objective; for ``KL`` an entropy bonus.
        geometry: ``KL()`` or ``Euclidean()``.
    """

    coef: float = 0.0
    geometry: Geometry = ENTROPY

    def __post_init__(self) -> None:
        if not 0.0 <= self.coef < math.inf:
            raise ConfigError(f"coef: expected a finite number >= 0, got {self.coef!r}.")

    def step_size(self, mdp: MDP, iteration: int) -> float:
        """T_k = 1 / (lambda (k + 2)), or (1 - gamma) / (C_{omega,1} C_max sqrt(k + 1)) without a regulariser."""
        if self.coef > 0.0:
            return 1.0 / (self.coef * (iteration + 2))
        scale = self.geometry.gradient_bound(mdp.n_actions) * mdp.reward_span
        return (1.0 - mdp.gamma) / (scale * math.sqrt(iteration + 1)) if scale > 0.0 else 0.0

    def improve(self, mdp: MDP, policy: Array, *, iteration: int, rng: np.random.Generator) -> Array:
        """One step with the exact values."""
        del rng
        values = action_values(mdp, state_values(mdp, policy, geometry=self.geometry, coef=self.coef))
        return self._step(mdp, policy, values, iteration)

    def objective(self, mdp: MDP, policy: Array) -> float:
        """The regularised return."""
        return expected_return(mdp, policy, geometry=self.geometry, coef=self.coef)

    def optimum(self, mdp: MDP) -> float:
        """That of the best policy for the regularised return."""
        return self.objective(mdp, optimal_policy(mdp, geometry=self.geometry, coef=self.coef))

    def _step(self, mdp: MDP, policy: Array, values: Array, iteration: int) -> Array:
        step_size = self.step_size(mdp, iteration)
        return self.geometry.mirror_step(policy, values, step_size=step_size, coef=self.coef)


@dataclass(frozen=True, eq=False)
class SampleBasedTRPO(UniformTRPO):
    """Sample-Based TRPO: action values from truncated rollouts, in the states that were visited.

    Each sample is a state from the visitation of pi_k, a uniform action and the discounted return of a rollout; the
    values of the other actions are estimated as zero, the taken one's is multiplied by A (importance weighting). States
    that were not sampled keep their policy. Single iterates may be worse than earlier ones: the guarantee is for the
    best one (``History.best_policy``), and needs a restart distribution that covers what the best policy visits.

    Attributes:
        n_samples: M > 0 rollouts per iteration.
        restart: (S,) distribution nu of the first states; None is the MDP's own start.
        truncation: rollouts end where gamma^t falls below this number in (0, 1).
    """

    n_samples: int = 1000
    restart: Array | None = None
    truncation: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_samples < 1:
            raise ConfigError(f"n_samples: expected an integer >= 1, got {self.n_samples!r}.")
        if not 0.0 < self.truncation < 1.0:
            raise ConfigError(f"truncation: expected a number in (0, 1), got {self.truncation!r}.")

    def improve(self, mdp: MDP, policy: Array, *, iteration: int, rng: np.random.Generator) -> Array:
        """One step with estimated values."""
        values, is_visited = self.estimate(mdp, policy, rng)
        return np.where(is_visited[:, None], self._step(mdp, policy, values, iteration), policy)

    def estimate(self, mdp: MDP, policy: Array, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        """Unbiased (up to the truncation) action values (S, A) of the visited states, and which those are (S,)."""
        restart = mdp.start if self.restart is None else np.asarray(self.restart, np.float64)
        check_distributions("restart", restart, (mdp.n_states,))
        states = sample_visited_states(mdp, policy, self.n_samples, restart=restart, rng=rng)
        actions = rng.integers(mdp.n_actions, size=self.n_samples)
        bonuses = -self.coef * self.geometry.regularizer(policy)
        returns = sample_returns(mdp, policy, (states, actions), bonuses=bonuses, truncation=self.truncation, rng=rng)
        totals = np.zeros(mdp.rewards.shape)
        np.add.at(totals, (states, actions), returns)
        n_visits = np.bincount(states, minlength=mdp.n_states)
        return mdp.n_actions * totals / np.maximum(n_visits, 1)[:, None], n_visits > 0
