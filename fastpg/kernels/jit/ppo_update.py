"""A whole PPO update: one compiled call per epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose import KL_STOP_FACTOR, UpdateRecord, minibatch_bounds, old_policy
from fastpg.kernels.jit._compile import jit
from fastpg.kernels.jit.actor import KERNELS
from fastpg.kernels.jit.adam import adam_numbers, run_adam
from fastpg.kernels.jit.clipped_loss import loss_arguments, loss_gradient, old_policy_arguments, sample_arguments
from fastpg.kernels.jit.gradient_norm import clip_norm
from fastpg.kernels.jit.philox import permutation
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.kernels.philox import STREAM_SHUFFLE

Array = NDArray[Any]


def ppo_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    n_epochs: int,
    batch_size: int,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    max_grad_norm: float,
    normalize_advantage: bool,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
    old_params: Array | None,
    target_kl: float | None,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adam_step: int,
    seed: int,
    update_index: int,
    first_epoch: int,
    out: tuple[Array, Array, Array],
    stats: Array,
    n_threads: int,
) -> None:
    """Between epochs the interpreter may be interrupted."""
    dtype = params.dtype
    loss = loss_arguments(
        layout,
        dtype,
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
    )
    samples = sample_arguments(observations, actions, old_log_probs, advantages, returns, old_values)
    old = old_policy_arguments(*old_policy(KERNELS, layout, old_params, observations), dtype)
    for new, before in zip(out, (params, first_moment, second_moment), strict=True):
        new[:] = before
    bounds = np.array(minibatch_bounds(len(observations), batch_size), np.int64)
    order = np.empty(len(observations), np.int64)
    record = UpdateRecord()
    for epoch in range(first_epoch, first_epoch + n_epochs):
        permutation(seed, STREAM_SHUFFLE, (update_index << 16) | epoch, out=order)
        losses, norms = np.empty((len(bounds), 7)), np.empty(len(bounds))
        taken = adam_step + len(record.gradient_norms)
        limits = np.array([np.inf if target_kl is None else KL_STOP_FACTOR * target_kl, max_grad_norm])
        numbers = adam_numbers(taken, len(bounds), learning_rate, beta1, beta2, epsilon, dtype)
        n_steps = _run_epoch(loss, samples, old, order, bounds, limits, numbers, out, losses, norms)
        record.add_epoch(losses[: n_steps + 1], norms[:n_steps], n_steps < len(bounds))
        if record.stopped:
            break
    record.write(stats)


@jit
def _run_epoch(
    loss: tuple[Any, ...],
    samples: tuple[Array, ...],
    old: tuple[Array, Array],
    order: Array,
    bounds: Array,
    limits: Array,
    numbers: Array,
    state: tuple[Array, Array, Array],
    losses: Array,
    norms: Array,
) -> int:
    """A step for every minibatch, rows order[first:end] for (first, end) in ``bounds``; returns how many were taken.

    Fewer when the estimated KL of a minibatch is above limits[0]; limits[1] bounds the norm of the gradient.
    """
    params, first_moment, second_moment = state
    gradient = np.empty_like(params)
    for j in range(bounds.shape[0]):
        rows = order[bounds[j, 0] : bounds[j, 1]]
        loss_gradient(params, loss, samples, old, rows, gradient, losses[j])
        if losses[j, 4] > limits[0]:
            return j
        norms[j] = clip_norm(gradient, limits[1])
        run_adam(gradient, numbers[j], params, first_moment, second_moment)
    return len(bounds)
