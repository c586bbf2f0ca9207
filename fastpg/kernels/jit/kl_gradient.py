"""Gradient of the KL divergence between the old and the new policy in Numba, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import flat, head_arguments, jit, network_arguments, writable
from fastpg.kernels.jit._distributions import add_row_kl_gradient, head_scales, normalize_rows
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, n_units, transpose_weights
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
        flat(observations),
        flat(old_head_inputs),
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
    n_samples, n_inputs = weights.size, sizes[-1]
    work = np.empty(min(n_samples, TILE_ROWS) * n_units(sizes), params.dtype)
    slopes = np.empty_like(work)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    scales, old_scales = head_scales(log_std), head_scales(old_log_std)
    for first in range(0, n_samples, TILE_ROWS):
        size = min(TILE_ROWS, n_samples - first)
        start = first * sizes[0]
        old = old_inputs[first * n_inputs : (first + size) * n_inputs].copy()
        at = forward_tile(params, sizes, is_relu, observations, start, size, work, 0)
        normalize_rows(kind, columns, old, 0, size)
        normalize_rows(kind, columns, work, at, size)
        slopes[at : at + size * n_inputs] = 0
        for i in range(size):
            row = at + i * n_inputs
            add_row_kl_gradient(
                kind,
                columns,
                old,
                i * n_inputs,
                old_scales,
                work,
                row,
                scales,
                weights[first + i],
                is_new_old,
                slopes,
                row,
                log_std_gradient,
            )
        backward_tile(transposed, sizes, is_relu, observations, start, size, work, 0, slopes, gradient)
