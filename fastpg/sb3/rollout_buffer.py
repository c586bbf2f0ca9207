"""The last rollout under the names of stable-baselines3's rollout buffer, to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastpg.errors import ConfigError
from fastpg.kernels.gae import gae
from fastpg.sb3.modules import Tensor, as_tensor
from fastpg.types import Rollout

if TYPE_CHECKING:
    from fastpg.sb3.base import DropInModel


class RolloutBufferSamples(NamedTuple):
    """B transitions: (B, O) observations, (B, D) actions, the others (B,)."""

    observations: Tensor
    actions: Tensor
    old_values: Tensor
    old_log_prob: Tensor
    advantages: Tensor
    returns: Tensor


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

    @property
    def full(self) -> bool:
        """Whether a rollout has been finished."""
        return self._model.collector.last_rollout is not None

    @property
    def pos(self) -> int:
        """Steps in it: all or none."""
        return self.buffer_size if self.full else 0

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
            backend=self._model.config.backend,
        )

    @property
    def returns(self) -> Any:
        """Advantages + values (T, N)."""
        return self.advantages + self._rollout.values

    def get(self, batch_size: int | None = None) -> Iterator[RolloutBufferSamples]:
        """All transitions once, in random order (of NumPy's global generator), ``batch_size`` at a time.

        Args:
            batch_size: transitions per minibatch, the last may have fewer; None gives all as one.
        """
        columns = (self.observations, self.actions, self.values, self.log_probs, self.advantages, self.returns)
        flat = [column.reshape(-1, *column.shape[2:]) for column in columns]
        order = np.random.permutation(len(flat[0]))  # noqa: NPY002 - the one that scripts seed
        size = batch_size or len(order)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield RolloutBufferSamples(*(as_tensor(column[rows]) for column in flat))

    @property
    def _rollout(self) -> Rollout:
        rollout = self._model.collector.last_rollout
        if rollout is None:
            raise ConfigError(
                "rollout_buffer: expected a model that has finished a rollout, got none. Fix: learn first."
            )
        return rollout
