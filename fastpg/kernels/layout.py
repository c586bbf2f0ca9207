"""How the parameters of an actor-critic lie in one flat vector.

These descriptions are all that a kernel knows of a policy: sizes, activation and the kind of head. They hold no
arrays. The flat vector theta is dense: the policy network, then ``log_std`` (Gaussian head only), then the value
network; a network is ``W0, b0, W1, b1, ...`` with every ``W`` stored row-major as (inputs, outputs).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Activation = Literal["tanh", "relu"]
HeadKind = Literal["categorical", "bernoulli", "gaussian"]
FloatT = TypeVar("FloatT", np.float32, np.float64)


@dataclass(frozen=True)
class MLPLayout:
    """A multi-layer perceptron: ``activation`` after every layer but the last.

    Attributes:
        sizes: (inputs, hidden ..., outputs), each >= 1; at least two entries.
        activation: of the hidden layers.
    """

    sizes: tuple[int, ...]
    activation: Activation

    @cached_property
    def n_params(self) -> int:
        """Number of parameters, weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))

    def views(self, params: NDArray[FloatT]) -> list[tuple[NDArray[FloatT], NDArray[FloatT]]]:
        """Per layer the views (weight (in, out), bias (out,)) into the flat ``params`` (P,)."""
        layers = []
        start = 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            bias_at = start + n_in * n_out
            layers.append((params[start:bias_at].reshape(n_in, n_out), params[bias_at : bias_at + n_out]))
            start = bias_at + n_out
        return layers


@dataclass(frozen=True)
class HeadLayout:
    """The action distribution on top of the policy network.

    Attributes:
        kind: ``categorical`` (one distribution per action dimension: Discrete, MultiDiscrete), ``bernoulli``
            (MultiBinary) or ``gaussian`` (diagonal, with a state-independent log standard deviation).
        sizes: head inputs per action dimension (D entries): the number of choices for ``categorical``, else 1.
    """

    kind: HeadKind
    sizes: tuple[int, ...]

    @property
    def n_inputs(self) -> int:
        """K, the number of logits or means per sample."""
        return sum(self.sizes)

    @property
    def n_actions(self) -> int:
        """D, the number of action dimensions."""
        return len(self.sizes)

    @property
    def n_log_std(self) -> int:
        """Number of log standard deviations: D for ``gaussian``, else 0."""
        return len(self.sizes) if self.kind == "gaussian" else 0

    def action_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Type of an action array beside parameters of type ``dtype``: the same for ``gaussian``, else int32."""
        return dtype if self.kind == "gaussian" else np.dtype(np.int32)


@dataclass(frozen=True)
class PolicyLayout:
    """A policy alone: network and head; its flat vector is the network, then ``log_std``.

    Attributes:
        policy: from O observations to ``head.n_inputs`` outputs.
        head: the action distribution.
    """

    policy: MLPLayout
    head: HeadLayout

    @cached_property
    def n_params(self) -> int:
        """P, the length of the flat vector."""
        return self.policy.n_params + self.head.n_log_std

    @property
    def observation_size(self) -> int:
        """O, the number of inputs of the network."""
        return self.policy.sizes[0]

    def split(self, params: NDArray[FloatT]) -> tuple[NDArray[FloatT], NDArray[FloatT]]:
        """Views (network, log_std) into the flat ``params`` (P,)."""
        return params[: self.policy.n_params], params[self.policy.n_params :]


@dataclass(frozen=True)
class ActorCriticLayout:
    """Separate policy and value networks in one flat vector: policy, ``log_std``, value.

    Attributes:
        policy: from O observations to ``head.n_inputs`` outputs.
        value: from O observations to one output.
        head: the action distribution.
    """

    policy: MLPLayout
    value: MLPLayout
    head: HeadLayout

    @cached_property
    def n_params(self) -> int:
        """P, the length of the flat vector."""
        return self.policy.n_params + self.head.n_log_std + self.value.n_params

    @property
    def observation_size(self) -> int:
        """O, the number of inputs of both networks."""
        return self.policy.sizes[0]

    @cached_property
    def actor(self) -> PolicyLayout:
        """The policy alone; its vector is the first ``actor.n_params`` entries of this one's, the value's the rest."""
        return PolicyLayout(self.policy, self.head)

    def split(self, params: NDArray[FloatT]) -> tuple[NDArray[FloatT], NDArray[FloatT], NDArray[FloatT]]:
        """Views (policy, log_std, value) into the flat ``params`` (P,)."""
        log_std_at = self.policy.n_params
        value_at = log_std_at + self.head.n_log_std
        return params[:log_std_at], params[log_std_at:value_at], params[value_at:]
