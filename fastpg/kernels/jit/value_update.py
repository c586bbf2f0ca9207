"""A whole update of the critic, composed of the Numba kernels."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose_value import composed_value_update
from fastpg.kernels.jit._compile import jit, network_arguments, writable
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, transpose_weights
from fastpg.kernels.jit.actor import KERNELS
from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]


def value_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: MLPLayout,
    n_epochs: int,
    batch_size: int,
    clip_range_vf: float | None,
    max_grad_norm: float,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adam_step: int,
    seed: int,
    update_index: int,
    out: tuple[Array, Array, Array],
    stats: Array,
    n_threads: int,
) -> None:
    """Epochs of shuffled minibatches."""
    composed_value_update(
        KERNELS,
        partial(_loss_gradient, layout, clip_range_vf),
        (params, first_moment, second_moment),
        (observations, returns, old_values),
        adam_arguments={"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon},
        n_epochs=n_epochs,
        batch_size=batch_size,
        max_grad_norm=max_grad_norm,
        adam_step=adam_step,
        seed=seed,
        update_index=update_index,
        out=out,
        stats=stats,
    )


def _loss_gradient(
    layout: MLPLayout,
    clip_range_vf: float | None,
    params: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    gradient: Array,
) -> float:
    """Gradient of the mean of max(error^2, clipped error^2) into ``gradient``; the mean is returned."""
    gradient[:] = 0
    limit = params.dtype.type(math.inf if clip_range_vf is None else clip_range_vf)
    around = returns if clip_range_vf is None else old_values
    samples = writable(observations), writable(returns), writable(around)
    return float(_add_gradient(params, *network_arguments(layout), *samples, limit, gradient)) / len(returns)


@jit
def _add_gradient(
    params: Array,
    sizes: Array,
    is_relu: bool,
    observations: Array,
    returns: Array,
    old_values: Array,
    limit: Any,
    gradient: Array,
) -> float:
    """The sum of squares is returned."""
    total = 0.0
    n_samples = observations.shape[0]
    scale = params.dtype.type(2) / params.dtype.type(n_samples)
    work = np.empty(min(n_samples, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    by_value = np.empty((min(n_samples, TILE_ROWS), 1), params.dtype)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    for first in range(0, n_samples, TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        values = forward_tile(params, sizes, is_relu, tile, work)
        for i in range(tile.shape[0]):
            n = first + i
            change = values[i, 0] - old_values[n]
            error = values[i, 0] - returns[n]
            clipped = old_values[n] + (limit if change > 0 else -limit) - returns[n]
            if abs(change) <= limit or clipped * clipped <= error * error:
                total += error * error
                by_value[i, 0] = scale * error
            else:  # a NaN comes here, and stays
                total += clipped * clipped if not np.isnan(change) else change
                by_value[i, 0] = clipped * 0
        backward_tile(transposed, sizes, is_relu, tile, work, by_value[: tile.shape[0]], gradient)
    return total
