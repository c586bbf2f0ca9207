"""Random numbers from a counter: Philox4x32-10.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A number depends on seed,
stream, step and its place in the array and on nothing else, so results depend on no schedule and a checkpoint stores
counters. The key is (seed mod 2^32, seed div 2^32); the counter words of element (row i, column j) are

    c0 = i,  c1 = j div 4,  c2 = step mod 2^32,  c3 = stream * 2^24 + (step div 2^32),

and the element takes output word j mod 4. There is no global state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends

#: Sampling of actions while collecting; step = vector steps so far, row = environment.
STREAM_ACTION = 1
#: Permutations of minibatches; step = update * 2^16 + epoch.
STREAM_SHUFFLE = 2
#: Sampling of actions in ``predict``; step = calls so far.
STREAM_PREDICT = 4
#: Samples that an update does not train on; step = update.
STREAM_HOLD_OUT = 5

_MAX_SEED = 2**64 - 1
_MAX_STREAM = 2**8 - 1
_MAX_STEP = 2**56 - 1
_MAX_ROWS = 2**32 - 1


def uniform(seed: int, stream: int, step: int, *, out: NDArray[Any], backend: str | None = None) -> NDArray[Any]:
    """Fill ``out`` with uniform numbers in [0, 1): the upper 24 bits of a word times 2^-24.

    Args:
        seed: 0 <= seed < 2^64.
        stream: 0 <= stream < 2^8, one of the ``STREAM_`` constants.
        step: 0 <= step < 2^56.
        out: (R, C) float32 or float64; rows and columns are the counters of the module docstring. Both dtypes get
            the same values.
        backend: implementation, None for the default.

    Returns:
        ``out``.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """
    _fill("uniform", seed, stream, step, out, backend)
    return out


def normal(seed: int, stream: int, step: int, *, out: NDArray[Any], backend: str | None = None) -> NDArray[Any]:
    """Fill ``out`` with standard normal numbers, one per word, by inversion.

    With h the upper 24 bits of a word, x = (2 h + 1 - 2^24) 2^-24 lies in (-1, 1) and z = sqrt(2) erfinv(x), with
    erfinv in single precision after M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2012), table 5.
    |z| is at most 5.42. float64 arrays get the float32 value.

    Args:
        seed: 0 <= seed < 2^64.
        stream: 0 <= stream < 2^8, one of the ``STREAM_`` constants.
        step: 0 <= step < 2^56.
        out: (R, C) float32 or float64.
        backend: implementation, None for the default.

    Returns:
        ``out``.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """
    _fill("normal", seed, stream, step, out, backend)
    return out


def permutation(seed: int, stream: int, step: int, *, out: NDArray[Any], backend: str | None = None) -> NDArray[Any]:
    """Fill ``out`` with a random permutation of 0 ... n-1 by Fisher and Yates' shuffle.

    For i = n-1 ... 1: j = floor(word_k (i + 1) / 2^32) with k = n-1-i, then p[i] and p[j] change places. word_k is
    output word k mod 4 of the counter with c0 = k div 4, c1 = 0. The bias of j is below n 2^-32.

    Args:
        seed: 0 <= seed < 2^64.
        stream: 0 <= stream < 2^8, one of the ``STREAM_`` constants.
        step: 0 <= step < 2^56.
        out: (n,) int64, n < 2^32.
        backend: implementation, None for the default.

    Returns:
        ``out``.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """
    _check_counters("permutation", seed, stream, step)
    _check.output("permutation: out", out, np.dtype(np.int64), (_length(out),))
    backends.resolve("philox", backend).permutation(seed, stream, step, out=out)
    return out


def _fill(kernel: str, seed: int, stream: int, step: int, out: NDArray[Any], backend: str | None) -> None:
    _check_counters(kernel, seed, stream, step)
    dtype = _check.float_dtype(f"{kernel}: out", out)
    _check.array_of(f"{kernel}: out", out, dtype, ("R", "C"))
    _check.output(f"{kernel}: out", out, dtype, out.shape)
    getattr(backends.resolve("philox", backend), kernel)(seed, stream, step, out=out)


def _check_counters(kernel: str, seed: int, stream: int, step: int) -> None:
    _check.check_integer(f"{kernel}: seed", seed, 0, _MAX_SEED)
    _check.check_integer(f"{kernel}: stream", stream, 0, _MAX_STREAM)
    _check.check_integer(f"{kernel}: step", step, 0, _MAX_STEP)


def _length(out: Any) -> int:
    length = out.size if isinstance(out, np.ndarray) else 0
    if length > _MAX_ROWS:
        raise ValueError(f"permutation: out: expected fewer than 2^32 elements, got {length}.")
    return length
