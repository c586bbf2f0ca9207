"""PPO's loss and its gradient in Numba: forward, loss and backward tile by tile, so that activations stay cached."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import as_float, flat, head_arguments, inner, jit, network_arguments, spliced, writable
from fastpg.kernels.jit._distributions import (
    add_row_gradient,
    add_row_kl_gradient,
    head_scales,
    normalize_rows,
    row_log_prob,
)
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, n_units, n_weights, transpose_weights
from fastpg.kernels.jit._surrogates import DUAL_CLIP, PLAIN_CLIP, SURROGATE_CODES, add_surrogate
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]
#: Added to the standard deviation of the advantages. Source: stable-baselines3, OpenAI baselines.
STD_EPSILON = 1e-8
#: Places of the coefficients in ``numbers``.
CLIP_RANGE, CONSTRAINT_COEF, DUAL_CLIP_OR_Q, ENT_COEF, KL_COEF, VF_COEF, CLIP_RANGE_VF = range(7)


def clipped_loss_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    normalize_advantage: bool,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
    old_head_inputs: Array | None,
    old_log_std: Array | None,
    out: Array,
    stats: Array,
    n_threads: int,
) -> None:
    """All samples as one minibatch, in their order."""
    _loss_gradient(
        writable(params),
        loss_arguments(
            layout,
            params.dtype,
            clip_range=clip_range,
            clip_range_vf=clip_range_vf,
            vf_coef=vf_coef,
            ent_coef=ent_coef,
            normalize_advantage=normalize_advantage,
            surrogate=surrogate,
            constraint_coef=constraint_coef,
            dual_clip=dual_clip,
            tsallis_q=tsallis_q,
            kl_coef=kl_coef,
            kl_direction=kl_direction,
        ),
        sample_arguments(observations, actions, old_log_probs, advantages, returns, old_values),
        old_policy_arguments(old_head_inputs, old_log_std, params.dtype),
        np.arange(len(observations)),
        out,
        stats,
    )


def loss_arguments(
    layout: ActorCriticLayout,
    dtype: np.dtype[Any],
    *,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    normalize_advantage: bool,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
) -> tuple[Any, ...]:
    """What ``loss_gradient`` needs to know besides parameters and samples."""
    limit_vf = math.inf if clip_range_vf is None else clip_range_vf
    numbers = (clip_range, constraint_coef, dual_clip or tsallis_q or 0.0, ent_coef, kl_coef, vf_coef, limit_vf)
    return (
        *network_arguments(layout.policy),
        *network_arguments(layout.value),
        *head_arguments(layout.head),
        DUAL_CLIP if dual_clip is not None else SURROGATE_CODES[surrogate],
        np.array(numbers, dtype),
        kl_direction == "new_old",
        normalize_advantage,
    )


def sample_arguments(observations: Array, actions: Array, *columns: Array) -> tuple[Array, ...]:
    """The six arrays of samples, flat and in the working dtype."""
    return (flat(observations), as_float(actions, observations.dtype), *(writable(column) for column in columns))


def old_policy_arguments(head_inputs: Array | None, log_std: Array | None, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Head inputs and log_std of the policy that a KL penalty is relative to; empty without one."""
    if head_inputs is None or log_std is None:
        return np.empty(0, dtype), np.empty(0, dtype)
    return flat(head_inputs), writable(log_std)


@jit
def _loss_gradient(
    params: Array,
    loss: tuple[Any, ...],
    samples: tuple[Array, ...],
    old: tuple[Array, Array],
    rows: Array,
    gradient: Array,
    stats: Array,
) -> None:
    loss_gradient(params, loss, samples, old, rows, gradient, stats)


@spliced
def loss_gradient(
    params: Array,
    loss: tuple[Any, ...],
    samples: tuple[Array, ...],
    old: tuple[Array, Array],
    rows: Array,
    gradient: Array,
    stats: Array,
) -> None:
    """Loss of the minibatch of these ``rows``: its gradient and its seven statistics, overwritten.

    The tuples are those of ``loss_arguments``, ``sample_arguments`` and ``old_policy_arguments``.
    """
    policy_sizes, is_policy_relu, value_sizes, is_value_relu, kind, columns, surrogate, numbers = loss[:8]
    is_new_old, normalize_advantage = loss[8:]
    observations, actions, old_log_probs, advantages, returns, old_values = samples
    gradient[:] = 0
    stats[:] = 0
    if rows.size == 0:
        return
    value_at = params.size - n_weights(value_sizes)
    log_std_at = n_weights(policy_sizes)
    scaled = np.empty(rows.size, params.dtype)
    gather(advantages, 1, rows, scaled)
    if normalize_advantage and rows.size > 1:
        _normalize(scaled)
    _add_policy_gradient(
        params[:log_std_at],
        params[log_std_at:value_at],
        policy_sizes,
        is_policy_relu,
        kind,
        columns,
        surrogate,
        numbers,
        is_new_old,
        observations,
        actions,
        old_log_probs,
        scaled,
        old[0],
        old[1],
        rows,
        gradient[:log_std_at],
        gradient[log_std_at:value_at],
        stats,
    )
    _add_value_gradient(
        params[value_at:],
        value_sizes,
        is_value_relu,
        numbers,
        observations,
        returns,
        old_values,
        rows,
        gradient[value_at:],
        stats,
    )
    for j in range(1, 7):
        stats[j] /= rows.size
    stats[0] = stats[1] + numbers[ENT_COEF] * stats[3] + numbers[VF_COEF] * stats[2] + numbers[KL_COEF] * stats[6]


@spliced
def _add_policy_gradient(
    params: Array,
    log_std: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    surrogate: int,
    numbers: Array,
    is_new_old: bool,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    old_inputs: Array,
    old_log_std: Array,
    rows: Array,
    gradient: Array,
    log_std_gradient: Array,
    stats: Array,
) -> None:
    """Gradient of the surrogate, the entropy and the KL penalty; sums over samples go to ``stats``."""
    ent_coef, kl_coef = numbers[ENT_COEF], numbers[KL_COEF]
    n_inputs, n_actions = sizes[-1], columns.size - 1
    share = params.dtype.type(1) / params.dtype.type(rows.size)
    most = min(rows.size, TILE_ROWS)
    tile = np.empty(most * sizes[0], params.dtype)
    old = np.empty(most * n_inputs, params.dtype)
    work = np.empty(most * n_units(sizes), params.dtype)
    slopes = np.empty_like(work)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    scales, old_scales = head_scales(log_std), head_scales(old_log_std)
    for first in range(0, rows.size, TILE_ROWS):
        size = min(TILE_ROWS, rows.size - first)
        gather(observations, sizes[0], rows[first : first + size], tile)
        at = forward_tile(params, sizes, is_relu, tile, 0, size, work, 0)
        normalize_rows(kind, columns, work, at, size)
        if kl_coef != 0:
            gather(old_inputs, n_inputs, rows[first : first + size], old)
            normalize_rows(kind, columns, old, 0, size)
        for i in range(size):
            n = rows[first + i]
            z_at, action_at = at + i * n_inputs, n * n_actions
            log_ratio = row_log_prob(kind, columns, work, z_at, scales, actions, action_at) - old_log_probs[n]
            if surrogate == PLAIN_CLIP:
                by_log_prob = _clipped_surrogate(log_ratio, advantages[first + i], numbers[CLIP_RANGE], stats)
            else:
                by_log_prob = add_surrogate(surrogate, log_ratio, advantages[first + i], numbers, stats)
            stats[3] -= add_row_gradient(
                kind,
                columns,
                work,
                z_at,
                scales,
                actions,
                action_at,
                -by_log_prob * share,
                -ent_coef * share,
                slopes,
                z_at,
                log_std_gradient,
            )
            if kl_coef != 0:
                stats[6] += add_row_kl_gradient(
                    kind,
                    columns,
                    old,
                    i * n_inputs,
                    old_scales,
                    work,
                    z_at,
                    scales,
                    kl_coef * share,
                    is_new_old,
                    slopes,
                    z_at,
                    log_std_gradient,
                )
        backward_tile(transposed, sizes, is_relu, tile, 0, size, work, 0, slopes, gradient)


@inner
def gather(source: Array, width: int, rows: Array, out: Array) -> None:
    """Rows of ``width`` numbers of ``source`` into ``out``, both flat."""
    for i in range(rows.size):
        start = rows[i] * width
        for j in range(width):
            out[i * width + j] = source[start + j]


@inner
def _clipped_surrogate(log_ratio: Any, advantage: Any, clip_range: Any, stats: Array) -> Any:
    """Derivative of min(ratio A, clip(ratio) A) by the log-probability; adds to loss, KL and clip fraction."""
    ratio = np.exp(log_ratio)
    unclipped = ratio * advantage
    clipped = min(max(ratio, 1 - clip_range), 1 + clip_range) * advantage
    stats[4] += (ratio - 1) - log_ratio
    stats[5] += abs(ratio - 1) > clip_range
    if unclipped > clipped:
        stats[1] -= clipped
        return unclipped * 0
    stats[1] -= unclipped  # a NaN comes here, and stays
    return unclipped


@spliced
def _add_value_gradient(
    params: Array,
    sizes: Array,
    is_relu: bool,
    numbers: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    rows: Array,
    gradient: Array,
    stats: Array,
) -> None:
    """Gradient of vf_coef * mean squared error; the sum of squares goes to ``stats``."""
    limit = numbers[CLIP_RANGE_VF]
    scale = (numbers[VF_COEF] + numbers[VF_COEF]) / params.dtype.type(rows.size)
    most = min(rows.size, TILE_ROWS)
    tile = np.empty(most * sizes[0], params.dtype)
    work = np.empty(most * n_units(sizes), params.dtype)
    slopes = np.empty_like(work)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    for first in range(0, rows.size, TILE_ROWS):
        size = min(TILE_ROWS, rows.size - first)
        gather(observations, sizes[0], rows[first : first + size], tile)
        at = forward_tile(params, sizes, is_relu, tile, 0, size, work, 0)
        for i in range(size):
            n = rows[first + i]
            change = work[at + i] - old_values[n]
            is_clipped = abs(change) > limit
            predicted = old_values[n] + (limit if change > 0 else -limit) if is_clipped else work[at + i]
            error = predicted - returns[n]
            stats[2] += error * error
            slopes[at + i] = error * 0 if is_clipped else scale * error
        backward_tile(transposed, sizes, is_relu, tile, 0, size, work, 0, slopes, gradient)


@inner
def _normalize(advantages: Array) -> None:
    """(A - mean) / (std + 1e-8) with divisor B - 1, in place; moments in float64."""
    n = advantages.size
    total = 0.0
    for i in range(n):
        total += advantages[i]
    mean = total / n
    squares = 0.0
    for i in range(n):
        squares += (advantages[i] - mean) ** 2
    scale = 1.0 / (np.sqrt(squares / (n - 1)) + STD_EPSILON)
    for i in range(n):
        advantages[i] = (advantages[i] - mean) * scale
