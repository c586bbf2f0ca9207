"""Multi-layer perceptrons on tiles of rows: the compiled parts that ``mlp`` and ``clipped_loss`` share.

Activations of a tile lie layer after layer in one flat ``work`` array, so that they stay in the cache between forward
and backward; ``work_at`` is the place of the first. Derivatives and tangents lie in arrays of the same form. All arrays
are flat, with places instead of views: a view costs as much as some rows of a product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._block import multiply_add
from fastpg.kernels.jit._compile import inner

Array = NDArray[Any]

#: Rows per tile: 64 rows of two 64-wide layers and their gradients fit in a second-level cache with room to spare.
TILE_ROWS = 64

# tanh(x) = x P(x^2) / Q(x^2) on |x| <= 8, own minimax fit in relative error; in float32 within 3.5e-7 of tanh, below 1
# everywhere, and 1 - 2e-7 beyond 8.
_TANH_LIMIT = np.float32(8.0)
_P0 = np.float32(1.0)
_P1 = np.float32(0.1312435041558628)
_P2 = np.float32(0.003149365444337389)
_P3 = np.float32(1.1642451300234623e-05)
_P4 = np.float32(-2.231469308317104e-08)
_P5 = np.float32(6.36554770180248e-11)
_P6 = np.float32(-1.1564344873886268e-13)
_Q1 = np.float32(0.46457681919090893)
_Q2 = np.float32(0.02467500327887891)
_Q3 = np.float32(0.00026129753082530745)
_SINGLE_SIZE = 4


@inner
def n_units(sizes: Array) -> int:
    """Activations of all layers of one row."""
    total = 0
    for level in range(1, sizes.size):
        total += sizes[level]
    return total


@inner
def n_weights(sizes: Array) -> int:
    """Parameters, biases included."""
    total = 0
    for level in range(1, sizes.size):
        total += (sizes[level - 1] + 1) * sizes[level]
    return total


@inner
def copy_numbers(source: Array, source_at: int, n: int, out: Array, out_at: int) -> None:
    """Copy ``n`` numbers, which do not overlap."""
    for i in range(n):
        out[out_at + i] = source[source_at + i]


@inner
def forward_tile(
    params: Array, sizes: Array, is_relu: bool, inputs: Array, inputs_at: int, n_rows: int, work: Array, work_at: int
) -> int:
    """Fill n_rows * sum(sizes[1:]) places of ``work`` with the activations of all layers; return the place of the last.

    ``inputs`` holds ``n_rows`` rows from ``inputs_at`` on.
    """
    y, y_at = inputs, inputs_at
    start, at = 0, work_at
    for level in range(sizes.size - 1):
        n_in, n_out = sizes[level], sizes[level + 1]
        bias_at = start + n_in * n_out
        multiply_add(work, at, params, bias_at, 0, y, y_at, n_in, 1, params, start, n_rows, n_out, n_in)
        if level < sizes.size - 2:
            _activate(work[at : at + n_rows * n_out], is_relu)
        y, y_at = work, at
        start = bias_at + n_out
        at += n_rows * n_out
    return y_at


@inner
def backward_tile(
    transposed: Array,
    sizes: Array,
    is_relu: bool,
    inputs: Array,
    inputs_at: int,
    n_rows: int,
    work: Array,
    work_at: int,
    slopes: Array,
    gradient: Array,
) -> None:
    """Add the gradient of the tile to ``gradient`` (P,).

    ``slopes`` holds, at the place of the last layer counted from 0, the derivative by the outputs; the layers before it
    are filled in.
    """
    units = n_units(sizes)
    zeros = np.zeros(units, gradient.dtype)
    at = n_rows * units
    end = gradient.size
    for level in range(sizes.size - 2, -1, -1):
        n_in, n_out = sizes[level], sizes[level + 1]
        at -= n_rows * n_out
        below = at - n_rows * n_in
        bias_at = end - n_out
        start = bias_at - n_in * n_out
        add_rows(slopes[at : at + n_rows * n_out], gradient[bias_at:end])
        if level == 0:
            add_outer(gradient, start, inputs, inputs_at, slopes, at, n_in, n_out, n_rows)
        else:
            add_outer(gradient, start, work, work_at + below, slopes, at, n_in, n_out, n_rows)
            multiply_add(slopes, below, zeros, 0, 0, slopes, at, n_out, 1, transposed, start, n_rows, n_in, n_out)
            apply_derivative(work[work_at + below : work_at + at], is_relu, slopes[below:at])
        end = start


@inner
def slopes_tile(
    transposed: Array, sizes: Array, is_relu: bool, n_rows: int, work: Array, work_at: int, slopes: Array
) -> None:
    """The derivatives of ``backward_tile`` without the gradient: fill in ``slopes`` before those by the outputs."""
    units = n_units(sizes)
    zeros = np.zeros(units, slopes.dtype)
    at = n_rows * (units - sizes[-1])
    start = transposed.size
    for level in range(sizes.size - 2, 0, -1):
        n_in, n_out = sizes[level], sizes[level + 1]
        start -= (n_in + 1) * n_out
        below = at - n_rows * n_in
        multiply_add(slopes, below, zeros, 0, 0, slopes, at, n_out, 1, transposed, start, n_rows, n_in, n_out)
        apply_derivative(work[work_at + below : work_at + at], is_relu, slopes[below:at])
        at = below


@inner
def tangent_tile(
    params: Array,
    direction: Array,
    sizes: Array,
    is_relu: bool,
    inputs: Array,
    inputs_at: int,
    n_rows: int,
    work: Array,
    work_at: int,
    tangents: Array,
) -> int:
    """Derivatives of all layers along ``direction`` (P,) into ``tangents``; returns the place of the last.

    ``work`` holds the activations.
    """
    start, at, before = 0, 0, 0
    for level in range(sizes.size - 1):
        n_in, n_out = sizes[level], sizes[level + 1]
        bias_at = start + n_in * n_out
        y, y_at = (inputs, inputs_at) if level == 0 else (work, work_at + before)
        multiply_add(tangents, at, direction, bias_at, 0, y, y_at, n_in, 1, direction, start, n_rows, n_out, n_in)
        if level > 0:
            multiply_add(
                tangents, at, tangents, at, n_out, tangents, before, n_in, 1, params, start, n_rows, n_out, n_in
            )
        end = at + n_rows * n_out
        if level < sizes.size - 2:
            apply_derivative(work[work_at + at : work_at + end], is_relu, tangents[at:end])
        start = bias_at + n_out
        before, at = at, end
    return before


@inner
def add_outer(
    out: Array, out_at: int, y: Array, y_at: int, dz: Array, dz_at: int, n_in: int, n_out: int, n_rows: int
) -> None:
    """Add the gradient by a weight: out (n_in, n_out) += y' dz over the rows."""
    multiply_add(out, out_at, out, out_at, n_out, y, y_at, 1, n_in, dz, dz_at, n_in, n_out, n_rows)


@inner
def transpose_weights(params: Array, sizes: Array, transposed: Array) -> None:
    """Every weight (in, out) of ``params`` but the first as (out, in) at the same place of ``transposed``."""
    start = (sizes[0] + 1) * sizes[1]
    for level in range(1, sizes.size - 1):
        n_in, n_out = sizes[level], sizes[level + 1]
        weight = params[start : start + n_in * n_out].reshape((n_in, n_out))
        turned = transposed[start : start + n_in * n_out].reshape((n_out, n_in))
        for j in range(n_out):
            for i in range(n_in):
                turned[j, i] = weight[i, j]
        start += (n_in + 1) * n_out


@inner
def add_rows(dz: Array, out: Array) -> None:
    """Add the rows of ``dz``, flat, to ``out``."""
    rows: Array = dz.reshape((dz.size // out.size, out.size))
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[j] += rows[i, j]


@inner
def _activate(z: Array, is_relu: bool) -> None:
    """In place. A NaN stays a NaN."""
    if is_relu:
        zero = z.dtype.type(0)
        for i in range(z.size):
            z[i] = zero if z[i] < zero else z[i]
    elif z.itemsize == _SINGLE_SIZE:
        for i in range(z.size):
            z[i] = _tanh_single(np.float32(z[i]))
    else:
        for i in range(z.size):
            z[i] = np.tanh(z[i])


@inner
def _tanh_single(x: Any) -> Any:
    if x > _TANH_LIMIT:
        x = _TANH_LIMIT
    if x < -_TANH_LIMIT:
        x = -_TANH_LIMIT
    z = x * x
    p = (((((_P6 * z + _P5) * z + _P4) * z + _P3) * z + _P2) * z + _P1) * z + _P0
    q = ((_Q3 * z + _Q2) * z + _Q1) * z + _P0
    return x * p / q


@inner
def apply_derivative(y: Array, is_relu: bool, dz: Array) -> None:
    """Multiply ``dz`` by the derivative of the activation, a function of its value ``y``."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    if is_relu:
        for i in range(y.size):
            dz[i] *= one if y[i] > zero else zero
    else:
        for i in range(y.size):
            dz[i] *= one - y[i] * y[i]
