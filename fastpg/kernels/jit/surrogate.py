"""The surrogate, its gradient, its curvature and the divergences of a candidate in Numba, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import as_float, flat, head_arguments, inner, jit, network_arguments, writable
from fastpg.kernels.jit._curvature import add_row_curvature, backward_tangent_tile, row_log_prob_change
from fastpg.kernels.jit._distributions import (
    add_row_gradient,
    head_scales,
    normalize_rows,
    row_entropy,
    row_kl,
    row_log_prob,
)
from fastpg.kernels.jit._network import (
    TILE_ROWS,
    backward_tile,
    forward_tile,
    n_units,
    tangent_tile,
    transpose_weights,
)
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
        flat(observations),
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
        flat(observations),
        as_float(actions, params.dtype),
        writable(old_log_probs),
        writable(advantages),
        flat(old_head_inputs),
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
        flat(observations),
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
    n_samples, n_inputs, n_actions = advantages.size, sizes[-1], columns.size - 1
    share = params.dtype.type(1) / params.dtype.type(n_samples)
    work = np.empty(min(n_samples, TILE_ROWS) * n_units(sizes), params.dtype)
    slopes = np.empty_like(work)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    scales = head_scales(log_std)
    for first in range(0, n_samples, TILE_ROWS):
        size = min(TILE_ROWS, n_samples - first)
        start = first * sizes[0]
        at = forward_tile(params, sizes, is_relu, observations, start, size, work, 0)
        normalize_rows(kind, columns, work, at, size)
        for i in range(size):
            n, z_at = first + i, at + i * n_inputs
            log_ratio = row_log_prob(kind, columns, work, z_at, scales, actions, n * n_actions) - old_log_probs[n]
            term = np.exp(log_ratio) * advantages[n]
            stats[0] += term
            stats[1] += add_row_gradient(
                kind,
                columns,
                work,
                z_at,
                scales,
                actions,
                n * n_actions,
                term * share,
                ent_coef * share,
                slopes,
                z_at,
                log_std_gradient,
            )
        backward_tile(transposed, sizes, is_relu, observations, start, size, work, 0, slopes, gradient)


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
    n_samples, n_inputs, n_actions = advantages.size, sizes[-1], columns.size - 1
    share = params.dtype.type(1) / params.dtype.type(n_samples)
    work = np.empty(min(n_samples, TILE_ROWS) * n_units(sizes), params.dtype)
    work_dot, slopes, slopes_dot = np.empty_like(work), np.empty_like(work), np.empty_like(work)
    ignored = np.zeros_like(log_std)
    weights = np.empty(3, params.dtype)
    weights[2] = ent_coef * share
    transposed, transposed_direction = np.empty_like(params), np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    transpose_weights(direction, sizes, transposed_direction)
    scales = head_scales(log_std)
    for first in range(0, n_samples, TILE_ROWS):
        size = min(TILE_ROWS, n_samples - first)
        start = first * sizes[0]
        at = forward_tile(params, sizes, is_relu, observations, start, size, work, 0)
        tangent_tile(params, direction, sizes, is_relu, observations, start, size, work, 0, work_dot)
        normalize_rows(kind, columns, work, at, size)
        for i in range(size):
            n, z_at, a_at = first + i, at + i * n_inputs, (first + i) * n_actions
            log_ratio = row_log_prob(kind, columns, work, z_at, scales, actions, a_at) - old_log_probs[n]
            change = row_log_prob_change(kind, columns, work, work_dot, z_at, scales, log_std_dot, actions, a_at)
            weights[0] = np.exp(log_ratio) * advantages[n] * share
            weights[1] = weights[0] * change
            add_row_gradient(
                kind, columns, work, z_at, scales, actions, a_at, weights[0], weights[2], slopes, z_at, ignored
            )
            add_row_curvature(
                kind,
                columns,
                work,
                work_dot,
                z_at,
                scales,
                log_std_dot,
                actions,
                a_at,
                weights,
                slopes_dot,
                log_std_product,
            )
        backward_tangent_tile(
            transposed,
            transposed_direction,
            sizes,
            is_relu,
            observations,
            start,
            size,
            work,
            work_dot,
            slopes,
            slopes_dot,
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
    n_samples, n_inputs, n_actions = advantages.size, sizes[-1], columns.size - 1
    work = np.empty(min(n_samples, TILE_ROWS) * n_units(sizes), params.dtype)
    scales, old_scales = head_scales(log_std), head_scales(old_log_std)
    for first in range(0, n_samples, TILE_ROWS):
        size = min(TILE_ROWS, n_samples - first)
        old = old_head_inputs[first * n_inputs : (first + size) * n_inputs].copy()
        at = forward_tile(params, sizes, is_relu, observations, first * sizes[0], size, work, 0)
        normalize_rows(kind, columns, work, at, size)
        normalize_rows(kind, columns, old, 0, size)
        for i in range(size):
            n, z_at = first + i, at + i * n_inputs
            log_ratio = row_log_prob(kind, columns, work, z_at, scales, actions, n * n_actions) - old_log_probs[n]
            ratio = np.exp(log_ratio)
            stats[0] += ratio * advantages[n]
            stats[1] += row_entropy(kind, columns, work, z_at, scales)
            old_new = row_kl(kind, columns, old, i * n_inputs, old_scales, work, z_at, scales)
            new_old = row_kl(kind, columns, work, z_at, scales, old, i * n_inputs, old_scales)
            stats[2] += old_new
            stats[4] += new_old
            stats[6] += (ratio - 1) - log_ratio
            largest[0] = _larger(old_new, largest[0])
            largest[1] = _larger(new_old, largest[1])
            largest[2] = _larger(ratio, largest[2])


@inner
def _larger(value: Any, largest: float) -> float:
    """Their maximum; NaN if one is."""
    return largest if value <= largest or np.isnan(largest) else float(value)
