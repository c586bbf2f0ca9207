"""C++ implementation of actor."""

from fastpg._native import bind_actor

__all__ = ["bind_actor"]
