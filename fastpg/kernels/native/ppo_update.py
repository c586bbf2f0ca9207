"""C++ implementation of ppo_update."""

from fastpg._native import ppo_update

__all__ = ["ppo_update"]
