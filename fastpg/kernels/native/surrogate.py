"""C++ implementation of the surrogate."""

from fastpg._native import surrogate_evaluate, surrogate_gradient, surrogate_hessian_vector_product

__all__ = ["surrogate_evaluate", "surrogate_gradient", "surrogate_hessian_vector_product"]
