"""Multi-layer perceptrons in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import flat, jit, network_arguments, writable
from fastpg.kernels.jit._network import (
    TILE_ROWS,
    backward_tile,
    copy_numbers,
    forward_tile,
    n_units,
    transpose_weights,
)
from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]


def mlp_forward(params: Array, inputs: Array, *, layout: MLPLayout, out: Array, n_threads: int) -> None:
    """Tile by tile."""
    _forward(writable(params), *network_arguments(layout), flat(inputs), len(inputs), out.reshape(-1))


def mlp_backward(
    params: Array, inputs: Array, output_gradient: Array, *, layout: MLPLayout, out: Array, n_threads: int
) -> None:
    """Tile by tile, gradients added in order."""
    _backward(writable(params), *network_arguments(layout), flat(inputs), len(inputs), flat(output_gradient), out)


@jit
def _forward(params: Array, sizes: Array, is_relu: bool, inputs: Array, n_rows: int, out: Array) -> None:
    n_outputs = sizes[-1]
    work = np.empty(min(n_rows, TILE_ROWS) * n_units(sizes), params.dtype)
    for first in range(0, n_rows, TILE_ROWS):
        size = min(TILE_ROWS, n_rows - first)
        at = forward_tile(params, sizes, is_relu, inputs, first * sizes[0], size, work, 0)
        copy_numbers(work, at, size * n_outputs, out, first * n_outputs)


@jit
def _backward(
    params: Array, sizes: Array, is_relu: bool, inputs: Array, n_rows: int, output_gradient: Array, gradient: Array
) -> None:
    n_outputs = sizes[-1]
    work = np.empty(min(n_rows, TILE_ROWS) * n_units(sizes), params.dtype)
    slopes = np.empty_like(work)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    gradient[:] = 0
    for first in range(0, n_rows, TILE_ROWS):
        size = min(TILE_ROWS, n_rows - first)
        start = first * sizes[0]
        at = forward_tile(params, sizes, is_relu, inputs, start, size, work, 0)
        copy_numbers(output_gradient, first * n_outputs, size * n_outputs, slopes, at)
        backward_tile(transposed, sizes, is_relu, inputs, start, size, work, 0, slopes, gradient)
