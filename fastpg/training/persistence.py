"""A model as arrays and JSON, and back: what a checkpoint holds.

Arrays: ``policy/0/weight`` ... ``log_std`` ... ``value/1/bias`` (the parameters), ``adam/first_moment`` and
``adam/second_moment`` (P,), ``memory/*`` (what the update remembers), ``normalizer/*``, and ``running/*`` (the running
episodes) where the environments offer ``get_state`` and ``set_state``. JSON: ``algorithm``, ``config``,
``observation_space``, ``action_space``, ``env_id``, ``progress``, ``scalars`` (what the update adapts), ``collector``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import CheckpointError, ConfigError
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.policies.actor_critic import ActorCritic
from fastpg.rollout.spaces import as_real_array
from fastpg.training.state import TrainingState
from fastpg.updates.schedules import as_number
from fastpg.updates.state import OptimizerState

Array = NDArray[Any]

_MAX_STEP = 2**62  # far beyond any run, and no counter of 64 bits overflows
_MAX_ACTION_STEP = 2**56 - 1  # of the random numbers of actions
_MAX_UPDATES = 2**40 - 1  # fits the counter of the shuffles beside the epoch
_COUNTERS = ("num_timesteps", "total_timesteps", "n_updates", "update_index")


def named_parameters(layout: ActorCriticLayout, params: Array) -> dict[str, Array]:
    """The parameters in the flat ``params`` (P,) by name."""
    return dict(ActorCritic(layout, params).named_parameters())


def flat_parameters(layout: ActorCriticLayout, named: Mapping[str, Any], *, exact_match: bool, old: Array) -> Array:
    """The flat vector (P,) float32 for parameters by name.

    Args:
        layout: of the vector.
        named: arrays by name, each in its own shape.
        exact_match: refuse missing names; otherwise they keep their value in ``old``.
        old: (P,), where missing parameters come from.

    Raises:
        ConfigError: unknown or (with ``exact_match``) missing names, or wrong shapes, all in one message.
    """
    flat = np.array(old, np.float32)
    scratch = ActorCritic(layout, flat)
    expected = {name: view.shape for name, view in scratch.named_parameters().items()}
    problems = [f"{name}: unknown" for name in named if name not in expected]
    if exact_match:
        problems += [f"{name}: missing" for name in expected if name not in named]
    for name, shape in expected.items():
        if name in named and np.shape(named[name]) != shape:
            problems.append(f"{name}: expected shape {shape}, got {np.shape(named[name])}")
    if problems:
        raise ConfigError("Parameters do not fit the policy: " + "; ".join(problems) + ".")
    views = scratch.named_parameters().items()
    return np.concatenate([_as_float32(name, named.get(name, view)).reshape(-1) for name, view in views])


def _as_float32(name: str, values: Any) -> Array:
    """A copy of ``values`` as float32, in which an overflow is infinite; ConfigError unless they are real numbers."""
    array = as_real_array(values)
    if array is None:
        raise ConfigError(f"{name}: expected an array of real numbers, got {type(values).__name__}.")
    with np.errstate(over="ignore"):
        return np.array(array, np.float32)


def pack(state: TrainingState, layout: ActorCriticLayout, normalizer: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """(arrays, JSON values) of ``state``; ``normalizer`` has the statistics of the state, or is None."""
    arrays = named_parameters(layout, state.optimizer.params)
    arrays["adam/first_moment"] = state.optimizer.first_moment
    arrays["adam/second_moment"] = state.optimizer.second_moment
    arrays |= {f"memory/{name}": array for name, array in state.optimizer.memory.items()}
    if normalizer is not None:
        arrays |= {f"normalizer/{name}": array for name, array in normalizer.state_dict().items()}
    progress = {name: getattr(state, name) for name in _COUNTERS} | {"adam_step": state.optimizer.step}
    return arrays, {"progress": progress, "collector": state.collector, "scalars": dict(state.optimizer.scalars)}


def unpack(
    arrays: Mapping[str, Array], meta: Mapping[str, Any], fresh: TrainingState, layout: ActorCriticLayout
) -> TrainingState:
    """The state in (arrays, JSON values), for a model in the state ``fresh``; the normaliser is left out.

    Raises:
        CheckpointError: something is missing or does not fit the model.
    """
    others = ("adam/", "memory/", "normalizer/", "running/")
    named = {name: array for name, array in arrays.items() if not name.startswith(others)}
    try:
        params = flat_parameters(layout, named, exact_match=True, old=fresh.optimizer.params)
        progress = {name: _counter(name, meta["progress"][name]) for name in (*_COUNTERS, "adam_step")}
        _counter("update_index", progress["update_index"], _MAX_UPDATES)
        collector = _collector_state(meta.get("collector"))
        optimizer = _optimizer_state(
            params, arrays["adam/first_moment"], arrays["adam/second_moment"], progress.pop("adam_step")
        ).remember(_scalars(meta.get("scalars", {})), group(arrays, "memory/"))
        optimizer.check_finite("Fix: use an intact checkpoint.")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint does not fit the model: {error}") from error
    return replace(fresh, optimizer=optimizer, collector=collector, **progress)


def _counter(name: str, value: Any, maximum: int = _MAX_STEP) -> int:
    """``value`` if it is an integer in [0, ``maximum``], else ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= maximum:
        raise ConfigError(f"{name}: expected an integer in [0, {maximum}], got {value!r}.")
    return int(value)


def _scalars(values: Any) -> dict[str, float]:
    """``values`` if they are real numbers by name, else ConfigError."""
    if not isinstance(values, Mapping) or not all(as_number(value) is not None for value in values.values()):
        raise ConfigError(f"scalars: expected numbers by name, got {values!r}.")
    return {name: float(value) for name, value in values.items()}


def _collector_state(state: Any) -> dict[str, Any] | None:
    """A collector's ``state_dict`` as JSON holds it, checked; KeyError, TypeError or ValueError for anything else."""
    if state is None:
        return None
    episodes = state["episodes"]
    return {
        "action_step": _counter("action_step", state["action_step"], _MAX_ACTION_STEP),
        "n_rollouts": _counter("n_rollouts", state["n_rollouts"]),
        "episodes": {
            "n_episodes": _counter("n_episodes", episodes["n_episodes"]),
            "returns": [float(value) for value in episodes["returns"]],
            "lengths": [_counter("lengths", value) for value in episodes["lengths"]],
            "successes": [bool(value) for value in episodes["successes"]],
        },
    }


def replaced_parameters(
    layout: ActorCriticLayout, old: OptimizerState, given: Mapping[str, Mapping[str, Any]], *, exact_match: bool
) -> OptimizerState:
    """``old`` with the entries of ``given``; see ``OnPolicyModel.set_parameters``."""
    optimizer = {"first_moment": old.first_moment, "second_moment": old.second_moment, "step": old.step}
    entries = {"policy", "policy.optimizer"}
    if not isinstance(given, Mapping) or not all(isinstance(entry, Mapping) for entry in given.values()):
        raise ConfigError(f"Parameters: expected a dict of the dicts {sorted(entries)}, got {type(given).__name__}.")
    if not set(given) <= entries or (exact_match and len(given) < len(entries)):
        raise ConfigError(f"Parameters: expected the entries {sorted(entries)}, got {sorted(map(str, given))}.")
    given_optimizer = given.get("policy.optimizer", {})
    if not set(given_optimizer) <= set(optimizer) or (exact_match and len(given_optimizer) < len(optimizer)):
        raise ConfigError(
            f"policy.optimizer: expected the entries {sorted(optimizer)}, got {sorted(map(str, given_optimizer))}."
        )
    params = flat_parameters(layout, given.get("policy", {}), exact_match=exact_match, old=old.params)
    return _optimizer_state(params, **{**optimizer, **given_optimizer})


def _optimizer_state(params: Array, first_moment: Any, second_moment: Any, step: Any) -> OptimizerState:
    """Copies as a checked state.

    Raises:
        ConfigError: moments of another shape than ``params`` (P,) or negative squares, or no step number.
        NumericsError: something is not finite.
    """
    moments = [_as_float32(*pair) for pair in (("first_moment", first_moment), ("second_moment", second_moment))]
    if any(moment.shape != params.shape for moment in moments) or (moments[1] < 0).any():
        raise ConfigError(
            f"Adam: expected two moments of shape {params.shape}, the second >= 0, got shapes "
            f"{[moment.shape for moment in moments]}, the smallest second {moments[1].min(initial=0.0):g}."
        )
    state = OptimizerState(
        params=params, first_moment=moments[0], second_moment=moments[1], step=_counter("step", step)
    )
    state.check_finite("Fix: give finite parameters and moments.")
    return state


def group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
