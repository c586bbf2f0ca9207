"""Clipping by the global norm in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import inner, inner_sum, jit

Array = NDArray[Any]

#: Added to the norm before the division. Source: torch.nn.utils.clip_grad_norm_.
NORM_EPSILON = 1e-6


def clip_global_norm(gradient: Array, *, max_norm: float, out: Array, stats: Array) -> None:
    """Partial sums in float64, then the scaling."""
    if out is not gradient:
        out[:] = gradient
    stats[0] = _clip_norm(out, max_norm)


@jit
def _clip_norm(gradient: Array, max_norm: float) -> float:
    return clip_norm(gradient, max_norm)


@inner
def clip_norm(gradient: Array, max_norm: float) -> float:
    """Clip in place; the norm before it is returned."""
    norm = np.sqrt(_sum_of_squares(gradient))
    coefficient = max_norm / (norm + NORM_EPSILON)
    if coefficient > 1.0:  # a NaN stays
        coefficient = 1.0
    factor = gradient.dtype.type(coefficient)
    for i in range(gradient.size):
        gradient[i] *= factor
    return float(norm)


@inner_sum
def _sum_of_squares(gradient: Array) -> float:
    total = 0.0
    for i in range(gradient.size):
        g = np.float64(gradient[i])
        total += g * g
    return total
