"""C++ implementation of the surrogate."""

from fastpg._native import surrogate_evaluate, surrogate_gradient

__all__ = ["surrogate_evaluate", "surrogate_gradient"]
