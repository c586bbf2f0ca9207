"""A stochastic MLP policy with a value function: one flat parameter vector and what it computes.

Sits between the kernels, which know only arrays and layouts, and rollout and training. It does not know of
environments: observations come encoded as (B, O) arrays and actions leave as the kernels' (B, D) arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import NumericsError
from fastpg.kernels import heads, mlp
from fastpg.kernels.layout import Activation, ActorCriticLayout, HeadLayout
from fastpg.kernels.philox import STREAM_PREDICT
from fastpg.policies.architecture import DEFAULT_NET_ARCH, NetArch, actor_critic_layout
from fastpg.policies.initialization import initial_params

Array = NDArray[Any]


class ActorCritic:
    """Policy and value networks that share nothing but the vector they lie in.

    Args:
        layout: sizes, activation and head.
        params: flat parameters (P,), finite; copied, as float32.
        backend: kernels to compute with; ``None`` is the default backend.

    Raises:
        NumericsError: a parameter is not finite.
        ValueError: ``params`` has another length than the layout.
    """

    def __init__(self, layout: ActorCriticLayout, params: Array, *, backend: str | None = None) -> None:
        self._layout = layout
        self._backend = backend
        self.set_params(params)

    @classmethod
    def create(
        cls,
        observation_size: int,
        head: HeadLayout,
        *,
        net_arch: NetArch = DEFAULT_NET_ARCH,
        activation: Activation = "tanh",
        ortho_init: bool = True,
        log_std_init: float = 0.0,
        seed: int = 0,
        backend: str | None = None,
    ) -> ActorCritic:
        """A new policy for O = ``observation_size`` inputs and the action distribution ``head``.

        Args:
            observation_size: number of inputs of both networks.
            head: the action distribution.
            net_arch: hidden widths of both networks, or of each under the keys ``pi`` and ``vf``; empty is linear.
            activation: of the hidden layers.
            ortho_init: orthogonal initialisation, else PyTorch's default.
            log_std_init: initial log standard deviation (Gaussian head only).
            seed: of the initial parameters.
            backend: kernels to compute with.
        """
        layout = actor_critic_layout(observation_size, head, net_arch=net_arch, activation=activation)
        params = initial_params(layout, seed=seed, ortho_init=ortho_init, log_std_init=log_std_init)
        return cls(layout, params, backend=backend)

    @property
    def layout(self) -> ActorCriticLayout:
        """Sizes, activation and head."""
        return self._layout

    @property
    def backend(self) -> str | None:
        """Kernels to compute with; None is the default backend."""
        return self._backend

    @property
    def params(self) -> NDArray[np.float32]:
        """The flat parameters (P,), read-only; ``set_params`` replaces them."""
        return self._params

    def set_params(self, params: Array) -> None:
        """Take over a copy of ``params`` (P,), which must be finite; on an error nothing changes.

        Raises:
            NumericsError: a parameter is not finite.
            ValueError: the shape is not (P,).
        """
        if np.shape(params) != (self._layout.n_params,):
            raise ValueError(f"params: expected shape ({self._layout.n_params},), got {np.shape(params)}.")
        copy = np.array(params, dtype=np.float32)
        if not np.isfinite(copy).all():
            index = int(np.flatnonzero(~np.isfinite(copy))[0])
            name = _name_at(self._layout, copy, index)
            raise NumericsError(
                f"params: expected finite numbers, got {copy[index]} at index {index} ({name}). The parameters are "
                "unchanged."
            )
        copy.flags.writeable = False
        self._params = copy

    def named_parameters(self) -> dict[str, NDArray[np.float32]]:
        """Read-only views into ``params`` by name.

        The names are ``policy/0/weight`` (inputs, outputs), ``policy/0/bias`` (outputs,), ..., ``log_std`` (D,) for
        a Gaussian head, ``value/0/weight``, ...
        """
        return _named_views(self._layout, self._params)

    def head_inputs(self, observations: Array) -> Array:
        """Logits or means (B, K) for encoded ``observations`` (B, O) float32."""
        policy, _, _ = self._layout.split(self._params)
        return mlp.mlp_forward(policy, observations, layout=self._layout.policy, backend=self._backend)

    def values(self, observations: Array) -> Array:
        """V(observation) (B,) for encoded ``observations`` (B, O) float32."""
        _, _, value = self._layout.split(self._params)
        return mlp.mlp_forward(value, observations, layout=self._layout.value, backend=self._backend)[:, 0]

    def act(self, observations: Array, *, deterministic: bool = False, seed: int = 0, step: int = 0) -> Array:
        """Actions (B, D) for encoded ``observations`` (B, O): the mode, or a sample.

        Args:
            observations: (B, O) float32.
            deterministic: take the most probable action.
            seed: of the random numbers of a sample.
            step: counter of the random numbers; the same (seed, step, row) draws the same numbers.

        Returns:
            int32 (categorical and bernoulli heads) or float32 (gaussian head, not clipped).
        """
        _, log_std, _ = self._layout.split(self._params)
        inputs = self.head_inputs(observations)
        head = self._layout.head
        if deterministic:
            return heads.mode(inputs, log_std, head=head, backend=self._backend)
        return heads.sample(
            inputs, log_std, head=head, seed=seed, stream=STREAM_PREDICT, step=step, backend=self._backend
        )


def _named_views(layout: ActorCriticLayout, params: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Views into ``params`` in the order in which they lie there."""
    policy, log_std, value = layout.split(params)
    named = _named_layers("policy", layout.policy.views(policy))
    if log_std.size:
        named["log_std"] = log_std
    return named | _named_layers("value", layout.value.views(value))


def _named_layers(prefix: str, layers: list[tuple[Array, Array]]) -> dict[str, Array]:
    named: dict[str, Array] = {}
    for index, (weight, bias) in enumerate(layers):
        named[f"{prefix}/{index}/weight"] = weight
        named[f"{prefix}/{index}/bias"] = bias
    return named


def _name_at(layout: ActorCriticLayout, params: NDArray[np.float32], index: int) -> str:
    """Name of the parameter that holds element ``index`` of the flat vector."""
    end = 0
    for name, view in _named_views(layout, params).items():
        end += view.size
        if index < end:
            return name
    raise IndexError(f"index: expected less than {end}, got {index}.")
