"""The last rollout under the names of stable-baselines3's rollout buffer, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastpg.errors import ConfigError
from fastpg.kernels.gae import gae
from fastpg.types import Rollout

if TYPE_CHECKING:
    from fastpg.sb3.base import DropInModel


class RolloutBuffer:
    """Copies of a model's last complete rollout, arrays (n_steps, n_envs, ...); changing them changes nothing.

    Args:
        model: with environments.

    Attributes:
        buffer_size: n_steps.
        n_envs: environments.
        gamma: discount.
        gae_lambda: of the advantages.
    """

    def __init__(self, model: DropInModel) -> None:
        self._model = model
        self.buffer_size, self.n_envs = model.config.n_steps, model.n_envs
        self.gamma, self.gae_lambda = model.config.gamma, model.config.gae_lambda
        self.full = model.collector.last_rollout is not None
        self.pos = self.buffer_size if self.full else 0

    @property
    def observations(self) -> Any:
        """Encoded observations (T, N, O)."""
        return self._rollout.observations.copy()

    @property
    def actions(self) -> Any:
        """Actions (T, N, D) as sampled, not clipped."""
        return self._rollout.actions.copy()

    @property
    def rewards(self) -> Any:
        """Rewards (T, N) as trained on; where an episode was truncated, gamma times the value of its end is in them."""
        rollout = self._rollout
        return rollout.rewards + np.where(rollout.truncated, self.gamma * rollout.next_values, 0.0).astype(np.float32)

    @property
    def values(self) -> Any:
        """Values (T, N) at the time of acting."""
        return self._rollout.values.copy()

    @property
    def log_probs(self) -> Any:
        """Log-probabilities (T, N) of the actions."""
        return self._rollout.log_probs.copy()

    @property
    def episode_starts(self) -> Any:
        """(T, N) float32, 1 where the observation begins an episode."""
        rollout = self._rollout
        starts = np.empty(rollout.values.shape, np.float32)
        starts[0] = self._model.collector.rollout_starts
        starts[1:] = (rollout.terminated | rollout.truncated)[:-1]
        return starts

    @property
    def advantages(self) -> Any:
        """Advantages (T, N), not standardised."""
        rollout = self._rollout
        return gae(
            rollout.rewards,
            rollout.values,
            rollout.next_values,
            rollout.terminated,
            rollout.truncated,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
        )

    @property
    def returns(self) -> Any:
        """Advantages + values (T, N)."""
        return self.advantages + self._rollout.values

    @property
    def _rollout(self) -> Rollout:
        rollout = self._model.collector.last_rollout
        if rollout is None:
            raise ConfigError(
                "rollout_buffer: expected a model that has finished a rollout, got none. Fix: learn first."
            )
        return rollout
