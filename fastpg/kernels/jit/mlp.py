"""Multi-layer perceptrons in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit, network_arguments, writable
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, transpose_weights
from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]


def mlp_forward(params: Array, inputs: Array, *, layout: MLPLayout, out: Array, n_threads: int) -> None:
    """Tile by tile."""
    _forward(writable(params), *network_arguments(layout), writable(inputs), out)


def mlp_backward(
    params: Array, inputs: Array, output_gradient: Array, *, layout: MLPLayout, out: Array, n_threads: int
) -> None:
    """Tile by tile, gradients added in order."""
    _backward(writable(params), *network_arguments(layout), writable(inputs), writable(output_gradient), out)


@jit
def _forward(params: Array, sizes: Array, is_relu: bool, inputs: Array, out: Array) -> None:
    n_rows = inputs.shape[0]
    work = np.empty(min(n_rows, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    for first in range(0, n_rows, TILE_ROWS):
        tile = inputs[first : first + TILE_ROWS]
        outputs = forward_tile(params, sizes, is_relu, tile, work)
        for i in range(outputs.shape[0]):
            for j in range(outputs.shape[1]):
                out[first + i, j] = outputs[i, j]


@jit
def _backward(
    params: Array, sizes: Array, is_relu: bool, inputs: Array, output_gradient: Array, gradient: Array
) -> None:
    n_rows = inputs.shape[0]
    work = np.empty(min(n_rows, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    gradient[:] = 0
    for first in range(0, n_rows, TILE_ROWS):
        tile = inputs[first : first + TILE_ROWS]
        forward_tile(params, sizes, is_relu, tile, work)
        dz = output_gradient[first : first + TILE_ROWS]
        backward_tile(transposed, sizes, is_relu, tile, work, dz, gradient)
