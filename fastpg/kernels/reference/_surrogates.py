"""The surrogates of ``fastpg.kernels.clipped_loss`` per sample: value, and derivative by the log-probability.

Each function takes the log-ratio (B,), the advantages A (B,), clip_range, constraint_coef and a number of its own: the
dual clip or Tsallis' q.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.clipped_loss import BARRIER_JOIN

Array = NDArray[Any]


def clipped_ratio(
    log_ratio: Array, a: Array, clip_range: float, coef: float, dual_clip: float | None
) -> tuple[Array, Array]:
    """The smaller one of r A and clipped r A, for A < 0 at least dual_clip A."""
    ratio = np.exp(log_ratio)
    unclipped = ratio * a
    clipped = np.clip(ratio, 1 - clip_range, 1 + clip_range).astype(ratio.dtype) * a
    value, slope = np.minimum(unclipped, clipped), np.where(unclipped > clipped, 0, unclipped)
    if dual_clip is None:
        return value, slope
    is_dual = (a < 0) & (ratio > dual_clip)
    return np.where(is_dual, dual_clip * a, value), np.where(is_dual, 0, slope)


def ratio(log_ratio: Array, a: Array, clip_range: float, coef: float, number: float | None) -> tuple[Array, Array]:
    """R A."""
    value = np.exp(log_ratio) * a
    return value, value


def barrier(log_ratio: Array, a: Array, clip_range: float, coef: float, number: float | None) -> tuple[Array, Array]:
    """R A - c b(z), z = 1 - sign(A) (r - 1) / eps."""
    r, sign, d = np.exp(log_ratio), np.sign(a), BARRIER_JOIN
    z = 1 - sign * (r - 1) / clip_range
    u = (z - 2 * d) / d
    b = np.where(z > d, -np.log(z), (u * u - 1) / 2 - np.log(d))
    by_z = np.where(z > d, -1 / z, u / d)
    return r * a - coef * b, r * a + coef * by_z * sign * r / clip_range


def penalty(log_ratio: Array, a: Array, clip_range: float, coef: float, number: float | None) -> tuple[Array, Array]:
    """R A - c max(sign(A) (r - 1) - eps, 0)."""
    r, sign = np.exp(log_ratio), np.sign(a)
    violation = sign * (r - 1) - clip_range
    return r * a - coef * np.maximum(violation, 0), r * a - coef * (violation > 0) * sign * r


def tsallis(log_ratio: Array, a: Array, clip_range: float, coef: float, q: float | None) -> tuple[Array, Array]:
    """R A - c (r^q - 1 - q (r - 1)) / (q (q - 1))."""
    order = float(q or 0.0)  # a number > 0: the entry point has checked
    r, power = np.exp(log_ratio), np.exp(order * log_ratio)
    divergence = (power - 1 - order * (r - 1)) / (order * (order - 1))
    return r * a - coef * divergence, r * a - coef * (power - r) / (order - 1)


SURROGATES: dict[str, Callable[[Array, Array, float, float, float | None], tuple[Array, Array]]] = {
    "clip": clipped_ratio,
    "ratio": ratio,
    "barrier": barrier,
    "penalty": penalty,
    "tsallis": tsallis,
}
