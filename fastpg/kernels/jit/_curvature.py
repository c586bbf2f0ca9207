"""Derivatives of a policy's gradient along a direction of the parameters, on tiles of rows.

R is the derivative along the direction (Pearlmutter, Neural Computation 6, 1994); arrays named ``..._dot`` hold it.
Activations and their R lie layer after layer in ``work`` and ``work_dot``, as in ``_network``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import BERNOULLI, CATEGORICAL, jit
from fastpg.kernels.jit._distributions import categorical_entropy, log_normalizer, sigmoid
from fastpg.kernels.jit._network import _add_rows, _apply_derivative, add_product

Array = NDArray[Any]


@jit
def backward_tangent_tile(
    transposed: Array,
    transposed_direction: Array,
    sizes: Array,
    is_relu: bool,
    inputs: Array,
    work: Array,
    work_dot: Array,
    dz: Array,
    dz_dot: Array,
    product: Array,
) -> None:
    """Add R of the gradient to ``product`` (P,), given the derivatives by the outputs and their R."""
    n_rows = inputs.shape[0]
    at = n_rows * sizes[1:].sum()
    end = product.size
    for level in range(sizes.size - 2, -1, -1):
        n_in, n_out = sizes[level], sizes[level + 1]
        at -= n_rows * n_out
        y_at = at - n_rows * n_in
        bias_at = end - n_out
        start = bias_at - n_in * n_out
        weight_product = product[start:bias_at].reshape((n_in, n_out))
        _add_rows(dz_dot, product[bias_at:end])
        if level == 0:
            add_product(weight_product, inputs.T, dz_dot)
        else:
            y, y_dot = work[y_at:at], work_dot[y_at:at]
            add_product(weight_product, y.reshape((n_rows, n_in)).T, dz_dot)
            add_product(weight_product, y_dot.reshape((n_rows, n_in)).T, dz)
            weight = transposed[start:bias_at].reshape((n_out, n_in))
            dy, dy_dot = np.zeros((n_rows, n_in), work.dtype), np.zeros((n_rows, n_in), work.dtype)
            add_product(dy, dz, weight)
            add_product(dy_dot, dz_dot, weight)
            add_product(dy_dot, dz, transposed_direction[start:bias_at].reshape((n_out, n_in)))
            _apply_both_derivatives(y, y_dot, is_relu, dy.reshape(dy.size), dy_dot.reshape(dy.size))
            dz, dz_dot = dy, dy_dot
        end = start


@jit
def _apply_both_derivatives(y: Array, y_dot: Array, is_relu: bool, dy: Array, dy_dot: Array) -> None:
    """Through the activation: dy_dot = activation' dy_dot + (R activation') dy, then dy = activation' dy."""
    _apply_derivative(y, is_relu, dy_dot)
    if not is_relu:
        for i in range(y.size):
            dy_dot[i] -= (y[i] + y[i]) * y_dot[i] * dy[i]
    _apply_derivative(y, is_relu, dy)


@jit
def row_log_prob_change(
    kind: int, columns: Array, z: Array, log_std: Array, actions: Array, z_dot: Array, log_std_dot: Array
) -> Any:
    """R of the log-probability of one row."""
    total = z.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            highest, log_sum = log_normalizer(z, columns[d], columns[d + 1])
            total += z_dot[columns[d] + int(actions[d])]
            for k in range(columns[d], columns[d + 1]):
                total -= np.exp(z[k] - highest - log_sum) * z_dot[k]
        elif kind == BERNOULLI:
            total += (actions[d] - sigmoid(z[d])) * z_dot[d]
        else:
            scaled = (actions[d] - z[d]) * np.exp(-log_std[d])
            total += scaled * np.exp(-log_std[d]) * z_dot[d] + (scaled * scaled - 1) * log_std_dot[d]
    return total


@jit
def add_row_curvature(
    kind: int,
    columns: Array,
    z: Array,
    log_std: Array,
    actions: Array,
    weights: Array,
    z_dot: Array,
    log_std_dot: Array,
    dz_dot: Array,
    ds_dot: Array,
) -> None:
    """R of the derivatives of weight * log_prob + by_entropy * entropy; ``weights`` = (weight, its R, by_entropy).

    That by the head inputs is written, that by log_std is added.
    """
    weight, weight_dot, by_entropy = weights[0], weights[1], weights[2]
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            _categorical_curvature(z, z_dot, columns[d], columns[d + 1], weights, dz_dot)
            dz_dot[columns[d] + int(actions[d])] += weight_dot
        elif kind == BERNOULLI:
            p = sigmoid(z[d])
            slope = p * sigmoid(-z[d])
            bend = weight + by_entropy * (1 + z[d] * (1 - 2 * p))
            dz_dot[d] = weight_dot * (actions[d] - p) - slope * bend * z_dot[d]
        else:
            inverse = np.exp(-log_std[d])
            scaled = (actions[d] - z[d]) * inverse
            change = z_dot[d] * inverse + scaled * log_std_dot[d]
            dz_dot[d] = (weight_dot * scaled - weight * (change + scaled * log_std_dot[d])) * inverse
            ds_dot[d] += weight_dot * (scaled * scaled - 1) - weight * 2 * scaled * change


@jit
def _categorical_curvature(z: Array, z_dot: Array, first: int, end: int, weights: Array, dz_dot: Array) -> None:
    """Of logits[first:end]; all but the term of the chosen action."""
    weight, weight_dot, by_entropy = weights[0], weights[1], weights[2]
    highest, log_sum = log_normalizer(z, first, end)
    entropy = categorical_entropy(z, first, end, highest, log_sum)
    mean_dot, entropy_dot = z.dtype.type(0), z.dtype.type(0)
    for k in range(first, end):
        log_p = z[k] - highest - log_sum
        mean_dot += np.exp(log_p) * z_dot[k]
        entropy_dot -= np.exp(log_p) * (log_p + entropy) * z_dot[k]
    for k in range(first, end):
        log_p = z[k] - highest - log_sum
        log_p_dot = z_dot[k] - mean_dot
        bend = log_p_dot * (log_p + entropy) + log_p_dot + entropy_dot
        dz_dot[k] = -np.exp(log_p) * (weight_dot + weight * log_p_dot + by_entropy * bend)
