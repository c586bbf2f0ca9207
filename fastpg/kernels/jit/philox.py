"""Philox4x32-10 in Numba. All arithmetic is on unsigned 64-bit words, so that products of 32-bit words are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import inner, jit

Array = NDArray[Any]

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_HIGH_BITS = np.uint64(8)
_SCALE = np.float32(2.0**-24)

# M. Giles 2012, table 5, highest power first.
_CENTRAL = np.array(
    [
        2.81022636e-08,
        3.43273939e-07,
        -3.5233877e-06,
        -4.39150654e-06,
        0.00021858087,
        -0.00125372503,
        -0.00417768164,
        0.246640727,
        1.50140941,
    ],
    np.float32,
)
_TAIL = np.array(
    [
        -0.000200214257,
        0.000100950558,
        0.00134934322,
        -0.00367342844,
        0.00573950773,
        -0.0076224613,
        0.00943887047,
        1.00167406,
        2.83297682,
    ],
    np.float32,
)


def uniform(seed: int, stream: int, step: int, *, out: Array) -> None:
    """Uniform numbers in [0, 1)."""
    fill_uniform(counter_words(seed, stream, step), out)


def normal(seed: int, stream: int, step: int, *, out: Array) -> None:
    """Standard normal numbers."""
    fill_normal(counter_words(seed, stream, step), out)


def permutation(seed: int, stream: int, step: int, *, out: Array) -> None:
    """Fisher-Yates."""
    _shuffle(counter_words(seed, stream, step), out)


def counter_words(seed: int, stream: int, step: int) -> Array:
    """(key low, key high, c2, c3) as uint64."""
    words = [seed & 0xFFFFFFFF, seed >> 32, step & 0xFFFFFFFF, (stream << 24) | (step >> 32)]
    return np.array(words, np.uint64)


@jit
def fill_uniform(words: Array, out: Array) -> None:
    """Element (i, j) from output word j mod 4 of counter (i, j div 4)."""
    for i in range(out.shape[0]):
        for block in range((out.shape[1] + 3) // 4):
            w = _philox(np.uint64(i), np.uint64(block), words)
            for j in range(4 * block, min(4 * block + 4, out.shape[1])):
                out[i, j] = np.float32(w[j - 4 * block] >> _HIGH_BITS) * _SCALE


@jit
def fill_normal(words: Array, out: Array) -> None:
    """Element (i, j) from output word j mod 4 of counter (i, j div 4)."""
    for i in range(out.shape[0]):
        for block in range((out.shape[1] + 3) // 4):
            w = _philox(np.uint64(i), np.uint64(block), words)
            for j in range(4 * block, min(4 * block + 4, out.shape[1])):
                high = np.int64(w[j - 4 * block] >> _HIGH_BITS)
                x = np.float32(2 * high + 1 - 16777216) * _SCALE
                out[i, j] = np.float32(1.4142135623730951) * _erfinv(x)


@jit
def _shuffle(words: Array, out: Array) -> None:
    n = out.shape[0]
    for i in range(n):
        out[i] = i
    w = _philox(np.uint64(0), np.uint64(0), words)
    for k in range(n - 1):
        i = n - 1 - k
        if k % 4 == 0 and k > 0:
            w = _philox(np.uint64(k // 4), np.uint64(0), words)
        j = np.int64((w[k % 4] * np.uint64(i + 1)) >> _SHIFT)
        kept = out[i]
        out[i] = out[j]
        out[j] = kept


@inner
def _philox(c0: Any, c1: Any, words: Array) -> tuple[Any, Any, Any, Any]:
    """Ten rounds over the counter (c0, c1, words[2], words[3]) with the key (words[0], words[1])."""
    k0, k1, c2, c3 = words[0], words[1], words[2], words[3]
    for _ in range(10):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _SHIFT) ^ c1 ^ k0
        c1 = product_1 & _MASK
        c2 = (product_0 >> _SHIFT) ^ c3 ^ k1
        c3 = product_0 & _MASK
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


@inner
def _erfinv(x: Any) -> Any:
    """Inverse error function of a float32 in (-1, 1)."""
    one = np.float32(1.0)
    w = -np.log((one - x) * (one + x))
    if w < np.float32(5.0):
        return _horner(_CENTRAL, w - np.float32(2.5)) * x
    return _horner(_TAIL, np.sqrt(w) - np.float32(3.0)) * x


@inner
def _horner(coefficients: Array, w: Any) -> Any:
    result = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * w + coefficient
    return result
