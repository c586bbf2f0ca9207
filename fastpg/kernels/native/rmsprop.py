"""C++ implementation of rmsprop."""

from fastpg._native import rmsprop_step

__all__ = ["rmsprop_step"]
