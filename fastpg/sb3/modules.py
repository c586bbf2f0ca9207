"""The networks and the optimiser of a policy under stable-baselines3's names: to be looked at, called and copied.

Everything here shows the parameters of the moment at which it was fetched, as read-only arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import ActorCriticLayout, MLPLayout

Array = NDArray[Any]


class Device(str):
    """A device by its name."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """Its name."""
        return str(self)


class Tensor(np.ndarray[Any, Any]):
    """An array with the few methods of a tensor that scripts call to get an array or a number out of it."""

    def detach(self) -> Tensor:
        """Itself."""
        return self

    def cpu(self) -> Tensor:
        """Itself."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Itself: there is one device, and types stay."""
        del args, kwargs
        return self

    def clone(self) -> Tensor:
        """A copy."""
        return as_tensor(np.array(self))

    def numel(self) -> int:
        """Number of elements."""
        return self.size

    def numpy(self) -> Array:
        """As a plain array."""
        return self.view(np.ndarray)


def as_tensor(array: Array) -> Tensor:
    """``array`` with the methods of ``Tensor``; no copy."""
    return array.view(Tensor)


class Linear:
    """One layer: ``x @ weight.T + bias``.

    Attributes:
        weight: (outputs, inputs).
        bias: (outputs,).
    """

    def __init__(self, weight: Array, bias: Array) -> None:
        self.weight, self.bias = as_tensor(weight), as_tensor(bias)
        self.out_features, self.in_features = weight.shape

    def __call__(self, inputs: Any) -> Tensor:
        """(B, outputs) for (B, inputs)."""
        return as_tensor(np.asarray(inputs) @ self.weight.numpy().T + self.bias.numpy())

    def __repr__(self) -> str:
        """With its sizes."""
        return f"Linear(in_features={self.in_features}, out_features={self.out_features})"


class Tanh:
    """The hyperbolic tangent."""

    def __call__(self, inputs: Any) -> Tensor:
        """Of every element."""
        return as_tensor(np.tanh(np.asarray(inputs)))

    def __repr__(self) -> str:
        """Its name."""
        return f"{type(self).__name__}()"


class ReLU(Tanh):
    """The positive part."""

    def __call__(self, inputs: Any) -> Tensor:
        """Of every element."""
        return as_tensor(np.maximum(np.asarray(inputs), 0))


_ACTIVATIONS: Mapping[str, type[Tanh]] = {"tanh": Tanh, "relu": ReLU}


class Sequential(tuple[Any, ...]):
    """Layers, one applied after the other."""

    __slots__ = ()

    def __call__(self, inputs: Any) -> Tensor:
        """The output (B, ...) of the last layer for ``inputs`` (B, ...)."""
        outputs = as_tensor(np.asarray(inputs))
        for layer in self:
            outputs = layer(outputs)
        return outputs

    def __repr__(self) -> str:
        """With its layers."""
        return f"Sequential{super().__repr__()}"


class MlpExtractor:
    """The hidden layers of both networks.

    Attributes:
        policy_net: of the policy.
        value_net: of the value function.
        latent_dim_pi: outputs of ``policy_net``.
        latent_dim_vf: outputs of ``value_net``.
    """

    def __init__(self, policy_net: Sequential, value_net: Sequential, latent_dim_pi: int, latent_dim_vf: int) -> None:
        self.policy_net, self.value_net = policy_net, value_net
        self.latent_dim_pi, self.latent_dim_vf = latent_dim_pi, latent_dim_vf

    def __call__(self, features: Any) -> tuple[Tensor, Tensor]:
        """(outputs for the policy, outputs for the value) of encoded observations (B, O)."""
        return self.policy_net(features), self.value_net(features)

    def forward_actor(self, features: Any) -> Tensor:
        """The outputs for the policy."""
        return self.policy_net(features)

    def forward_critic(self, features: Any) -> Tensor:
        """The outputs for the value."""
        return self.value_net(features)

    def __repr__(self) -> str:
        """With its layers."""
        return f"MlpExtractor(policy_net={self.policy_net}, value_net={self.value_net})"


def networks(layout: ActorCriticLayout, flat: Array) -> tuple[MlpExtractor, Linear, Linear]:
    """(hidden layers, ``action_net``, ``value_net``) of the parameters ``flat`` (P,)."""
    policy, _, value = layout.split(flat)
    policy_net, action_net = _layers(layout.policy, policy)
    value_net, last = _layers(layout.value, value)
    return MlpExtractor(policy_net, value_net, layout.policy.sizes[-2], layout.value.sizes[-2]), action_net, last


def _layers(layout: MLPLayout, flat: Array) -> tuple[Sequential, Linear]:
    """(hidden layers with their activations, last layer) of one network."""
    *hidden, last = (Linear(weight.T, bias) for weight, bias in layout.views(flat))
    activation = _ACTIVATIONS[layout.activation]()
    return Sequential(part for layer in hidden for part in (layer, activation)), last


class Optimizer:
    """The optimiser of a model, to be looked at: its step size and its moments.

    Args:
        get_state: returns it in the form of PyTorch's ``state_dict``.
        set_state: takes such a dict.
    """

    def __init__(self, get_state: Callable[[], dict[str, Any]], set_state: Callable[[Mapping[str, Any]], None]) -> None:
        self._get_state, self._set_state = get_state, set_state

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """One group with the step size ``lr`` as it is now; set ``model.learning_rate`` to change it."""
        return list(self._get_state()["param_groups"])

    def state_dict(self) -> dict[str, Any]:
        """Moments by number of the parameter, and ``param_groups``."""
        return self._get_state()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the moments of a ``state_dict``.

        Raises:
            ConfigError: they do not fit.
        """
        self._set_state(state_dict)
