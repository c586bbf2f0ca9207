"""Gymnasium spaces to and from the flat arrays that the kernels work on.

Observations become rows of O floats: Box flattened, Discrete one-hot, MultiDiscrete concatenated one-hots, MultiBinary
0 and 1. Actions come as the kernels' (N, D) arrays and become what ``env.step`` takes; Box actions are clipped here,
for the environment alone. Everything else is a SpaceError at construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from fastpg.errors import EnvDataError, FastPGError, NumericsError, SpaceError, warn_user
from fastpg.kernels.layout import HeadLayout

Array = NDArray[Any]

REAL_KINDS = "fiub"  # of NumPy dtypes: float, signed, unsigned, bool
MAX_IMAGE_SIZE = 4096  # values; beyond this an MLP on raw pixels is a mistake
_IMAGE_NDIM = 3
_MAX_SCALARS = 1024


class ObservationEncoder:
    """Encodes batches of observations of ``space`` as float rows.

    Args:
        space: of a single environment: Box (any shape, any real dtype), Discrete, MultiDiscrete or MultiBinary.

    Attributes:
        space: the space.
        size: O, the length of a row.
        is_plain: a row is the observation itself, but for its dtype.

    Raises:
        SpaceError: an unsupported or empty space, or an image of more than 4096 values.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        self._shape: tuple[int, ...] = tuple(getattr(space, "shape", None) or ())
        self._scale = 1.0
        self._choices: Array = np.empty(0, np.int64)
        if isinstance(space, spaces.Box):
            self.size = math.prod(self._shape)
            self._set_image_scale(space)
        elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            self._set_choices(space)
        elif isinstance(space, spaces.MultiBinary):
            self.size = math.prod(self._shape)
        else:
            raise SpaceError(_unsupported("observation", space))
        if self.size == 0:
            raise SpaceError(f"observation space {space} is empty: expected at least one value. Fix: add a value.")
        self._kinds = "iub" if self._choices.size else REAL_KINDS
        self.is_plain = len(self._shape) == 1 and not self._choices.size and self._scale == 1.0
        self._finite = np.empty((0, self.size), np.bool_)
        self._all_finite = b""

    def _set_image_scale(self, space: spaces.Box) -> None:
        if space.dtype != np.uint8 or len(self._shape) != _IMAGE_NDIM:
            return
        if self.size > MAX_IMAGE_SIZE:
            raise SpaceError(
                f"observation space {space} is an image of {self.size} values: expected at most {MAX_IMAGE_SIZE}, as "
                "fastpg trains MLP policies only. Fix: wrap each environment so that it observes features or a small "
                "image (gymnasium.wrappers.ResizeObservation), then gymnasium.wrappers.FlattenObservation."
            )
        warn_user(
            f"observation space {space} is an image: its {self.size} values are divided by 255 and given to an MLP."
        )
        self._scale = 1.0 / 255.0

    def _set_choices(self, space: spaces.Discrete | spaces.MultiDiscrete) -> None:
        n_choices = np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec, np.int64).reshape(-1)
        self._choices = n_choices
        self._start = _start_of(space)
        self._one_hot_at = np.concatenate(([0], np.cumsum(n_choices)[:-1])).astype(np.int64)
        self.size = int(n_choices.sum())

    def encode(self, batch: Any, out: Array, *, envs: Sequence[int] = ()) -> None:
        """Write ``batch`` as rows of ``out``.

        Args:
            batch: (N, *space.shape), any strides and byte order; bool, integer or float (integer for Discrete and
                MultiDiscrete).
            out: (N, O) float, C-contiguous; overwritten.
            envs: the environments that the rows come from, for messages; empty for 0..N-1.

        Raises:
            EnvDataError: wrong shape, wrong type, a value that is not finite in the dtype of ``out``, or a choice
                out of range; names the environment and the element.
        """
        if batch.__class__ is np.ndarray and self.is_plain and batch.dtype is out.dtype and batch.shape == out.shape:
            out[...] = batch  # in most environments; what follows does the same more slowly
            self._check_finite(batch, out, envs)
            return
        n_envs = len(out)
        if (
            batch.__class__ is not np.ndarray
            or batch.shape != (n_envs, *self._shape)
            or batch.dtype.kind not in self._kinds
        ):
            batch = self._converted(batch, n_envs)
        if self._choices.size:
            self._write_one_hot(batch, out, envs)
            return
        if batch.dtype == out.dtype:
            out[...] = batch.reshape(out.shape)
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # an overflow is reported below, with its place
                out[...] = batch.reshape(out.shape)
        if self._scale != 1.0:
            out *= self._scale
        self._check_finite(batch, out, envs)

    def _converted(self, batch: Any, n_envs: int) -> Array:
        expected = (n_envs, *self._shape)
        array = as_real_array(batch)
        if array is None or array.dtype.kind not in self._kinds:
            kind = "integers" if self._choices.size else "real numbers"
            given = type(batch).__name__ if array is None else f"dtype {array.dtype}"
            raise EnvDataError(f"observation: expected an array of {kind} of shape {expected}, got {given}.")
        if array.shape != expected:
            raise EnvDataError(
                f"observation: expected shape {expected}, got {array.shape}. Fix: return observations of the declared "
                f"space {self.space}."
            )
        return array

    def _check_finite(self, batch: Array, out: Array, envs: Sequence[int]) -> None:
        if self._finite.shape != out.shape:
            self._finite = np.empty(out.shape, np.bool_)
            self._all_finite = b"\x01" * out.size
        np.isfinite(out, self._finite)
        if self._finite.tobytes() == self._all_finite:
            return
        row, index = divmod(int(np.flatnonzero(~self._finite.reshape(-1))[0]), self.size)
        given = batch.reshape(out.shape)[row, index]
        where = _env_name(row, len(out), envs)
        raise EnvDataError(
            f"observation is {given} at index {index}: expected a finite {out.dtype} number — {where}. Fix: look for a "
            "division by zero or a diverging simulation in that environment."
        )

    def _write_one_hot(self, batch: Array, out: Array, envs: Sequence[int]) -> None:
        choices = batch.reshape(len(out), -1).astype(np.int64) - self._start
        if ((choices < 0) | (choices >= self._choices)).any():
            row, index = np.argwhere((choices < 0) | (choices >= self._choices))[0]
            given = batch.reshape(choices.shape)[row, index]
            raise EnvDataError(
                f"observation is {given} at index {index}: expected a value of {self.space} — "
                f"{_env_name(int(row), len(out), envs)}. Fix: return observations of the declared space."
            )
        out[...] = 0.0
        np.put_along_axis(out, choices + self._one_hot_at, 1.0, axis=1)


class ActionDecoder:
    """Turns kernel actions (N, D) into what ``VectorEnv.step`` takes, and says which distribution produces them.

    Args:
        space: of a single environment: Box of floats, Discrete, MultiDiscrete or MultiBinary.

    Attributes:
        space: the space.
        head: the action distribution for the space.

    Raises:
        SpaceError: an unsupported or empty space, or a Box of integers.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        self._shape: tuple[int, ...] = tuple(getattr(space, "shape", None) or ())
        self._decode: Callable[[Array], Array]
        self._scalars: tuple[Any, ...] = ()  # the actions of a small Discrete, which cannot be changed
        size = math.prod(self._shape)
        if isinstance(space, spaces.Discrete):
            self.head = HeadLayout("categorical", (int(space.n),))
            self._dtype, self._start = np.dtype(space.dtype or np.int64), int(space.start)
            if space.n <= _MAX_SCALARS:
                self._scalars = tuple(self._dtype.type(self._start + choice) for choice in range(space.n))
            self._decode = self._decode_discrete
        elif isinstance(space, spaces.MultiDiscrete):
            self.head = HeadLayout("categorical", tuple(int(n) for n in np.asarray(space.nvec).reshape(-1)))
            self._offsets = _start_of(space)
            self._decode = self._decode_multi_discrete
        elif isinstance(space, spaces.MultiBinary):
            self.head = HeadLayout("bernoulli", (1,) * size)
            self._decode = self._decode_multi_binary
        elif isinstance(space, spaces.Box):
            self.head = HeadLayout("gaussian", (1,) * size)
            self._set_bounds(space)
            self._decode = self._decode_box
        else:
            raise SpaceError(_unsupported("action", space))
        if self.head.n_actions == 0:
            raise SpaceError(f"action space {space} is empty: expected at least one dimension. Fix: add a dimension.")

    def _set_bounds(self, space: spaces.Box) -> None:
        if space.dtype is None or space.dtype.kind != "f":
            raise SpaceError(
                f"action space {space} holds {space.dtype}: expected a Box of floats, since real actions would have to "
                "be rounded. Fix: use Discrete or MultiDiscrete, or a float Box that the environment rounds."
            )
        self._low, self._high = space.low.reshape(-1), space.high.reshape(-1)
        if not (np.isfinite(self._low).all() and np.isfinite(self._high).all()):
            warn_user(
                f"action space {space} is not bounded: Gaussian actions reach the environment unclipped where a bound "
                "is infinite."
            )

    def decode(self, actions: Array) -> Array:
        """The actions for the environment.

        Args:
            actions: (N, D) float for Box, else integers from 0.

        Returns:
            (N, *space.shape) of the dtype of the space, in its bounds; a new array.
        """
        return self._decode(actions)

    def decode_one(self, actions: Array) -> Any:
        """``decode(actions)[0]`` for one row of actions (1, D)."""
        return self._scalars[actions.item()] if self._scalars else self._decode(actions)[0]

    def _decode_discrete(self, actions: Array) -> Array:
        decoded = actions[:, 0].astype(self._dtype)
        return decoded + self._dtype.type(self._start) if self._start else decoded

    def _decode_multi_discrete(self, actions: Array) -> Array:
        return (actions + self._offsets).astype(self.space.dtype).reshape(-1, *self._shape)

    def _decode_multi_binary(self, actions: Array) -> Array:
        return actions.astype(self.space.dtype).reshape(-1, *self._shape)

    def _decode_box(self, actions: Array) -> Array:
        clipped = np.minimum(np.maximum(actions, self._low), self._high)
        return clipped.astype(self.space.dtype, copy=False).reshape(-1, *self._shape)


def check_actions(actions: Array, error: FastPGError, where: str) -> None:
    """Raise NumericsError where the environment's ``error`` answers an action (N, D) that is not finite."""
    is_finite = np.isfinite(actions).all(axis=1)
    if not is_finite.all():
        env = int(np.argmin(is_finite))
        raise NumericsError(
            f"action is {actions[env].tolist()}: expected finite numbers — env {env} of {len(actions)}. The policy has "
            f"diverged, and the environment answered: {error} Fix: lower learning_rate or the size of a step. {where}"
        ) from error


def as_real_array(values: Any) -> Array | None:
    """``values`` as an array of real numbers, None where it is not one (ragged, complex, strings, objects)."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        return None
    return array if array.dtype.kind in REAL_KINDS else None


def _env_name(row: int, n_rows: int, envs: Sequence[int]) -> str:
    return f"final observation of env {envs[row]}" if envs else f"env {row} of {n_rows}"


def _start_of(space: spaces.Discrete | spaces.MultiDiscrete) -> Array:
    return np.asarray(getattr(space, "start", 0), np.int64).reshape(-1)


def _unsupported(role: str, space: Any) -> str:
    hint = (
        "wrap each environment in gymnasium.wrappers.FlattenObservation"
        if role == "observation"
        else "wrap each environment so that it takes one of these (gymnasium.ActionWrapper)"
    )
    if not isinstance(space, spaces.Space):
        hint = f"set {role}_space to a gymnasium space"
    box = "Box" if role == "observation" else "Box of floats"
    return (
        f"{role} space {space} is not supported: expected {box}, Discrete, MultiDiscrete or MultiBinary, got "
        f"{type(space).__name__}. Fix: {hint}."
    )
