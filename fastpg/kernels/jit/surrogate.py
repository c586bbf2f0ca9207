"""The surrogate, its gradient, its curvature and the divergences of a candidate in Numba, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import as_float, head_arguments, jit, network_arguments, writable
from fastpg.kernels.jit._curvature import add_row_curvature, backward_tangent_tile, row_log_prob_change
from fastpg.kernels.jit._distributions import add_row_gradient, row_entropy, row_kl_old_new, row_log_prob
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, tangent_tile, transpose_weights
from fastpg.kernels.layout import PolicyLayout

Array = NDArray[Any]


def surrogate_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    out: Array,
    stats: Array,
    n_threads: int,
) -> None:
    """Forward and backward, tile by tile; gradients are added in order."""
    out[:] = 0
    stats[:] = 0
    if len(observations) == 0:
        return
    _add_gradient(
        *layout.split(writable(params)),
        *network_arguments(layout.policy),
        *head_arguments(layout.head),
        writable(observations),
        as_float(actions, params.dtype),
        writable(old_log_probs),
        writable(advantages),
        params.dtype.type(ent_coef),
        *layout.split(out),
        stats,
    )
    _finish(stats, len(observations), ent_coef)


def surrogate_evaluate(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    stats: Array,
    n_threads: int,
) -> None:
    """Forward alone; activations of one tile at a time."""
    stats[:] = 0
    if len(observations) == 0:
        return
    largest = np.zeros(3)
    _evaluate(
        *layout.split(writable(params)),
        *network_arguments(layout.policy),
        *head_arguments(layout.head),
        writable(observations),
        as_float(actions, params.dtype),
        writable(old_log_probs),
        writable(advantages),
        writable(old_head_inputs),
        writable(old_log_std),
        stats,
        largest,
    )
    _finish(stats, len(observations), ent_coef)
    stats[3], stats[5], stats[7] = largest


def surrogate_hessian_vector_product(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    vector: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    out: Array,
    n_threads: int,
) -> None:
    """Values and their derivatives along ``vector``, forward and backward, tile by tile."""
    out[:] = 0
    if len(observations) == 0:
        return
    _add_curvature(
        *layout.split(writable(params)),
        *layout.split(writable(vector)),
        *network_arguments(layout.policy),
        *head_arguments(layout.head),
        writable(observations),
        as_float(actions, params.dtype),
        writable(old_log_probs),
        writable(advantages),
        params.dtype.type(ent_coef),
        *layout.split(out),
    )


@np.errstate(all="ignore")
def _finish(stats: Array, n_samples: int, ent_coef: float) -> None:
    """Sums to means; the entropy term into the surrogate."""
    stats /= n_samples
    stats[0] += ent_coef * stats[1]


@jit
def _add_gradient(
    params: Array,
    log_std: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    ent_coef: Any,
    gradient: Array,
    log_std_gradient: Array,
    stats: Array,
) -> None:
    """Gradient of L; sums of ratio A and of the entropy go to ``stats``."""
    n_samples = observations.shape[0]
    share = params.dtype.type(1) / params.dtype.type(n_samples)
    work = np.empty(min(n_samples, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    by_inputs = np.empty((min(n_samples, TILE_ROWS), sizes[-1]), params.dtype)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    for first in range(0, n_samples, TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        inputs = forward_tile(params, sizes, is_relu, tile, work)
        for i in range(tile.shape[0]):
            n = first + i
            log_ratio = row_log_prob(kind, columns, inputs[i], log_std, actions[n]) - old_log_probs[n]
            term = np.exp(log_ratio) * advantages[n]
            stats[0] += term
            stats[1] += add_row_gradient(
                kind,
                columns,
                inputs[i],
                log_std,
                actions[n],
                term * share,
                ent_coef * share,
                by_inputs[i],
                log_std_gradient,
            )
        backward_tile(transposed, sizes, is_relu, tile, work, by_inputs[: tile.shape[0]], gradient)


@jit
def _add_curvature(
    params: Array,
    log_std: Array,
    direction: Array,
    log_std_dot: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    ent_coef: Any,
    product: Array,
    log_std_product: Array,
) -> None:
    """The Hessian of L times (direction, log_std_dot)."""
    n_samples = observations.shape[0]
    share = params.dtype.type(1) / params.dtype.type(n_samples)
    n_rows = min(n_samples, TILE_ROWS)
    work = np.empty(n_rows * sizes[1:].sum(), params.dtype)
    work_dot = np.empty_like(work)
    dz = np.empty((n_rows, sizes[-1]), params.dtype)
    dz_dot = np.empty_like(dz)
    ignored = np.zeros_like(log_std)
    weights = np.empty(3, params.dtype)
    weights[2] = ent_coef * share
    transposed, transposed_direction = np.empty_like(params), np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    transpose_weights(direction, sizes, transposed_direction)
    for first in range(0, n_samples, TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        z = forward_tile(params, sizes, is_relu, tile, work)
        z_dot = tangent_tile(params, direction, sizes, is_relu, tile, work, work_dot)
        for i in range(tile.shape[0]):
            n = first + i
            log_ratio = row_log_prob(kind, columns, z[i], log_std, actions[n]) - old_log_probs[n]
            change = row_log_prob_change(kind, columns, z[i], log_std, actions[n], z_dot[i], log_std_dot)
            weights[0] = np.exp(log_ratio) * advantages[n] * share
            weights[1] = weights[0] * change
            add_row_gradient(kind, columns, z[i], log_std, actions[n], weights[0], weights[2], dz[i], ignored)
            add_row_curvature(
                kind, columns, z[i], log_std, actions[n], weights, z_dot[i], log_std_dot, dz_dot[i], log_std_product
            )
        backward_tangent_tile(
            transposed,
            transposed_direction,
            sizes,
            is_relu,
            tile,
            work,
            work_dot,
            dz[: tile.shape[0]],
            dz_dot[: tile.shape[0]],
            product,
        )


@jit
def _evaluate(
    params: Array,
    log_std: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    stats: Array,
    largest: Array,
) -> None:
    """Sums to ``stats``, maxima to ``largest``: KL(old || new), KL(new || old), ratio."""
    n_samples = observations.shape[0]
    work = np.empty(min(n_samples, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    for first in range(0, n_samples, TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        inputs = forward_tile(params, sizes, is_relu, tile, work)
        for i in range(tile.shape[0]):
            n = first + i
            log_ratio = row_log_prob(kind, columns, inputs[i], log_std, actions[n]) - old_log_probs[n]
            ratio = np.exp(log_ratio)
            stats[0] += ratio * advantages[n]
            stats[1] += row_entropy(kind, columns, inputs[i], log_std)
            old = old_head_inputs[n]
            old_new = row_kl_old_new(kind, columns, old, old_log_std, inputs[i], log_std)
            new_old = row_kl_old_new(kind, columns, inputs[i], log_std, old, old_log_std)
            stats[2] += old_new
            stats[4] += new_old
            stats[6] += (ratio - 1) - log_ratio
            largest[0] = _larger(old_new, largest[0])
            largest[1] = _larger(new_old, largest[1])
            largest[2] = _larger(ratio, largest[2])


@jit
def _larger(value: Any, largest: float) -> float:
    """Their maximum; NaN if one is."""
    return largest if value <= largest or np.isnan(largest) else float(value)
