"""C++ implementation of cholesky."""

from fastpg._native import cholesky_solve

__all__ = ["cholesky_solve"]
