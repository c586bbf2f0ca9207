"""C++ implementation of gradient_norm."""

from fastpg._native import clip_global_norm

__all__ = ["clip_global_norm"]
