"""C++ implementation of kl_gradient."""

from fastpg._native import kl_gradient

__all__ = ["kl_gradient"]
