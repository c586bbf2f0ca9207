"""Running normalisation of observations and rewards, part of the model.

The semantics are those of stable-baselines3's VecNormalize: statistics in float64 that start with a count of 1e-4 and
are merged batch by batch (Chan et al. 1979); observations are centred, scaled and clipped; rewards are divided by the
standard deviation of the running discounted return, without centring, and clipped.

A training step passes here three times with a handful of numbers, where the checks of the kernels' entry points would
cost fifteen times what the kernels do. So the arrays are checked here, once and cheaply, and go to the implementation,
without keywords, each of which takes a binding longer than three arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.kernels import backends

Array = NDArray[Any]

INITIAL_COUNT = 1e-4
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Moments:
    """Mean and population variance (n,) float64 of ``count`` samples; replaced, never changed in place."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    count: float

    @classmethod
    def initial(cls, size: int) -> Moments:
        """Mean 0, variance 1, a count of 1e-4."""
        return cls(np.zeros(size), np.ones(size), INITIAL_COUNT)

    def merged(self, batch: Array, kernels: Any) -> Moments:
        """The moments with the rows of ``batch`` (B, n), C-contiguous floats, added."""
        mean, variance = np.empty_like(self.mean), np.empty_like(self.variance)
        kernels.update_moments(self.mean, self.variance, self.count, batch, (mean, variance))
        return Moments(mean, variance, self.count + len(batch))


class Normalizer:
    """Observation and reward normalisation with statistics that follow training.

    Args:
        observation_size: O, the length of an encoded observation.
        gamma: discount of the running return, 0..1.
        normalize_observations: normalise observations.
        normalize_rewards: normalise rewards.
        clip_observation: bound of a normalised observation, > 0.
        clip_reward: bound of a normalised reward, > 0.
        epsilon: added to a variance, > 0.
        backend: kernels to compute with; ``None`` is the default backend.

    Attributes:
        training: whether ``update_observations`` and ``step_rewards`` change the statistics; False for evaluation.
    """

    def __init__(
        self,
        observation_size: int,
        *,
        gamma: float = 0.99,
        normalize_observations: bool = True,
        normalize_rewards: bool = True,
        clip_observation: float = 10.0,
        clip_reward: float = 10.0,
        epsilon: float = 1e-8,
        backend: str | None = None,
    ) -> None:
        self.observation_size = observation_size
        self.gamma = gamma
        self.normalizes_observations = normalize_observations
        self.normalizes_rewards = normalize_rewards
        self.clip_observation = clip_observation
        self.clip_reward = clip_reward
        self.epsilon = epsilon
        self.training = True
        self._kernels: Any = backends.resolve("running_moments", backend)
        self._observation_moments = Moments.initial(observation_size)
        self._return_moments = Moments.initial(1)
        self._discounted_returns = np.zeros(0)

    @property
    def observation_moments(self) -> Moments:
        """Statistics of the encoded observations (O,)."""
        return self._observation_moments

    @property
    def return_moments(self) -> Moments:
        """Statistics of the running discounted returns (1,)."""
        return self._return_moments

    def start(self, n_envs: int) -> None:
        """Begin new episodes in ``n_envs`` environments: their discounted returns start at 0."""
        self._discounted_returns = np.zeros(n_envs)

    def update_observations(self, observations: Array) -> None:
        """Add the rows of ``observations`` (B, O), encoded and not normalised, to the statistics."""
        if self.training and self.normalizes_observations and len(observations):
            self._check_rows("observations", observations)
            self._observation_moments = self._observation_moments.merged(observations, self._kernels)

    def normalize_observations(self, observations: Array, out: Array | None = None) -> Array:
        """Normalised ``observations`` (B, O) in ``out``, which may be ``observations`` itself; None allocates."""
        out = np.empty_like(observations) if out is None else out
        self._check_rows("observations", observations)
        self._check_rows("out", out)
        if len(out) != len(observations) or out.dtype != observations.dtype:
            raise ValueError(f"out: expected {observations.shape} {observations.dtype}, got {out.shape} {out.dtype}.")
        if not self.normalizes_observations:
            out[...] = observations
            return out
        moments = self._observation_moments
        self._kernels.normalize(observations, moments.mean, moments.variance, self.epsilon, self.clip_observation, out)
        return out

    def _check_rows(self, name: str, rows: Array) -> None:
        if (
            rows.ndim != 2
            or rows.shape[1] != self.observation_size
            or rows.dtype not in _FLOATS
            or not rows.flags.c_contiguous
        ):
            raise ValueError(
                f"{name}: expected C-contiguous float32 or float64 of shape (B, {self.observation_size}), got "
                f"{rows.dtype} of shape {rows.shape}."
            )

    def step_rewards(self, rewards: Array, ended: Array, valid: Array | None = None) -> Array:
        """Normalised rewards of one vector step, after adding it to the statistics.

        Args:
            rewards: (N,) float64, as the environments gave them; N as in ``start``.
            ended: (N,) bool, where the episode ended with this step.
            valid: (N,) bool, False where the step was no transition; None if all were.

        Returns:
            (N,) float64; 0 where not ``valid``.
        """
        if not self.normalizes_rewards:
            return rewards
        if self.training:
            returns = self._discounted_returns * self.gamma
            returns += rewards
            rows = returns if valid is None else returns[valid]
            if rows.size:
                self._return_moments = self._return_moments.merged(rows.reshape(-1, 1), self._kernels)
            np.putmask(returns, ended, 0.0)
            self._discounted_returns = returns
        return self.normalize_rewards(rewards)

    def normalize_rewards(self, rewards: Array) -> Array:
        """Rewards divided by the standard deviation of the discounted return and clipped; statistics unchanged."""
        scale = 1.0 / math.sqrt(self._return_moments.variance[0] + self.epsilon)
        return np.minimum(np.maximum(rewards * scale, -self.clip_reward), self.clip_reward)

    def snapshot(self) -> tuple[Moments, Moments, Array]:
        """The statistics now, to ``restore`` after a failure; costs nothing, as moments are never changed in place."""
        return self._observation_moments, self._return_moments, self._discounted_returns

    def restore(self, snapshot: tuple[Moments, Moments, Array]) -> None:
        """Go back to a ``snapshot``."""
        self._observation_moments, self._return_moments, self._discounted_returns = snapshot

    def state_dict(self) -> dict[str, Array]:
        """The statistics as arrays by name; discounted returns belong to running episodes and are left out."""
        return {
            f"{prefix}_{name}": np.array(getattr(moments, name), np.float64)
            for prefix, moments in (("observation", self._observation_moments), ("return", self._return_moments))
            for name in ("mean", "variance", "count")
        }

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take the statistics from a ``state_dict``.

        Raises:
            ConfigError: a name is missing, or the statistics are of another observation size.
        """
        expected = self.state_dict()
        missing = sorted(set(expected) - set(state))
        if missing:
            raise ConfigError(f"normaliser state: expected the entries {sorted(expected)}, got none of {missing}.")
        for name, array in expected.items():
            if not name.endswith("mean") and not (np.asarray(state[name]) >= 0.0).all():
                raise ConfigError(f"normaliser state: expected numbers >= 0 for {name}, got {state[name]!r}.")
            if np.shape(state[name]) != array.shape:
                raise ConfigError(
                    f"normaliser state: expected shape {array.shape} for {name}, got {np.shape(state[name])}. "
                    "Fix: load it for an environment with the same observation space."
                )
        self._observation_moments, self._return_moments = (
            Moments(
                np.array(state[f"{prefix}_mean"], np.float64),
                np.array(state[f"{prefix}_variance"], np.float64),
                float(state[f"{prefix}_count"]),
            )
            for prefix in ("observation", "return")
        )
