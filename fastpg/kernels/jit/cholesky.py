"""Cholesky's factorisation in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import inner, jit, writable

Array = NDArray[Any]


def cholesky_solve(matrix: Array, rhs: Array, *, damping: float, out: Array, stats: Array) -> None:
    """Row by row: the inner loops run over two rows of L."""
    dtype = matrix.dtype
    epsilon = dtype.type(np.finfo(dtype).eps)
    stats[0] = _solve(writable(matrix), writable(rhs), dtype.type(damping), epsilon, np.empty_like(matrix), out)


@jit
def _solve(matrix: Array, rhs: Array, damping: Any, epsilon: Any, lower: Array, out: Array) -> bool:
    n = matrix.shape[0]
    for i in range(n):
        for j in range(i + 1):
            diagonal = damping if i == j else damping * 0
            rest = matrix[i, j] + diagonal - _dot(lower[i], lower[j], j)
            if i > j:
                lower[i, j] = rest / lower[j, j]
            elif rest > epsilon * (matrix[i, i] + damping):
                lower[i, i] = np.sqrt(rest)
            else:
                out[:] = 0
                return False
    for i in range(n):
        out[i] = (rhs[i] - _dot(lower[i], out, i)) / lower[i, i]
    for i in range(n - 1, -1, -1):
        out[i] /= lower[i, i]
        for j in range(i):
            out[j] -= lower[i, j] * out[i]
    return True


@inner
def _dot(a: Array, b: Array, n: int) -> Any:
    """Of the first n elements, in four partial sums."""
    zero = a.dtype.type(0)
    s0, s1, s2, s3 = zero, zero, zero, zero
    for k in range(0, n - n % 4, 4):
        s0 += a[k] * b[k]
        s1 += a[k + 1] * b[k + 1]
        s2 += a[k + 2] * b[k + 2]
        s3 += a[k + 3] * b[k + 3]
    for k in range(n - n % 4, n):
        s0 += a[k] * b[k]
    return (s0 + s1) + (s2 + s3)
