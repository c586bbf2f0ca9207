"""A whole update of the critic: one compiled call per epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose import minibatch_bounds
from fastpg.kernels.jit._compile import flat, jit, network_arguments, spliced, writable
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, n_units, transpose_weights
from fastpg.kernels.jit.adam import adam_numbers, run_adam
from fastpg.kernels.jit.clipped_loss import gather
from fastpg.kernels.jit.gradient_norm import clip_norm
from fastpg.kernels.jit.philox import permutation
from fastpg.kernels.layout import MLPLayout
from fastpg.kernels.philox import STREAM_SHUFFLE

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
    """Between epochs the interpreter may be interrupted."""
    for new, old in zip(out, (params, first_moment, second_moment), strict=True):
        new[:] = old
    limit = params.dtype.type(math.inf if clip_range_vf is None else clip_range_vf)
    samples = flat(observations), writable(returns), writable(returns if clip_range_vf is None else old_values)
    bounds = np.array(minibatch_bounds(len(returns), batch_size), np.int64)
    order = np.empty(len(returns), np.int64)
    losses, norms = np.empty((n_epochs, len(bounds))), np.empty((n_epochs, len(bounds)))
    for epoch in range(n_epochs):
        permutation(seed, STREAM_SHUFFLE, (update_index << 16) | epoch, out=order)
        steps = adam_step + epoch * len(bounds)
        _run_epoch(
            *network_arguments(layout),
            *samples,
            limit,
            order,
            bounds,
            max_grad_norm,
            adam_numbers(steps, len(bounds), learning_rate, beta1, beta2, epsilon, params.dtype),
            *out,
            losses[epoch],
            norms[epoch],
        )
    stats[:] = losses.mean(), norms.mean(), losses.size


@jit
def _run_epoch(
    sizes: Array,
    is_relu: bool,
    observations: Array,
    returns: Array,
    old_values: Array,
    limit: Any,
    order: Array,
    bounds: Array,
    max_grad_norm: float,
    numbers: Array,
    params: Array,
    first_moment: Array,
    second_moment: Array,
    losses: Array,
    norms: Array,
) -> None:
    """A step for every minibatch: rows order[first:end] for (first, end) in ``bounds``."""
    gradient = np.empty_like(params)
    for j in range(bounds.shape[0]):
        rows = order[bounds[j, 0] : bounds[j, 1]]
        gradient[:] = 0
        total = _add_gradient(params, sizes, is_relu, observations, returns, old_values, limit, rows, gradient)
        losses[j] = total / rows.size
        norms[j] = clip_norm(gradient, max_grad_norm)
        run_adam(gradient, numbers[j], params, first_moment, second_moment)


@spliced
def _add_gradient(
    params: Array,
    sizes: Array,
    is_relu: bool,
    observations: Array,
    returns: Array,
    old_values: Array,
    limit: Any,
    rows: Array,
    gradient: Array,
) -> float:
    """Gradient of the mean of max(error^2, clipped error^2); the sum is returned."""
    total = 0.0
    scale = params.dtype.type(2) / params.dtype.type(rows.size)
    most = min(rows.size, TILE_ROWS)
    tile = np.empty(most * sizes[0], params.dtype)
    work = np.empty(most * n_units(sizes), params.dtype)
    slopes = np.empty_like(work)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    for first in range(0, rows.size, TILE_ROWS):
        size = min(TILE_ROWS, rows.size - first)
        gather(observations, sizes[0], rows[first : first + size], tile)
        at = forward_tile(params, sizes, is_relu, tile, 0, size, work, 0)
        for i in range(size):
            n = rows[first + i]
            change = work[at + i] - old_values[n]
            error = work[at + i] - returns[n]
            clipped = old_values[n] + (limit if change > 0 else -limit) - returns[n]
            if abs(change) <= limit or clipped * clipped <= error * error:
                total += error * error
                slopes[at + i] = scale * error
            else:  # a NaN comes here, and stays
                total += clipped * clipped if not np.isnan(change) else change
                slopes[at + i] = clipped * 0
        backward_tile(transposed, sizes, is_relu, tile, 0, size, work, 0, slopes, gradient)
    return total
