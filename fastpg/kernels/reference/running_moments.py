"""Running moments in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@np.errstate(all="ignore")
def update_moments(mean: Array, variance: Array, count: float, batch: Array, out: tuple[Array, Array]) -> None:
    """Chan et al.: merge the moments of the batch."""
    n_batch = len(batch)
    if n_batch == 0:
        out[0][:], out[1][:] = mean, variance
        return
    batch = batch.astype(np.float64)
    total = count + n_batch
    difference = batch.mean(axis=0) - mean
    sum_of_squares = variance * count + batch.var(axis=0) * n_batch + difference**2 * count * n_batch / total
    out[0][:] = mean + difference * n_batch / total
    out[1][:] = sum_of_squares / total


@np.errstate(all="ignore")
def normalize(inputs: Array, mean: Array, variance: Array, epsilon: float, clip: float, out: Array) -> None:
    """clip((x - mean) / sqrt(variance + epsilon))."""
    out[:] = np.clip((inputs - mean) / np.sqrt(variance + epsilon), -clip, clip)
