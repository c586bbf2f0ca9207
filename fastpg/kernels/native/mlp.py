"""C++ implementation of mlp."""

from fastpg._native import mlp_backward, mlp_forward

__all__ = ["mlp_backward", "mlp_forward"]
