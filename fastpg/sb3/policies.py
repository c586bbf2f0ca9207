"""The policy of a drop-in model: stable-baselines3's members on top of fastpg's networks, with arrays for tensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError
from fastpg.kernels import heads
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.policies.actor_critic import ActorCritic
from fastpg.rollout.spaces import ObservationEncoder
from fastpg.sb3 import modules, parameters
from fastpg.sb3.modules import Device, Linear, MlpExtractor, Optimizer, Tensor, as_tensor
from fastpg.training.agent import Agent
from fastpg.training.checkpoint import load_checkpoint, save_checkpoint

Array = NDArray[Any]


class Distribution:
    """The action distribution at B observations.

    Args:
        policy: whose head it is.
        inputs: (B, K) logits or means.
    """

    def __init__(self, policy: ActorCriticPolicy, inputs: Array) -> None:
        self._policy = policy
        self._inputs = inputs
        self._head = policy.layout.head
        self._options: dict[str, Any] = {"head": self._head, "backend": policy.backend}

    @property
    def probs(self) -> Tensor:
        """Probabilities: (B, K) of the choices (Discrete), (B, D) of a 1 (MultiBinary).

        Raises:
            ConfigError: the actions have densities, or several choices each.
        """
        if self._head.kind == "categorical" and len(self._head.sizes) == 1:
            shifted = np.exp(self._inputs - self._inputs.max(axis=1, keepdims=True))
            return as_tensor(shifted / shifted.sum(axis=1, keepdims=True))
        if self._head.kind == "bernoulli":
            return as_tensor(0.5 * (1.0 + np.tanh(0.5 * self._inputs)))
        raise ConfigError(f"probs: expected Discrete or MultiBinary actions, got {self._head}.")

    def mode(self) -> Tensor:
        """The most probable actions (B, D)."""
        return as_tensor(heads.mode(self._inputs, self._log_std, **self._options))

    def log_prob(self, actions: Any) -> Tensor:
        """Log-probabilities (B,) of ``actions`` (B, D) or (B,), nats, summed over action dimensions."""
        rows = self._policy.action_rows(actions, len(self._inputs))
        return as_tensor(heads.log_prob(self._inputs, self._log_std, rows, **self._options))

    def entropy(self) -> Tensor:
        """Entropies (B,), nats, summed over action dimensions."""
        return as_tensor(heads.entropy(self._inputs, self._log_std, **self._options))

    @property
    def distribution(self) -> Distribution:
        """Itself: what stable-baselines3 wraps."""
        return self

    @property
    def _log_std(self) -> Array:
        return self._policy.layout.split(self._policy.params)[1]


class ActorCriticPolicy(ActorCritic):
    """Policy and value network of a model.

    Made by the model. ``predict`` takes observations of the space; the other methods take what ``obs_to_tensor``
    returns, or the same.
    """

    #: The names it goes by as the argument ``policy``.
    names: ClassVar[tuple[str, ...]] = ("MlpPolicy", "ActorCriticPolicy")
    squash_output = False
    use_sde = False

    def __init__(
        self,
        layout: ActorCriticLayout,
        params: Array,
        *,
        backend: str | None = None,
        agent: Agent,
        optimizer: Optimizer,
        replace_params: Callable[[Array], None],
    ) -> None:
        super().__init__(layout, params, backend=backend)
        self.optimizer = optimizer
        self._agent = agent
        self._replace_params = replace_params
        self._encoder = ObservationEncoder(agent.encoder.space)

    @property
    def observation_space(self) -> Any:
        """Of a single environment."""
        return self._agent.encoder.space

    @property
    def action_space(self) -> Any:
        """Of a single environment."""
        return self._agent.decoder.space

    @property
    def device(self) -> Device:
        """Always the CPU."""
        return Device("cpu")

    # --- acting ------------------------------------------------------------------------------------------------------

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Array, Any]:
        """See ``predict`` of the model."""
        del episode_start
        return self._agent.predict(observation, deterministic=deterministic), state

    def obs_to_tensor(self, observation: Any) -> tuple[Tensor, bool]:
        """(observations with a batch axis, whether ``observation`` had one)."""
        array = np.asarray(observation)
        shape = tuple(self.observation_space.shape or ())
        is_batch = array.ndim > len(shape)
        return as_tensor(array if is_batch else array[None]), is_batch

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """(actions (B, ...), values (B, 1), log-probabilities (B,)); actions are not clipped."""
        rows = self._rows(obs)
        self._agent._n_calls += 1
        actions = self.act(rows, deterministic=deterministic, seed=self._agent._seed, step=self._agent._n_calls)
        log_probs = Distribution(self, self.head_inputs(rows)).log_prob(actions)
        shape = tuple(self.action_space.shape or ())
        return as_tensor(actions.reshape(-1, *shape)), self.predict_values(obs), log_probs

    __call__ = forward

    def evaluate_actions(self, obs: Any, actions: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(values (B, 1), log-probabilities (B,), entropies (B,)) of ``actions`` taken at ``obs``."""
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """The action distribution at ``obs`` (B, ...)."""
        return Distribution(self, self.head_inputs(self._rows(obs)))

    def predict_values(self, obs: Any) -> Tensor:
        """Values (B, 1) at ``obs`` (B, ...)."""
        return as_tensor(self.values(self._rows(obs))[:, None])

    def _rows(self, obs: Any) -> Array:
        """``obs`` encoded, (B, O)."""
        batch, _ = self.obs_to_tensor(parameters.as_array(obs))
        rows = np.empty((len(batch), self._encoder.size), np.float32)
        self._encoder.encode(batch.numpy(), rows)
        return rows

    def action_rows(self, actions: Any, n_rows: int) -> Array:
        """``actions`` as the kernels have them: (B, D), of the head's type."""
        head = self.layout.head
        dtype = head.action_dtype(np.dtype(np.float32))
        return parameters.as_array(actions).reshape(n_rows, head.n_actions).astype(dtype)

    def scale_action(self, action: Any) -> Any:
        """``action`` from the bounds of the space to [-1, 1]."""
        low, high = self._bounds()
        return 2.0 * (action - low) / (high - low) - 1.0

    def unscale_action(self, scaled_action: Any) -> Any:
        """``scaled_action`` from [-1, 1] to the bounds of the space."""
        low, high = self._bounds()
        return low + 0.5 * (scaled_action + 1.0) * (high - low)

    def _bounds(self) -> tuple[Array, Array]:
        space = self.action_space
        if not hasattr(space, "low"):
            raise ConfigError(f"action: expected a Box action space to scale in, got {space}.")
        return space.low, space.high

    def set_training_mode(self, mode: bool) -> None:
        """Nothing: the networks compute the same in training and evaluation."""

    def train(self, mode: bool = True) -> ActorCriticPolicy:
        """Itself, see ``set_training_mode``."""
        del mode
        return self

    def eval(self) -> ActorCriticPolicy:
        """Itself, see ``set_training_mode``."""
        return self

    def to(self, device: Any) -> ActorCriticPolicy:
        """Itself: there is one device."""
        del device
        return self

    def reset_noise(self, n_envs: int = 1) -> None:
        """Refuse: there is no state-dependent exploration."""
        raise ConfigError("reset_noise: expected a model with use_sde=True, which fastpg does not support.")

    # --- parameters --------------------------------------------------------------------------------------------------

    @property
    def mlp_extractor(self) -> MlpExtractor:
        """The hidden layers, with the parameters as they are now."""
        return modules.networks(self.layout, self.params)[0]

    @property
    def action_net(self) -> Linear:
        """The last layer of the policy, with the parameters as they are now."""
        return modules.networks(self.layout, self.params)[1]

    @property
    def value_net(self) -> Linear:
        """The last layer of the value function, with the parameters as they are now."""
        return modules.networks(self.layout, self.params)[2]

    def extract_features(self, obs: Any) -> Tensor:
        """``obs`` as the networks get them, (B, O): what ``mlp_extractor`` takes."""
        return as_tensor(self._rows(obs))

    def parameters(self) -> Iterator[Tensor]:
        """Read-only views of all parameters, in the order of ``state_dict``."""
        return (tensor for _, tensor in self.named_parameters())

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:  # type: ignore[override]
        """(stable-baselines3's name, read-only view) of all parameters, in the order of ``state_dict``."""
        named = parameters.named_views(self.layout, self.params)
        return ((name, as_tensor(view)) for name, view in named.items())

    def __repr__(self) -> str:
        """With its networks."""
        extractor, action_net, value_net = modules.networks(self.layout, self.params)
        return (
            f"{type(self).__name__}(\n  mlp_extractor={extractor},\n  action_net={action_net},\n"
            f"  value_net={value_net},\n)"
        )

    @property
    def log_std(self) -> Tensor:
        """Log standard deviations (D,) of Gaussian actions, read-only.

        Raises:
            AttributeError: the actions are discrete.
        """
        log_std = self.layout.split(self.params)[1]
        if not log_std.size:
            raise AttributeError("log_std: only policies with Box actions have it")
        return as_tensor(log_std)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by stable-baselines3's names."""
        return parameters.state_dict(self.layout, self.params)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Take the parameters of a ``state_dict``; ``strict`` refuses missing and unknown names.

        Raises:
            ConfigError: names or shapes do not fit.
        """
        self._replace_params(parameters.flat_from(self.layout, state_dict, self.params, exact_match=strict))

    def parameters_to_vector(self) -> Array:
        """All parameters one after the other, in the order of ``state_dict``."""
        return np.concatenate([array.reshape(-1) for array in self.state_dict().values()])

    def load_from_vector(self, vector: Array) -> None:
        """Take the parameters from a ``parameters_to_vector``."""
        if np.shape(vector) != (self.layout.n_params,):
            raise ConfigError(f"vector: expected shape ({self.layout.n_params},), got {np.shape(vector)}.")
        flat = np.array(self.params)
        start = 0
        for view in parameters.named_views(self.layout, flat).values():
            view[...] = np.reshape(vector[start : start + view.size], view.shape)
            start += view.size
        self._replace_params(flat)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters to ``path``, without pickle; ``load_parameters`` reads them."""
        save_checkpoint(path, self.state_dict(), {"kind": "policy"})

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Take the parameters that ``save`` wrote to ``path``."""
        self.load_state_dict(load_checkpoint(path)[0])
