"""Philox4x32-10 in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Salmon et al. 2011, table 2 and section 4.3: multipliers and key increments (golden ratio, sqrt(3) - 1).
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_N_ROUNDS = 10
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

# M. Giles 2012, table 5: polynomials in w - 2.5 (w < 5) and in sqrt(w) - 3, highest power first.
_CENTRAL = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def philox4x32(counter: Array, key: tuple[int, int]) -> Array:
    """The block function: ``counter`` (4, ...) of 32-bit words to output words of the same shape, uint64."""
    c0, c1, c2, c3 = (words.astype(np.uint64) for words in counter)
    for i in range(_N_ROUNDS):
        k0, k1 = (np.uint64((word + i * weyl) % 2**32) for word, weyl in zip(key, _WEYL, strict=True))
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ k0,
            product1 & _MASK,
            (product0 >> _SHIFT) ^ c3 ^ k1,
            product0 & _MASK,
        )
    return np.stack([c0, c1, c2, c3])


def uniform(seed: int, stream: int, step: int, *, out: Array) -> None:
    """(word >> 8) 2^-24."""
    out[:] = (_words(seed, stream, step, out.shape) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)


def normal(seed: int, stream: int, step: int, *, out: Array) -> None:
    """sqrt(2) erfinv(x), x = (2 (word >> 8) + 1 - 2^24) 2^-24."""
    high = (_words(seed, stream, step, out.shape) >> np.uint64(8)).astype(np.int64)
    x = (2 * high + 1 - 2**24).astype(np.float32) * np.float32(2.0**-24)
    out[:] = np.float32(np.sqrt(2.0)) * _erfinv(x)


def permutation(seed: int, stream: int, step: int, *, out: Array) -> None:
    """Fisher-Yates, word k for the k-th exchange."""
    n = len(out)
    words = _words(seed, stream, step, ((n + 3) // 4, 4)).reshape(-1).tolist()
    order = list(range(n))
    for k, i in enumerate(range(n - 1, 0, -1)):
        j = words[k] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    out[:] = order


def _words(seed: int, stream: int, step: int, shape: tuple[int, ...]) -> Array:
    """Output words (R, C): word j mod 4 of the counter (i, j div 4, step low, stream and step high)."""
    n_rows, n_columns = shape
    n_blocks = (n_columns + 3) // 4
    rows, blocks = np.meshgrid(np.arange(n_rows), np.arange(n_blocks), indexing="ij")
    low = np.full_like(rows, step & 0xFFFFFFFF)
    high = np.full_like(rows, (stream << 24) | (step >> 32))
    words = philox4x32(np.stack([rows, blocks, low, high]), (seed & 0xFFFFFFFF, seed >> 32))
    return np.moveaxis(words, 0, -1).reshape(n_rows, 4 * n_blocks)[:, :n_columns]


def _erfinv(x: Array) -> Array:
    """Inverse error function of float32 ``x`` in (-1, 1), in float32."""
    one = np.float32(1.0)
    w = -np.log((one - x) * (one + x))
    tail_w = np.sqrt(np.maximum(w, np.float32(5.0))) - np.float32(3.0)
    return np.where(w < np.float32(5.0), _horner(_CENTRAL, w - np.float32(2.5)), _horner(_TAIL, tail_w)) * x


def _horner(coefficients: tuple[float, ...], w: Array) -> Array:
    result = np.full_like(w, np.float32(coefficients[0]))
    for coefficient in coefficients[1:]:
        result = result * w + np.float32(coefficient)
    return result
