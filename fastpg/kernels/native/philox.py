"""C++ implementation of philox."""

from fastpg._native import normal, permutation, uniform

__all__ = ["normal", "permutation", "uniform"]
