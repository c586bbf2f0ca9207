"""Running moments in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit, writable

Array = NDArray[Any]


def update_moments(mean: Array, variance: Array, count: float, batch: Array, out: tuple[Array, Array]) -> None:
    """Chan et al.; the moments of the batch in two passes, in float64."""
    _update(writable(mean), writable(variance), count, writable(batch), *out)


def normalize(inputs: Array, mean: Array, variance: Array, epsilon: float, clip: float, out: Array) -> None:
    """One pass, in float64."""
    _normalize(writable(inputs), writable(mean), writable(variance), epsilon, clip, out)


@jit
def _update(mean: Array, variance: Array, count: float, batch: Array, new_mean: Array, new_variance: Array) -> None:
    n_batch, size = batch.shape
    if n_batch == 0:
        for j in range(size):
            new_mean[j] = mean[j]
            new_variance[j] = variance[j]
        return
    sums = np.zeros(size)
    squares = np.zeros(size)
    for i in range(n_batch):
        for j in range(size):
            sums[j] += batch[i, j]
    for i in range(n_batch):
        for j in range(size):
            difference = batch[i, j] - sums[j] / n_batch
            squares[j] += difference * difference
    total = count + n_batch
    for j in range(size):
        difference = sums[j] / n_batch - mean[j]
        between = difference * difference * count * n_batch / total
        new_variance[j] = (variance[j] * count + squares[j] + between) / total
        new_mean[j] = mean[j] + difference * n_batch / total


@jit
def _normalize(inputs: Array, mean: Array, variance: Array, epsilon: float, clip: float, out: Array) -> None:
    for i in range(inputs.shape[0]):
        for j in range(inputs.shape[1]):
            x = (inputs[i, j] - mean[j]) / np.sqrt(variance[j] + epsilon)
            if x > clip:
                x = clip
            if x < -clip:
                x = -clip
            out[i, j] = x
