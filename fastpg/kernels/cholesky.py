"""A symmetric positive definite system by Cholesky's factorisation, for small dense matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends

Array = NDArray[Any]


def cholesky_solve(
    matrix: Array, rhs: Array, *, damping: float = 0.0, out: Array | None = None, backend: str | None = None
) -> tuple[Array, bool]:
    """Solve (matrix + damping I) x = rhs.

    The matrix counts as positive definite if every pivot is above epsilon times its own diagonal element, epsilon of
    the dtype: below that nothing is left of it but rounding.

    Args:
        matrix: (n, n) float32 or float64; only the lower triangle is read.
        rhs: (n,), same dtype.
        damping: >= 0, added to the diagonal.
        out: (n,), same dtype, or None to allocate; may be ``rhs`` itself.
        backend: implementation, None for the default.

    Returns:
        ``out``, and whether the matrix is positive definite; if it is not, ``out`` is 0.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.

    Complexity: n^3 / 3 multiply-adds; a copy of the matrix.
    """
    kernel = "cholesky_solve"
    dtype = _check.float_dtype(f"{kernel}: matrix", matrix)
    matrix = _check.array_of(f"{kernel}: matrix", matrix, dtype, ("n", "n"))
    matrix = _check.array_of(f"{kernel}: matrix", matrix, dtype, (len(matrix), len(matrix)))
    rhs = _check.array_of(f"{kernel}: rhs", rhs, dtype, (len(matrix),))
    out = _check.output(f"{kernel}: out", out, dtype, rhs.shape)
    _check.check_same_or_apart(f"{kernel}: out", out, rhs)
    _check.check_no_overlap(f"{kernel}: out", out, (matrix,))
    damping = _check.check_non_negative(f"{kernel}: damping", damping)
    stats = np.zeros(1)
    backends.resolve("cholesky", backend).cholesky_solve(matrix, rhs, damping=damping, out=out, stats=stats)
    return out, bool(stats[0])
