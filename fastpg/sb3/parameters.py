"""Parameters under stable-baselines3's names: weights are (outputs, inputs) there and (inputs, outputs) in the kernels.

``mlp_extractor.policy_net.0.weight`` ... ``action_net.bias``, ``log_std``, ``mlp_extractor.value_net.0.weight`` ...
``value_net.bias``. Hidden layers have even numbers, as each is followed by its activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import ConfigError, NumericsError
from fastpg.kernels.layout import ActorCriticLayout, MLPLayout
from fastpg.updates.state import OptimizerState

Array = NDArray[Any]


def named_views(layout: ActorCriticLayout, flat: Array) -> dict[str, Array]:
    """Views into ``flat`` (P,) by name, in the order of stable-baselines3's ``state_dict``."""
    policy, log_std, value = layout.split(flat)
    policy_hidden, action_net = _layers(layout.policy, policy, "mlp_extractor.policy_net", "action_net")
    value_hidden, value_net = _layers(layout.value, value, "mlp_extractor.value_net", "value_net")
    own = {"log_std": log_std} if log_std.size else {}
    return {**own, **policy_hidden, **value_hidden, **action_net, **value_net}


def _layers(layout: MLPLayout, flat: Array, hidden: str, last: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """(hidden layers, last layer) of one network."""
    *before, (weight, bias) = layout.views(flat)
    named: dict[str, Array] = {}
    for index, (hidden_weight, hidden_bias) in enumerate(before):
        named[f"{hidden}.{2 * index}.weight"] = hidden_weight.T
        named[f"{hidden}.{2 * index}.bias"] = hidden_bias
    return named, {f"{last}.weight": weight.T, f"{last}.bias": bias}


def state_dict(layout: ActorCriticLayout, flat: Array) -> dict[str, Array]:
    """Copies of the parameters in ``flat`` (P,) by name, C-contiguous."""
    return {name: np.array(view, order="C") for name, view in named_views(layout, flat).items()}


def as_array(value: Any) -> Array:
    """``value`` as an array; a torch tensor is detached."""
    detach = getattr(value, "detach", None)
    return np.asarray(value if detach is None else detach().cpu().numpy())


def flat_from(layout: ActorCriticLayout, named: Mapping[str, Any], old: Array, *, exact_match: bool) -> Array:
    """The flat vector (P,) float32 for parameters by name.

    Args:
        layout: of the vector.
        named: arrays or tensors by name.
        old: (P,), where parameters that are missing come from.
        exact_match: refuse missing and unknown names; otherwise they are passed over.

    Raises:
        ConfigError: names or shapes do not fit, all in one message.
        NumericsError: a number is not finite.
    """
    flat = np.array(old, np.float32)
    views = named_views(layout, flat)
    problems = []
    if exact_match:
        problems += [f"{name}: unknown" for name in named if name not in views]
        problems += [f"{name}: missing" for name in views if name not in named]
    for name, view in views.items():
        if name not in named:
            continue
        array = as_array(named[name])
        if array.shape != view.shape or array.dtype.kind not in "fiu":
            problems.append(f"{name}: expected numbers of shape {view.shape}, got {array.dtype} of {array.shape}")
        else:
            view[...] = array
    if problems:
        raise ConfigError(f"parameters do not fit the policy: {'; '.join(problems)}.")
    if not np.isfinite(flat).all():
        bad = [name for name, view in views.items() if not np.isfinite(view).all()]
        raise NumericsError(f"parameters: expected finite numbers, got NaN or infinity in {bad}. Nothing has changed.")
    return flat


#: Names of the moments in the state of PyTorch's optimisers.
_FIRST, _SECOND = ("exp_avg",), ("exp_avg_sq", "square_avg")


def optimizer_dict(
    layout: ActorCriticLayout, state: OptimizerState, *, rate: float, is_rms_prop: bool
) -> dict[str, Any]:
    """The moments in the form of a PyTorch optimiser's ``state_dict``, with arrays in place of tensors."""
    first, second = named_views(layout, state.first_moment), named_views(layout, state.second_moment)
    entries: dict[int, dict[str, Any]] = {}
    for index, name in enumerate(first):
        moments = {"exp_avg": np.array(first[name]), "exp_avg_sq": np.array(second[name])}
        entries[index] = {"step": float(state.step), **moments}
        if is_rms_prop:
            entries[index] = {"step": float(state.step), "square_avg": np.array(second[name])}
    return {
        "state": entries if state.step else {},
        "param_groups": [{"lr": rate, "params": list(range(len(first)))}],
    }


def optimizer_from(
    layout: ActorCriticLayout, old: OptimizerState, given: Mapping[str, Any]
) -> tuple[Array, Array, int]:
    """(first moment, second moment, step) from the form of ``optimizer_dict``; parameters without an entry have 0.

    Raises:
        ConfigError: another form, or shapes that do not fit.
    """
    entries = given.get("state") if isinstance(given, Mapping) else None
    if not isinstance(entries, Mapping):
        raise ConfigError(
            f"policy.optimizer: expected the state_dict of an optimiser with the entry 'state', got {given!r:.200}."
        )
    first, second = np.zeros_like(old.params), np.zeros_like(old.params)
    steps = [0]
    names = list(named_views(layout, first))
    for index, entry in entries.items():
        if not isinstance(index, int) or not 0 <= index < len(names) or not isinstance(entry, Mapping):
            raise ConfigError(f"policy.optimizer: expected entries 0 to {len(names) - 1}, got {index!r}.")
        steps.append(int(as_array(entry.get("step", 0))))
        for flat, keys in ((first, _FIRST), (second, _SECOND)):
            found = [entry[key] for key in keys if key in entry]
            if found:
                _write(named_views(layout, flat)[names[index]], found[0], names[index])
    if not (np.isfinite(first).all() and np.isfinite(second).all() and (second >= 0.0).all()):
        raise ConfigError(
            "policy.optimizer: expected finite moments, the second >= 0, got others. Nothing has changed."
        )
    return first, second, max(steps)


def _write(view: Array, value: Any, name: str) -> None:
    array = as_array(value)
    if array.shape != view.shape:
        raise ConfigError(f"policy.optimizer, {name}: expected shape {view.shape}, got {array.shape}.")
    view[...] = array
