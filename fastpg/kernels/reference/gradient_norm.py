"""Clipping by the global norm in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Added to the norm before the division. Source: torch.nn.utils.clip_grad_norm_.
NORM_EPSILON = 1e-6


@np.errstate(all="ignore")
def clip_global_norm(gradient: Array, *, max_norm: float, out: Array, stats: Array) -> None:
    """Scaled: out = gradient min(1, max_norm / (norm + 1e-6)); stats = (norm,)."""
    norm = np.sqrt(np.sum(gradient.astype(np.float64) ** 2))
    coefficient: float = np.minimum(1.0, max_norm / (norm + NORM_EPSILON))
    out[:] = gradient * gradient.dtype.type(coefficient)
    stats[0] = norm
