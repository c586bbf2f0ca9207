"""Gradient of the KL divergence between the old and the new policy in Numba, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import head_arguments, jit, network_arguments, writable
from fastpg.kernels.jit._distributions import add_row_kl_gradient
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, transpose_weights
from fastpg.kernels.layout import PolicyLayout

Array = NDArray[Any]


def kl_gradient(
    params: Array,
    observations: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    weights: Array,
    *,
    layout: PolicyLayout,
    direction: str,
    out: Array,
    n_threads: int,
) -> None:
    """Forward, derivative by the head inputs, backward."""
    out[:] = 0
    network, log_std = layout.split(writable(params))
    network_out, log_std_out = layout.split(out)
    _add_kl_gradient(
        network,
        log_std,
        *network_arguments(layout.policy),
        *head_arguments(layout.head),
        writable(observations),
        writable(old_head_inputs),
        writable(old_log_std),
        writable(weights),
        direction == "new_old",
        network_out,
        log_std_out,
    )


@jit
def _add_kl_gradient(
    params: Array,
    log_std: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    old_inputs: Array,
    old_log_std: Array,
    weights: Array,
    is_new_old: bool,
    gradient: Array,
    log_std_gradient: Array,
) -> None:
    n_samples = observations.shape[0]
    work = np.empty(min(n_samples, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    by_inputs = np.empty((min(n_samples, TILE_ROWS), sizes[-1]), params.dtype)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    for first in range(0, n_samples, TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        inputs = forward_tile(params, sizes, is_relu, tile, work)
        by_inputs[:] = 0
        for i in range(tile.shape[0]):
            n = first + i
            add_row_kl_gradient(
                kind,
                columns,
                old_inputs[n],
                old_log_std,
                inputs[i],
                log_std,
                weights[n],
                is_new_old,
                by_inputs[i],
                log_std_gradient,
            )
        backward_tile(transposed, sizes, is_relu, tile, work, by_inputs[: tile.shape[0]], gradient)
