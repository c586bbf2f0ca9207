"""C++ implementation of running_moments."""

from fastpg._native import normalize, update_moments

__all__ = ["normalize", "update_moments"]
