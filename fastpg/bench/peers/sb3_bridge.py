"""stable-baselines3's PPO seen through fastpg's arrays: flat parameters in and out, a rollout put into its buffer.

Needs stable-baselines3 and torch. Used by the script that writes the references and by the benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from fastpg.kernels.layout import MLPLayout

_ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


class SpacesOnly(gymnasium.Env[Any, Any]):
    """An environment that only has spaces; it is never stepped."""

    def __init__(self, observation_size: int, action_space: spaces.Space[Any]) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.action_space = action_space


def networks_of(layout: MLPLayout) -> dict[str, Any]:
    """``policy_kwargs`` of separate networks with the hidden layers and the activation of ``layout``."""
    return {"net_arch": list(layout.sizes[1:-1]), "activation_fn": _ACTIVATIONS[layout.activation]}


def parameters_in_order(policy: Any) -> list[tuple[torch.nn.Parameter, bool]]:
    """(parameter, is it a weight to be transposed) in fastpg's order: policy network, log_std, value network."""
    extractor = policy.mlp_extractor
    policy_layers = [m for m in extractor.policy_net if hasattr(m, "weight")] + [policy.action_net]
    value_layers = [m for m in extractor.value_net if hasattr(m, "weight")] + [policy.value_net]
    parameters = [pair for layer in policy_layers for pair in ((layer.weight, True), (layer.bias, False))]
    parameters += [(policy.log_std, False)] if hasattr(policy, "log_std") else []
    return parameters + [pair for layer in value_layers for pair in ((layer.weight, True), (layer.bias, False))]


def flat_parameters(policy: Any, of: Callable[[Any], Any] = lambda p: p.detach().numpy()) -> np.ndarray:
    """``of(parameter)`` of all parameters as one float64 vector; ``of`` may also fetch a gradient or a moment."""
    parts = [of(p).T if transposed else of(p) for p, transposed in parameters_in_order(policy)]
    return np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts])


def set_flat_parameters(policy: Any, flat: np.ndarray) -> None:
    """Write a flat vector of fastpg's into the policy."""
    start = 0
    with torch.no_grad():
        for parameter, transposed in parameters_in_order(policy):
            part = torch.from_numpy(np.array(flat[start : start + parameter.numel()]))
            parameter.copy_(part.reshape(parameter.T.shape).T if transposed else part)
            start += parameter.numel()


def fill_buffer(model: PPO, rollout: dict[str, np.ndarray], dtype: type) -> None:
    """Put B samples (fields of a fastpg ``Batch``) into the rollout buffer of a model with one environment."""
    buffer = model.rollout_buffer
    buffer.reset()
    names = {"old_log_probs": "log_probs", "old_values": "values"}
    for name, array in rollout.items():
        shape = (len(array), 1, *array.shape[1:])
        setattr(buffer, names.get(name, name), array.astype(dtype).reshape(shape))
    buffer.full = True
