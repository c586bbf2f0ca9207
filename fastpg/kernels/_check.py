"""Argument checks of the kernel entry points: dtypes, shapes, ranges, outputs.

An error names the kernel, the argument, what was expected, what was given and the remedy. Inputs that are not
C-contiguous and aligned are copied; outputs never are, because a copy would not reach the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: One entry per axis: the required length, or a letter for "any length".
Shape = tuple[int | str, ...]

_MAX_THREADS = 4096
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def float_dtype(where: str, array: Any) -> np.dtype[Any]:
    """Dtype of ``array``, which must be a float32 or float64 ndarray; ``where`` is "kernel: argument"."""
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{where}: expected a NumPy array of float32 or float64, got {type(array).__name__}. "
            "Fix: np.asarray(value, dtype=np.float32)."
        )
    if array.dtype not in _FLOATS:
        raise TypeError(
            f"{where}: expected dtype float32 or float64, got {array.dtype}. Fix: convert it with .astype(np.float32)."
        )
    dtype: np.dtype[Any] = array.dtype
    return dtype


def array_of(where: str, array: Any, dtype: np.dtype[Any], shape: Shape) -> Array:
    """``array`` checked against ``dtype`` and ``shape``, C-contiguous and aligned (a copy only where it was not)."""
    if type(array) is np.ndarray and array.dtype is dtype and _fits(array.shape, shape) and array.flags.carray:
        return array  # as nearly always; what follows finds the same out more slowly
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{where}: expected a NumPy array of {dtype}, got {type(array).__name__}. "
            f"Fix: np.asarray(value, dtype=np.{dtype})."
        )
    if array.dtype != dtype:
        raise TypeError(
            f"{where}: expected dtype {dtype}, got {array.dtype}. Fix: convert it with .astype(np.{dtype})."
        )
    _check_shape(where, array, shape)
    return array if is_plain(array) else np.require(array, requirements=["C", "A"])


def is_plain(array: Array) -> bool:
    """Whether ``array`` lies in memory as kernels read it: C-contiguous, each element at a multiple of its size."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned


def output(where: str, out: Array | None, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """``out`` checked (dtype, shape, C-contiguous, aligned, writeable), or a new array where it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if type(out) is np.ndarray and out.dtype is dtype and out.shape == shape and out.flags.carray:
        return out
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        got = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(
            f"{where}: expected a NumPy array of dtype {dtype}, got {got}. Fix: np.empty(shape, np.{dtype})."
        )
    _check_shape(where, out, shape)
    if not (is_plain(out) and out.flags.writeable):
        raise ValueError(
            f"{where}: expected a C-contiguous aligned writeable array, got flags "
            f"C_CONTIGUOUS={out.flags.c_contiguous}, ALIGNED={out.flags.aligned}, "
            f"WRITEABLE={out.flags.writeable}. Fix: np.empty({shape}, np.{dtype})."
        )
    return out


def check_no_overlap(where: str, out: Array, inputs: Iterable[Array]) -> None:
    """Raise where ``out`` shares memory with one of ``inputs``."""
    is_owner = out.flags.owndata
    for array in inputs:
        if is_owner and array.flags.owndata and array is not out:
            continue  # two arrays with memory of their own: cheaper to see than where both lie
        if np.may_share_memory(out, array):
            raise ValueError(
                f"{where}: expected memory of its own, got an array that overlaps an input. "
                "Fix: leave it out or copy it."
            )


def check_same_or_apart(where: str, out: Array, array: Array) -> None:
    """Raise where ``out`` overlaps ``array`` without being it: an element would be read after it was overwritten."""
    if np.may_share_memory(out, array) and out.ctypes.data != array.ctypes.data:
        raise ValueError(
            f"{where}: expected the input itself or memory of its own, got an array that overlaps the input in part. "
            "Fix: leave it out or copy it."
        )


def check_real(where: str, value: float, low: float, high: float = math.inf) -> float:
    """``value`` as a float in [low, high]; NaN is refused."""
    number = float(value)
    if not low <= number <= high:
        raise ValueError(f"{where}: expected a number in [{low:g}, {high:g}], got {value!r}.")
    return number


def check_non_negative(where: str, value: float) -> float:
    """``value`` as a finite float >= 0."""
    return check_real(where, check_finite(where, value), 0.0)


def check_positive(where: str, value: float) -> float:
    """``value`` as a float > 0 (infinity allowed); NaN is refused."""
    number = float(value)
    if not number > 0.0:
        raise ValueError(f"{where}: expected a number > 0, got {value!r}.")
    return number


def check_finite(where: str, value: float) -> float:
    """``value`` as a finite float."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{where}: expected a finite number, got {value!r}.")
    return number


def check_integer(where: str, value: int, low: int, high: int) -> int:
    """``value`` as an int in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{where}: expected an integer, got {value!r} of type {type(value).__name__}.")
    if not low <= value <= high:
        raise ValueError(f"{where}: expected an integer in [{low}, {high}], got {value}.")
    return int(value)


def check_choice(where: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise where ``value`` is not one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{where}: expected one of {', '.join(map(repr, choices))}, got {value!r}.")


def check_threads(kernel: str, n_threads: int) -> int:
    """``n_threads`` as an int >= 1."""
    if type(n_threads) is int and 1 <= n_threads <= _MAX_THREADS:
        return n_threads
    return check_integer(f"{kernel}: n_threads", n_threads, 1, _MAX_THREADS)


def _check_shape(where: str, array: Array, shape: Shape) -> None:
    if not _fits(array.shape, shape):
        expected = "(" + ", ".join(str(axis) for axis in shape) + ("," if len(shape) == 1 else "") + ")"
        raise ValueError(f"{where}: expected shape {expected}, got {array.shape}.")


def _fits(lengths: tuple[int, ...], shape: Shape) -> bool:
    # every kernel comes through here several times a call: no generators, no keywords
    if lengths == shape:
        return True
    if len(lengths) != len(shape):
        return False
    for wanted, length in zip(shape, lengths):  # noqa: B905, SIM110 - equally long; no generator
        if wanted != length and type(wanted) is not str:
            return False
    return True
