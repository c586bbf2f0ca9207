"""Clipping of a gradient by its global norm. Source: Pascanu et al., arXiv:1211.5063, with PyTorch's constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends

Array = NDArray[Any]


def clip_global_norm(
    gradient: Array, *, max_norm: float, out: Array | None = None, backend: str | None = None
) -> tuple[Array, float]:
    """Scale ``gradient`` by min(1, max_norm / (norm + 1e-6)), norm being its Euclidean norm.

    Args:
        gradient: (P,) float32 or float64.
        max_norm: > 0; infinity leaves the gradient as it is.
        out: (P,), same dtype, or None to allocate; may be ``gradient`` itself.
        backend: implementation, None for the default.

    Returns:
        ``out`` and the norm before clipping. A NaN in the gradient makes both NaN.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("clip_global_norm: gradient", gradient)
    gradient = _check.array_of("clip_global_norm: gradient", gradient, dtype, ("P",))
    out = _check.output("clip_global_norm: out", out, dtype, gradient.shape)
    _check.check_same_or_apart("clip_global_norm: out", out, gradient)
    stats = np.zeros(1)
    backends.resolve("gradient_norm", backend).clip_global_norm(
        gradient, max_norm=_check.check_positive("clip_global_norm: max_norm", max_norm), out=out, stats=stats
    )
    return out, float(stats[0])
