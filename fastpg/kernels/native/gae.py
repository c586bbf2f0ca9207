"""C++ implementation of gae."""

from fastpg._native import gae

__all__ = ["gae"]
