"""C++ implementation of adam."""

from fastpg._native import adam_step

__all__ = ["adam_step"]
