"""Cholesky's factorisation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@np.errstate(all="ignore")
def cholesky_solve(matrix: Array, rhs: Array, *, damping: float, out: Array, stats: Array) -> None:
    """A = L L', L y = b, L'x = y, column by column."""
    n = len(matrix)
    a = np.tril(matrix) + matrix.dtype.type(damping) * np.eye(n, dtype=matrix.dtype)
    lower = np.zeros_like(a)
    x = rhs.copy()
    out[:] = 0
    stats[0] = 0
    for j in range(n):
        column = a[j:, j] - lower[j:, :j] @ lower[j, :j]
        if not column[0] > np.finfo(a.dtype).eps * a[j, j]:
            return
        lower[j:, j] = column / np.sqrt(column[0])
    for j in range(n):
        x[j] = (x[j] - lower[j, :j] @ x[:j]) / lower[j, j]
    for j in reversed(range(n)):
        x[j] = (x[j] - lower[j + 1 :, j] @ x[j + 1 :]) / lower[j, j]
    out[:] = x
    stats[0] = 1
