"""The critic's update in terms of smaller kernels, once for the implementations that do not fuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose import Kernels, minibatch_bounds
from fastpg.kernels.philox import STREAM_SHUFFLE

Array = NDArray[Any]


def composed_value_update(
    kernels: Kernels,
    loss_gradient: Callable[..., float],
    state: tuple[Array, Array, Array],
    samples: tuple[Array, Array, Array],
    *,
    adam_arguments: dict[str, float],
    n_epochs: int,
    batch_size: int,
    max_grad_norm: float,
    adam_step: int,
    seed: int,
    update_index: int,
    out: tuple[Array, Array, Array],
    stats: Array,
) -> None:
    """See ``fastpg.kernels.value_update.value_update``; ``samples`` are its three arrays of B rows.

    ``loss_gradient(params, observations, returns, old_values, gradient)`` overwrites ``gradient`` and returns the loss.
    """
    for new, old in zip(out, state, strict=True):
        new[:] = old
    gradient = np.empty_like(out[0])
    norm = np.zeros(1)
    order = np.empty(len(samples[0]), np.int64)
    losses: list[float] = []
    norms: list[float] = []
    for epoch in range(n_epochs):
        kernels.philox.permutation(seed, STREAM_SHUFFLE, (update_index << 16) | epoch, out=order)
        for first, end in minibatch_bounds(len(order), batch_size):
            minibatch = [np.take(array, order[first:end], axis=0) for array in samples]
            losses.append(loss_gradient(out[0], *minibatch, gradient))
            kernels.gradient_norm.clip_global_norm(gradient, max_norm=max_grad_norm, out=gradient, stats=norm)
            norms.append(norm[0])
            kernels.adam.adam_step(out[0], gradient, *out[1:], step=adam_step + len(norms), out=out, **adam_arguments)
    stats[:] = np.mean(losses), np.mean(norms), len(norms)
