"""C++ implementation of clipped_loss."""

from fastpg._native import clipped_loss_gradient

__all__ = ["clipped_loss_gradient"]
