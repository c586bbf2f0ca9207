"""PPO's loss and its gradient in Numba: forward, loss and backward tile by tile, so that activations stay cached."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import as_float, head_arguments, jit, network_arguments, writable
from fastpg.kernels.jit._distributions import add_row_gradient, add_row_kl_gradient, row_log_prob
from fastpg.kernels.jit._network import TILE_ROWS, backward_tile, forward_tile, transpose_weights
from fastpg.kernels.jit._surrogates import DUAL_CLIP, PLAIN_CLIP, SURROGATE_CODES, add_surrogate
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]
#: Added to the standard deviation of the advantages. Source: stable-baselines3, OpenAI baselines.
STD_EPSILON = 1e-8


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
    """The policy network and its loss, then the value network and its loss."""
    n_samples = len(observations)
    out[:] = 0
    stats[:] = 0
    if n_samples == 0:
        return
    dtype = params.dtype
    policy, log_std, value = layout.split(writable(params))
    policy_out, log_std_out, value_out = layout.split(out)
    observations = writable(observations)
    advantages = writable(advantages)
    if normalize_advantage and n_samples > 1:
        scaled = np.empty_like(advantages)
        _normalize(advantages, scaled)
        advantages = scaled
    _add_policy_gradient(
        policy,
        log_std,
        *network_arguments(layout.policy),
        *head_arguments(layout.head),
        observations,
        as_float(actions, dtype),
        writable(old_log_probs),
        advantages,
        np.array([clip_range, ent_coef], dtype),
        _surrogate_code(surrogate, dual_clip),
        np.array([clip_range, constraint_coef, dual_clip or tsallis_q or 0.0], dtype),
        kl_coef,
        kl_direction == "new_old",
        np.empty((0, layout.head.n_inputs), dtype) if old_head_inputs is None else writable(old_head_inputs),
        log_std if old_log_std is None else writable(old_log_std),
        policy_out,
        log_std_out,
        stats,
    )
    _add_value_gradient(
        value,
        *network_arguments(layout.value),
        observations,
        writable(returns),
        writable(old_values),
        np.array([vf_coef, math.inf if clip_range_vf is None else clip_range_vf], dtype),
        value_out,
        stats,
    )
    stats[1:] /= n_samples
    policy_gradient_loss, value_loss, entropy_loss = stats[1:4].tolist()
    stats[0] = policy_gradient_loss + ent_coef * entropy_loss + vf_coef * value_loss + kl_coef * stats[6]


def _surrogate_code(name: str, dual_clip: float | None) -> int:
    """The code of a surrogate for compiled functions."""
    return DUAL_CLIP if dual_clip is not None else SURROGATE_CODES[name]


@jit
def _add_policy_gradient(
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
    coefficients: Array,
    surrogate: int,
    surrogate_numbers: Array,
    kl_coef: float,
    is_new_old: bool,
    old_inputs: Array,
    old_log_std: Array,
    gradient: Array,
    log_std_gradient: Array,
    stats: Array,
) -> None:
    """Gradient of the surrogate, the entropy and the KL penalty; sums over samples go to ``stats``."""
    clip_range, ent_coef = coefficients[0], coefficients[1]
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
            if surrogate == PLAIN_CLIP:
                by_log_prob = _clipped_surrogate(log_ratio, advantages[n], clip_range, stats)
            else:
                by_log_prob = add_surrogate(surrogate, log_ratio, advantages[n], surrogate_numbers, stats)
            stats[3] -= add_row_gradient(
                kind,
                columns,
                inputs[i],
                log_std,
                actions[n],
                -by_log_prob * share,
                -ent_coef * share,
                by_inputs[i],
                log_std_gradient,
            )
            if kl_coef != 0:
                stats[6] += add_row_kl_gradient(
                    kind,
                    columns,
                    old_inputs[n],
                    old_log_std,
                    inputs[i],
                    log_std,
                    kl_coef * share,
                    is_new_old,
                    by_inputs[i],
                    log_std_gradient,
                )
        backward_tile(transposed, sizes, is_relu, tile, work, by_inputs[: tile.shape[0]], gradient)


@jit
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


@jit
def _add_value_gradient(
    params: Array,
    sizes: Array,
    is_relu: bool,
    observations: Array,
    returns: Array,
    old_values: Array,
    coefficients: Array,
    gradient: Array,
    stats: Array,
) -> None:
    """Gradient of vf_coef * mean squared error; the sum of squares goes to ``stats``."""
    n_samples = observations.shape[0]
    scale = 2 * coefficients[0] / params.dtype.type(n_samples)
    limit = coefficients[1]
    work = np.empty(min(n_samples, TILE_ROWS) * sizes[1:].sum(), params.dtype)
    by_value = np.empty((min(n_samples, TILE_ROWS), 1), params.dtype)
    transposed = np.empty_like(params)
    transpose_weights(params, sizes, transposed)
    for first in range(0, n_samples, TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        values = forward_tile(params, sizes, is_relu, tile, work)
        for i in range(tile.shape[0]):
            n = first + i
            change = values[i, 0] - old_values[n]
            is_clipped = abs(change) > limit
            predicted = old_values[n] + (limit if change > 0 else -limit) if is_clipped else values[i, 0]
            error = predicted - returns[n]
            stats[2] += error * error
            by_value[i, 0] = error * 0 if is_clipped else scale * error
        backward_tile(transposed, sizes, is_relu, tile, work, by_value[: tile.shape[0]], gradient)


@jit
def _normalize(advantages: Array, out: Array) -> None:
    """(A - mean) / (std + 1e-8) with divisor B - 1; moments in float64."""
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
        out[i] = (advantages[i] - mean) * scale
