"""C++ implementation of fisher."""

from fastpg._native import bind_fisher, fisher_factors

__all__ = ["bind_fisher", "fisher_factors"]
