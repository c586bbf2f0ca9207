"""A policy with its spaces and observation normaliser: from observations to actions, outside of training."""

from __future__ import annotations

import threading
from typing import Any, cast

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.policies.acting import BoundPolicy
from fastpg.policies.actor_critic import ActorCritic
from fastpg.policies.architecture import actor_critic_layout
from fastpg.rollout.normalize import Normalizer
from fastpg.rollout.spaces import ActionDecoder, ObservationEncoder
from fastpg.training.memory import check_memory

Array = NDArray[Any]

# Numbers of rows that stay bound, and the largest of them: beyond, binding anew costs little beside the work.
_MAX_BOUND = 8
_MAX_BOUND_ROWS = 1024


class Agent:
    """What ``predict`` needs; holds no environment.

    Args:
        encoder: of observations.
        decoder: of actions.
        policy: the networks.
        normalizer: applied to observations, its statistics are not changed; None without normalisation.
        seed: key of the random numbers of sampled actions.
    """

    def __init__(
        self,
        encoder: ObservationEncoder,
        decoder: ActionDecoder,
        *,
        policy: ActorCritic,
        normalizer: Normalizer | None,
        seed: int,
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.policy = policy
        self.normalizer = normalizer
        self._shape = tuple(encoder.space.shape or ())
        self._seed = seed
        self._n_calls = 0
        self._bound: dict[int, BoundPolicy] = {}
        self._is_plain = encoder.is_plain and normalizer is None
        self._lock = threading.Lock()  # held by the thread that uses bound buffers; another one does without

    @classmethod
    def create(cls, config: OnPolicyConfig, observation_space: Space[Any], action_space: Space[Any]) -> Agent:
        """A new agent with initial parameters; SpaceError for an unsupported space, ConfigError if it is too large."""
        encoder, decoder = ObservationEncoder(observation_space), ActionDecoder(action_space)
        options = config.policy_options
        layout = actor_critic_layout(encoder.size, decoder.head, net_arch=options.net_arch)
        check_memory(config, layout)
        config.check_layout(layout.actor)
        seed = cast(int, config.seed)
        policy = ActorCritic.create(
            encoder.size,
            decoder.head,
            net_arch=options.net_arch,
            activation=options.activation,
            ortho_init=options.ortho_init,
            log_std_init=options.log_std_init,
            seed=seed,
            backend=config.backend,
        )
        normalizer = make_normalizer(config, encoder.size)
        return cls(encoder, decoder, policy=policy, normalizer=normalizer, seed=seed)

    def with_seed(self, seed: int) -> Agent:
        """The same agent with random numbers of its own, keyed by ``seed`` and counted from the start."""
        return Agent(self.encoder, self.decoder, policy=self.policy, normalizer=self.normalizer, seed=seed)

    def predict(self, observation: Any, *, deterministic: bool) -> Array:
        """Actions for one observation or a batch.

        Args:
            observation: of the observation space, or (n, ...) of them.
            deterministic: take the most probable action instead of a sample.

        Returns:
            One action, or n of them, in the bounds of the action space.

        Raises:
            ValueError: the observation is the tuple of ``env.reset()``, or has another shape than the space.
            EnvDataError: it holds NaN, infinity or values outside of a discrete space.
        """
        if self._is_plain and (one := self._bound.get(1)) is not None and self._lock.acquire(False):
            try:
                chosen = one.choose(observation, deterministic=deterministic, step=self._n_calls + 1)
                if chosen is not None:
                    self._n_calls += 1
                    action: Array = self.decoder.decode_one(chosen)
                    return action
            finally:
                self._lock.release()
        batch, is_single = self._batch(observation)
        self._n_calls += 1
        if not 0 < len(batch) <= _MAX_BOUND_ROWS or not self._lock.acquire(blocking=False):
            actions = self._act_unbound(batch, deterministic=deterministic, step=self._n_calls)
        else:
            try:
                actions = self._act_bound(batch, deterministic=deterministic, step=self._n_calls)
            finally:
                self._lock.release()
        return actions[0] if is_single else actions

    def _act_bound(self, batch: Array, *, deterministic: bool, step: int) -> Array:
        n_rows = len(batch)
        bound = self._bound.get(n_rows) or self._bind(n_rows)
        rows = bound.observations
        self.encoder.encode(batch, rows)
        if self.normalizer is not None:
            self.normalizer.normalize_observations(rows, rows)
        return self.decoder.decode(bound.act(deterministic=deterministic, step=step))

    def _bind(self, n_rows: int) -> BoundPolicy:
        if len(self._bound) == _MAX_BOUND:
            self._bound.clear()
        bound = self._bound[n_rows] = BoundPolicy(self.policy, n_rows, seed=self._seed)
        return bound

    def _act_unbound(self, batch: Array, *, deterministic: bool, step: int) -> Array:
        rows = np.empty((len(batch), self.encoder.size), np.float32)
        self.encoder.encode(batch, rows)
        if self.normalizer is not None:
            rows = self.normalizer.normalize_observations(rows)
        raw = self.policy.act(rows, deterministic=deterministic, seed=self._seed, step=step)
        return self.decoder.decode(raw)

    def _batch(self, observation: Any) -> tuple[Array, bool]:
        """``observation`` as a batch, and whether it was a single one."""
        shape = self._shape
        if observation.__class__ is np.ndarray and observation.shape == shape:
            return observation[None], True
        if isinstance(observation, tuple) and len(observation) == 2 and isinstance(observation[1], dict):
            raise ValueError(
                "observation: expected an array, got the tuple (observation, info). Fix: Gymnasium's reset returns "
                "both, `observation, info = env.reset()`; pass the first."
            )
        array = np.asarray(observation)
        if array.shape == shape:
            return array[None], True
        if array.ndim == len(shape) + 1 and array.shape[1:] == shape:
            return array, False
        raise ValueError(
            f"observation: expected shape {shape}, or (n, ...) for a batch, got {array.shape}. Fix: pass "
            f"observations of the space {self.encoder.space}."
        )


#: Options of ``normalize``, in stable-baselines3's words and in those of the normaliser.
_OPTION_NAMES = {
    "norm_obs": "normalize_observations",
    "norm_reward": "normalize_rewards",
    "clip_obs": "clip_observation",
    "clip_reward": "clip_reward",
    "epsilon": "epsilon",
}


def make_normalizer(config: OnPolicyConfig, observation_size: int) -> Normalizer | None:
    """The normaliser that ``config.normalize`` asks for, without statistics; None if it is False."""
    if config.normalize is False:
        return None
    given = {} if config.normalize is True else config.normalize
    options = {_OPTION_NAMES[name]: value for name, value in given.items()}
    return Normalizer(observation_size, gamma=config.gamma, backend=config.backend, **options)
