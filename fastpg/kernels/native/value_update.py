"""C++ implementation of value_update."""

from fastpg._native import value_update

__all__ = ["value_update"]
