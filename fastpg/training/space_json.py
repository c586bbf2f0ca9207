"""Gymnasium spaces as JSON, so that a saved model can act without its environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from fastpg.errors import CheckpointError, SpaceError


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """``space`` as JSON values; the bounds of a Box are text, which keeps every bit and infinity.

    Raises:
        SpaceError: not Box, Discrete, MultiDiscrete or MultiBinary.
    """
    if isinstance(space, spaces.Box):
        bounds = {"low": _bound(space.low), "high": _bound(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        start = np.asarray(getattr(space, "start", np.zeros_like(space.nvec)))
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    raise SpaceError(f"space: expected Box, Discrete, MultiDiscrete or MultiBinary, got {space}.")


def space_from_json(encoded: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that ``space_to_json`` encoded.

    Raises:
        CheckpointError: ``encoded`` describes no space.
    """
    try:
        kind = encoded["type"]
        if kind == "Box":
            dtype, shape = np.dtype(encoded["dtype"]), tuple(encoded["shape"])
            low, high = (_array(encoded[name], shape, dtype) for name in ("low", "high"))
            return spaces.Box(low, high, shape, dtype.type)
        if kind == "Discrete":
            return spaces.Discrete(encoded["n"], start=encoded["start"])
        if kind == "MultiDiscrete":
            return spaces.MultiDiscrete(np.asarray(encoded["nvec"]), start=np.asarray(encoded["start"]))
        if kind == "MultiBinary":
            return spaces.MultiBinary(encoded["n"])
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise CheckpointError(f"The file does not describe a space: got {encoded!r} ({error}).") from error
    raise CheckpointError(f"The file describes an unknown space: got {encoded!r}.")


def _bound(values: NDArray[Any]) -> str | list[str]:
    """One text if all ``values`` are equal, else one per value in C order."""
    texts = [repr(float(value) if values.dtype.kind == "f" else int(value)) for value in values.reshape(-1)]
    return texts[0] if len(set(texts)) == 1 else texts


def _array(texts: str | list[str], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array that ``_bound`` wrote."""
    as_number = float if dtype.kind == "f" else int
    if isinstance(texts, str):
        return np.full(shape, as_number(texts), dtype)
    return np.array([as_number(text) for text in texts], dtype).reshape(shape)
