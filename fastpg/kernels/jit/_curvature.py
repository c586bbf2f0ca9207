"""Derivatives of a policy's gradient along a direction of the parameters, on tiles of rows.

R is the derivative along the direction (Pearlmutter, Neural Computation 6, 1994); arrays named ``..._dot`` hold it.
Activations and their R lie layer after layer in ``work`` and ``work_dot``, derivatives in ``slopes`` and
``slopes_dot``, as in ``_network``; rows of the distributions as in ``_distributions``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._block import multiply_add
from fastpg.kernels.jit._compile import BERNOULLI, CATEGORICAL, inner
from fastpg.kernels.jit._distributions import sigmoid
from fastpg.kernels.jit._network import add_outer, add_rows, apply_derivative, n_units

Array = NDArray[Any]


@inner
def backward_tangent_tile(
    transposed: Array,
    transposed_direction: Array,
    sizes: Array,
    is_relu: bool,
    inputs: Array,
    inputs_at: int,
    n_rows: int,
    work: Array,
    work_dot: Array,
    slopes: Array,
    slopes_dot: Array,
    product: Array,
) -> None:
    """Add R of the gradient to ``product`` (P,), given the derivatives by the outputs and their R."""
    units = n_units(sizes)
    zeros = np.zeros(units, product.dtype)
    at = n_rows * units
    end = product.size
    for level in range(sizes.size - 2, -1, -1):
        n_in, n_out = sizes[level], sizes[level + 1]
        at -= n_rows * n_out
        to = at - n_rows * n_in
        start = end - n_out - n_in * n_out
        add_rows(slopes_dot[at : at + n_rows * n_out], product[end - n_out : end])
        if level == 0:
            add_outer(product, start, inputs, inputs_at, slopes_dot, at, n_in, n_out, n_rows)
        else:
            add_outer(product, start, work, to, slopes_dot, at, n_in, n_out, n_rows)
            add_outer(product, start, work_dot, to, slopes, at, n_in, n_out, n_rows)
            m, n, k = n_rows, n_in, n_out
            multiply_add(slopes, to, zeros, 0, 0, slopes, at, k, 1, transposed, start, m, n, k)
            multiply_add(slopes_dot, to, zeros, 0, 0, slopes_dot, at, k, 1, transposed, start, m, n, k)
            multiply_add(slopes_dot, to, slopes_dot, to, n, slopes, at, k, 1, transposed_direction, start, m, n, k)
            _apply_both_derivatives(work[to:at], work_dot[to:at], is_relu, slopes[to:at], slopes_dot[to:at])
        end = start


@inner
def _apply_both_derivatives(y: Array, y_dot: Array, is_relu: bool, dy: Array, dy_dot: Array) -> None:
    """Through the activation: dy_dot = activation' dy_dot + (R activation') dy, then dy = activation' dy."""
    apply_derivative(y, is_relu, dy_dot)
    if not is_relu:
        for i in range(y.size):
            dy_dot[i] -= (y[i] + y[i]) * y_dot[i] * dy[i]
    apply_derivative(y, is_relu, dy)


@inner
def row_log_prob_change(
    kind: int,
    columns: Array,
    z: Array,
    z_dot: Array,
    z_at: int,
    scales: Array,
    log_std_dot: Array,
    actions: Array,
    action_at: int,
) -> Any:
    """R of the log-probability of one row."""
    total = z.dtype.type(0)
    one = z.dtype.type(1)
    n = columns.size - 1
    for d in range(n):
        action = actions[action_at + d]
        if kind == CATEGORICAL:
            total += z_dot[z_at + columns[d] + int(action)]
            for k in range(z_at + columns[d], z_at + columns[d + 1]):
                total -= np.exp(z[k]) * z_dot[k]
        elif kind == BERNOULLI:
            total += (action - sigmoid(z[z_at + d])) * z_dot[z_at + d]
        else:
            scaled = (action - z[z_at + d]) * scales[n + d]
            total += scaled * scales[n + d] * z_dot[z_at + d] + (scaled * scaled - one) * log_std_dot[d]
    return total


@inner
def add_row_curvature(
    kind: int,
    columns: Array,
    z: Array,
    z_dot: Array,
    z_at: int,
    scales: Array,
    log_std_dot: Array,
    actions: Array,
    action_at: int,
    weights: Array,
    slopes_dot: Array,
    by_log_std_dot: Array,
) -> None:
    """R of the derivatives of weight * log_prob + by_entropy * entropy; ``weights`` = (weight, its R, by_entropy).

    That by the head inputs is written to ``slopes_dot`` from ``z_at`` on, that by log_std is added.
    """
    weight, weight_dot, by_entropy = weights[0], weights[1], weights[2]
    n = columns.size - 1
    for d in range(n):
        action, at = actions[action_at + d], z_at + d
        if kind == CATEGORICAL:
            _categorical_curvature(z, z_dot, z_at + columns[d], z_at + columns[d + 1], weights, slopes_dot)
            slopes_dot[z_at + columns[d] + int(action)] += weight_dot
        elif kind == BERNOULLI:
            p = sigmoid(z[at])
            slope = p * sigmoid(-z[at])
            bend = weight + by_entropy * (1 + z[at] * (1 - 2 * p))
            slopes_dot[at] = weight_dot * (action - p) - slope * bend * z_dot[at]
        else:
            inverse = scales[n + d]
            scaled = (action - z[at]) * inverse
            change = z_dot[at] * inverse + scaled * log_std_dot[d]
            slopes_dot[at] = (weight_dot * scaled - weight * (change + scaled * log_std_dot[d])) * inverse
            by_log_std_dot[d] += weight_dot * (scaled * scaled - 1) - weight * 2 * scaled * change


@inner
def _categorical_curvature(z: Array, z_dot: Array, first: int, end: int, weights: Array, slopes_dot: Array) -> None:
    """Of logits[first:end]; all but the term of the chosen action."""
    weight, weight_dot, by_entropy = weights[0], weights[1], weights[2]
    zero = z.dtype.type(0)
    entropy, mean_dot, entropy_dot = zero, zero, zero
    for k in range(first, end):
        entropy -= np.exp(z[k]) * z[k]
        mean_dot += np.exp(z[k]) * z_dot[k]
    for k in range(first, end):
        entropy_dot -= np.exp(z[k]) * (z[k] + entropy) * z_dot[k]
    for k in range(first, end):
        log_p_dot = z_dot[k] - mean_dot
        bend = log_p_dot * (z[k] + entropy) + log_p_dot + entropy_dot
        slopes_dot[k] = -np.exp(z[k]) * (weight_dot + weight * log_p_dot + by_entropy * bend)
