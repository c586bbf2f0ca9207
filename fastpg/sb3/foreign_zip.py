"""Models that stable-baselines3 itself has saved: their numbers, without unpickling anything.

Such a file is a zip archive: ``data`` is JSON in which objects are pickles beside a readable description,
``policy.pth`` and ``policy.optimizer.pth`` hold tensors. Of ``data`` only what JSON itself says is taken, and the text
of descriptions; sizes of layers come from the tensors, spaces from the environment where one is given.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import CheckpointError
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.policies.architecture import actor_critic_layout
from fastpg.rollout.spaces import ActionDecoder, ObservationEncoder
from fastpg.sb3 import parameters
from fastpg.sb3.torch_file import Archive, read_torch_file
from fastpg.training.persistence import named_parameters
from fastpg.training.space_json import space_to_json
from fastpg.updates.state import OptimizerState

Array = NDArray[Any]

_MAGIC = b"PK\x03\x04"
#: Entries of ``data`` that only one algorithm has.
_SIGNS = {"TRPO": "cg_max_steps", "PPO": "clip_range", "A2C": "use_rms_prop"}
#: Of what the described spaces ask for and what the file holds.
_MAX_RATIO = 1000
_MAX_VALUES = 10**6  # of a Box without bounds in the file
_PLAIN = (bool, int, float, str, type(None))
_NOT_TAKEN = ("policy_kwargs", "env_kwargs", "tensorboard_log", "device", "normalize", "preset")
_CONSTANT = re.compile(r"ConstantSchedule\(val=([-+.\deE]+)\)")
_ACTIVATION = re.compile(r"\.(\w+)'>")
_NUMBER = re.compile(r"-?inf|[-+]?\d[-+.\deE]*")


def is_zip(data: bytes) -> bool:
    """Whether ``data`` begins like a zip archive."""
    return data.startswith(_MAGIC)


def read_parameters(data: bytes, name: str) -> dict[str, Any]:
    """``policy`` and ``policy.optimizer`` with arrays in place of tensors.

    Raises:
        CheckpointError: the file is damaged or no model of stable-baselines3.
    """
    archive = Archive(data, name)
    members = ("policy", "policy.optimizer")
    return {key: read_torch_file(archive.read(f"{key}.pth"), f"{name}, {key}.pth") for key in members}


def read_model(
    data: bytes, name: str, config_class: type[OnPolicyConfig], env: Any
) -> tuple[dict[str, Array], dict[str, Any]]:
    """(arrays, JSON values) as ``OnPolicyModel.state_dict`` has them.

    Args:
        data: the file.
        name: for messages.
        config_class: of the algorithm that the file shall hold.
        env: a vector environment with ``single_observation_space`` and ``single_action_space``, or None: then the
            spaces are read from the file as far as it says them in words.

    Raises:
        CheckpointError: the file is damaged, of another algorithm, or does not fit ``env``.
    """
    described = _described(Archive(data, name))
    _check_algorithm(described, name, config_class.algorithm)
    given = read_parameters(data, name)
    named = given["policy"]
    if not isinstance(named, Mapping) or not all(isinstance(array, np.ndarray) for array in named.values()):
        raise CheckpointError(f"{name}: expected tensors by name in policy.pth, got something else.")
    observation_space, action_space = _spaces(described, name, env)
    activation = _activation(described, name)
    net_arch = {"pi": _widths(named, "policy_net"), "vf": _widths(named, "value_net")}
    layout = actor_critic_layout(
        ObservationEncoder(observation_space).size,
        ActionDecoder(action_space).head,
        net_arch=net_arch,
        activation=activation,  # type: ignore[arg-type]  # checked
    )
    _check_size(layout, named, name)
    config = _arguments(described, config_class) | {
        "policy_kwargs": {"net_arch": net_arch, "activation_fn": activation}
    }
    meta = {
        "algorithm": config_class.algorithm,
        "config": config,
        "observation_space": space_to_json(observation_space),
        "action_space": space_to_json(action_space),
        "env_id": None,
        "collector": None,
        "scalars": {},
        "is_seed_given": described.get("seed") is not None,
    }
    return _state(layout, given, described, name, meta)


def _check_size(layout: ActorCriticLayout, named: Mapping[str, Array], name: str) -> None:
    """Raise CheckpointError before memory is taken for a layout that is far larger than what the file holds."""
    n_given = sum(array.size for array in named.values())
    if layout.n_params > _MAX_RATIO * (n_given + 1):
        raise CheckpointError(
            f"{name} does not fit: expected {layout.n_params} parameters for its spaces and layers, got {n_given}."
        )


def _state(
    layout: ActorCriticLayout, given: Mapping[str, Any], described: Mapping[str, Any], name: str, meta: dict[str, Any]
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays, and ``meta`` with the counters."""
    try:
        flat = parameters.flat_from(layout, given["policy"], np.zeros(layout.n_params, np.float32), exact_match=True)
        start = OptimizerState.start(flat)
        first, second, step = parameters.optimizer_from(layout, start, given["policy.optimizer"])
    except (ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{name} does not fit: {error}") from error
    n_updates = _count(described, "_n_updates")
    progress = {
        "num_timesteps": _count(described, "num_timesteps"),
        "total_timesteps": _count(described, "_total_timesteps"),
        "n_updates": n_updates,
        "update_index": n_updates,
        "adam_step": step,
    }
    arrays = named_parameters(layout, flat) | {"adam/first_moment": first, "adam/second_moment": second}
    return arrays, meta | {"progress": progress}


def _described(archive: Archive) -> dict[str, Any]:
    try:
        described = json.loads(archive.read("data"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{archive.name} is damaged: its data is not valid JSON ({error}).") from error
    if not isinstance(described, dict):
        raise CheckpointError(f"{archive.name} is damaged: its data is not a JSON object.")
    return described


def _check_algorithm(described: Mapping[str, Any], name: str, algorithm: str) -> None:
    found = next((key for key, sign in _SIGNS.items() if sign in described), "A2C")
    if found != algorithm:
        raise CheckpointError(
            f"{name}: expected a model of {algorithm}, got one of {found}. Fix: fastpg.sb3.{found}.load."
        )


def _spaces(described: Mapping[str, Any], name: str, env: Any) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    if env is not None:
        return env.single_observation_space, env.single_action_space
    try:
        return _space(described["observation_space"], needs_bounds=False), _space(
            described["action_space"], needs_bounds=True
        )
    except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
        raise CheckpointError(
            f"{name} does not say its spaces in words ({error}). Fix: load it with env=..., whose spaces are taken."
        ) from error


def _space(described: Mapping[str, Any], *, needs_bounds: bool) -> spaces.Space[Any]:
    """The space of a readable description; ``needs_bounds`` where those of a Box matter."""
    kind = _ACTIVATION.findall(described[":type:"])[-1]
    if kind == "Discrete":
        return spaces.Discrete(int(described["n"]), start=int(described.get("start", 0)))
    if kind == "MultiBinary":
        return spaces.MultiBinary(int(described["n"]))
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete([int(n) for n in _NUMBER.findall(described["nvec"])])
    if kind != "Box":
        raise ValueError(f"a {kind} space")
    shape, dtype = tuple(described["_shape"]), np.dtype(described["dtype"])
    low, high = (
        _bound(described[key], shape, needs_bounds, side) for key, side in (("low", -np.inf), ("high", np.inf))
    )
    return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)


def _bound(text: str, shape: tuple[int, ...], is_needed: bool, otherwise: float) -> Array:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if "..." not in text and len(numbers) == int(np.prod(shape)):
        return np.array(numbers).reshape(shape)
    if is_needed or math.prod(shape) > _MAX_VALUES:
        raise ValueError(f"bounds {text:.40} of shape {shape}")
    return np.full(shape, otherwise)


def _activation(described: Mapping[str, Any], name: str) -> str:
    """``tanh`` or ``relu``, from the text of the class."""
    text = (described.get("policy_kwargs") or {}).get("activation_fn")
    if text is None:
        return "tanh"
    found = _ACTIVATION.findall(str(text))
    activation = found[-1].lower() if found else str(text).lower()
    if activation not in ("tanh", "relu"):
        raise CheckpointError(f"{name}: expected the activation Tanh or ReLU, got {text!r}.")
    return activation


def _widths(named: Mapping[str, Array], net: str) -> list[int]:
    """Hidden layer sizes of the network ``net``."""
    layers: list[int] = []
    while f"mlp_extractor.{net}.{2 * len(layers)}.bias" in named:
        layers.append(len(named[f"mlp_extractor.{net}.{2 * len(layers)}.bias"]))
    return layers


def _arguments(described: Mapping[str, Any], config_class: type[OnPolicyConfig]) -> dict[str, Any]:
    """The arguments that are plain values, and schedules as far as they can be read."""
    known = {name: described[name] for name in config_class.fields() if name in described and name not in _NOT_TAKEN}
    values: dict[str, Any] = {name: value for name, value in known.items() if isinstance(value, _PLAIN)}
    for name in known.keys() - values.keys():
        text = (
            str(known[name].get("value_schedule", known[name].get(":type:"))) if isinstance(known[name], dict) else ""
        )
        constant = _CONSTANT.search(text)
        values[name] = float(constant[1]) if constant else {"__python__": text}
    return values


def _count(described: Mapping[str, Any], name: str) -> int:
    value = described.get(name, 0)
    return value if type(value) is int and value >= 0 else 0
