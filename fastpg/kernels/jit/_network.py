"""Multi-layer perceptrons on tiles of rows: the compiled parts that ``mlp`` and ``clipped_loss`` share.

Activations of a tile lie layer after layer in one flat ``work`` array, so that they stay in the cache between forward
and backward. Loops run with lanes over output features; LLVM vectorises them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit

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


@jit
def forward_tile(params: Array, sizes: Array, is_relu: bool, inputs: Array, work: Array) -> Array:
    """Fill ``work`` (rows * sum(sizes[1:])) with the activations of all layers; return those of the last, a view."""
    n_layers = sizes.size - 1
    y = inputs
    start, at = 0, 0
    for level in range(n_layers):
        n_in, n_out = sizes[level], sizes[level + 1]
        bias_at = start + n_in * n_out
        z = work[at : at + inputs.shape[0] * n_out].reshape((inputs.shape[0], n_out))
        _spread(params[bias_at : bias_at + n_out], z)
        add_product(z, y, params[start:bias_at].reshape((n_in, n_out)))
        if level < n_layers - 1:
            _activate(work[at : at + z.size], is_relu)
        y = z
        start = bias_at + n_out
        at += z.size
    return y


@jit
def backward_tile(
    transposed: Array, sizes: Array, is_relu: bool, inputs: Array, work: Array, dz: Array, gradient: Array
) -> None:
    """Add the gradient of the tile to ``gradient`` (P,); ``dz`` (rows, outputs) is the derivative by the outputs."""
    n_rows = inputs.shape[0]
    at = n_rows * sizes[1:].sum()
    end = gradient.size
    for level in range(sizes.size - 2, -1, -1):
        n_in, n_out = sizes[level], sizes[level + 1]
        at -= n_rows * n_out
        y_at = at - n_rows * n_in
        y = work[y_at:at].reshape((n_rows, n_in)) if level > 0 else inputs
        bias_at = end - n_out
        start = bias_at - n_in * n_out
        _add_rows(dz, gradient[bias_at:end])
        add_product(gradient[start:bias_at].reshape((n_in, n_out)), y.T, dz)
        if level > 0:
            below = np.zeros((n_rows, n_in), work.dtype)
            add_product(below, dz, transposed[start:bias_at].reshape((n_out, n_in)))
            _apply_derivative(work[y_at:at], is_relu, below.reshape(below.size))
            dz = below
        end = start


@jit
def tangent_tile(
    params: Array, direction: Array, sizes: Array, is_relu: bool, inputs: Array, work: Array, tangents: Array
) -> Array:
    """Derivative of the outputs along ``direction`` (P,), at the activations in ``work``; returns a view (rows, K).

    ``tangents`` is scratch of the size of ``work``.
    """
    n_layers = sizes.size - 1
    y, tangent = inputs, inputs
    start, at = 0, 0
    for level in range(n_layers):
        n_in, n_out = sizes[level], sizes[level + 1]
        bias_at = start + n_in * n_out
        end = at + inputs.shape[0] * n_out
        z = tangents[at:end].reshape((inputs.shape[0], n_out))
        _spread(direction[bias_at : bias_at + n_out], z)
        add_product(z, y, direction[start:bias_at].reshape((n_in, n_out)))
        if level > 0:
            add_product(z, tangent, params[start:bias_at].reshape((n_in, n_out)))
        if level < n_layers - 1:
            _apply_derivative(work[at:end], is_relu, tangents[at:end])
        y = work[at:end].reshape((inputs.shape[0], n_out))
        tangent = z
        start = bias_at + n_out
        at = end
    return tangent


@jit
def transpose_weights(params: Array, sizes: Array, transposed: Array) -> None:
    """Every weight (in, out) of ``params`` as (out, in) at the same place of ``transposed``."""
    start = 0
    for level in range(sizes.size - 1):
        n_in, n_out = sizes[level], sizes[level + 1]
        for i in range(n_in):
            for j in range(n_out):
                transposed[start + j * n_in + i] = params[start + i * n_out + j]
        start += (n_in + 1) * n_out


@jit
def add_product(out: Array, a: Array, b: Array) -> None:
    """Add a product: out (m, n) += a (m, k) @ b (k, n), two rows of ``out`` and four of ``b`` at a time.

    Each step of the inner loop does eight multiply-adds for six loads, so the loads do not limit it. The order of
    the sums depends on the shapes alone.
    """
    m, k = a.shape
    n = b.shape[1]
    for i in range(0, m - m % 2, 2):
        for p in range(0, k - k % 4, 4):
            a00, a01, a02, a03 = a[i, p], a[i, p + 1], a[i, p + 2], a[i, p + 3]
            a10, a11, a12, a13 = a[i + 1, p], a[i + 1, p + 1], a[i + 1, p + 2], a[i + 1, p + 3]
            for j in range(n):
                b0, b1, b2, b3 = b[p, j], b[p + 1, j], b[p + 2, j], b[p + 3, j]
                out[i, j] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                out[i + 1, j] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
        for p in range(k - k % 4, k):
            for j in range(n):
                out[i, j] += a[i, p] * b[p, j]
                out[i + 1, j] += a[i + 1, p] * b[p, j]
    for i in range(m - m % 2, m):
        for p in range(k):
            for j in range(n):
                out[i, j] += a[i, p] * b[p, j]


@jit
def _spread(bias: Array, z: Array) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = bias[j]


@jit
def _add_rows(dz: Array, out: Array) -> None:
    for i in range(dz.shape[0]):
        for j in range(dz.shape[1]):
            out[j] += dz[i, j]


@jit
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


@jit
def _tanh_single(x: Any) -> Any:
    if x > _TANH_LIMIT:
        x = _TANH_LIMIT
    if x < -_TANH_LIMIT:
        x = -_TANH_LIMIT
    z = x * x
    p = (((((_P6 * z + _P5) * z + _P4) * z + _P3) * z + _P2) * z + _P1) * z + _P0
    q = ((_Q3 * z + _Q2) * z + _Q1) * z + _P0
    return x * p / q


@jit
def _apply_derivative(y: Array, is_relu: bool, dz: Array) -> None:
    """Multiply ``dz`` by the derivative of the activation, a function of its value ``y``."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    if is_relu:
        for i in range(y.size):
            dz[i] *= one if y[i] > zero else zero
    else:
        for i in range(y.size):
            dz[i] *= one - y[i] * y[i]
