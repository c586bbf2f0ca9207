"""The surrogates of ``fastpg.kernels.clipped_loss`` other than the clipped ratio, of one sample, in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.clipped_loss import BARRIER_JOIN
from fastpg.kernels.jit._compile import inner

Array = NDArray[Any]

#: Codes for compiled functions.
PLAIN_CLIP, RATIO, BARRIER, PENALTY, TSALLIS, DUAL_CLIP = 0, 1, 2, 3, 4, 5
SURROGATE_CODES = {"clip": PLAIN_CLIP, "ratio": RATIO, "barrier": BARRIER, "penalty": PENALTY, "tsallis": TSALLIS}


@inner
def add_surrogate(code: int, log_ratio: Any, advantage: Any, numbers: Array, stats: Array) -> Any:
    """Derivative of the surrogate by the log-probability; adds to loss, KL estimate and clip fraction.

    ``numbers`` are clip_range, constraint_coef, and the dual clip or Tsallis' q.
    """
    clip_range, coef = numbers[0], numbers[1]
    ratio = np.exp(log_ratio)
    sign = np.sign(advantage)
    value = ratio * advantage
    slope = value
    if code == DUAL_CLIP:
        value, slope = _dual_clip(ratio, advantage, clip_range, numbers[2])
    elif code == BARRIER:
        barrier, by_slack = _barrier(1 - sign * (ratio - 1) / clip_range)
        value = value - coef * barrier
        slope = slope + coef * by_slack * sign * ratio / clip_range
    elif code == PENALTY:
        violation = sign * (ratio - 1) - clip_range
        if not violation <= 0:  # a NaN comes here, and stays
            value = value - coef * violation
            slope = slope - coef * sign * ratio
    elif code == TSALLIS:
        q = numbers[2]
        power = np.exp(q * log_ratio)
        value = value - coef * (((power - 1) - q * (ratio - 1)) / (q * (q - 1)))
        slope = slope - coef * ((power - ratio) / (q - 1))
    stats[1] -= value
    stats[4] += (ratio - 1) - log_ratio
    stats[5] += abs(ratio - 1) > clip_range
    return slope


@inner
def _dual_clip(ratio: Any, advantage: Any, clip_range: Any, dual_clip: Any) -> tuple[Any, Any]:
    """Value and derivative of the clipped ratio with a lower bound for A < 0."""
    unclipped = ratio * advantage
    clipped = min(max(ratio, 1 - clip_range), 1 + clip_range) * advantage
    if advantage < 0 and ratio > dual_clip:
        return dual_clip * advantage, unclipped * 0
    if unclipped > clipped:
        return clipped, unclipped * 0
    return unclipped, unclipped


@inner
def _barrier(slack: Any) -> tuple[Any, Any]:
    """-log(slack) with its derivative, continued by a parabola."""
    if slack > BARRIER_JOIN:
        return -np.log(slack), -1 / slack
    u = (slack - 2 * BARRIER_JOIN) / BARRIER_JOIN
    return (u * u - 1) / 2 - np.log(BARRIER_JOIN), u / BARRIER_JOIN
