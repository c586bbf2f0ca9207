"""A whole update of the critic, composed of the NumPy kernels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose_value import composed_value_update
from fastpg.kernels.layout import MLPLayout
from fastpg.kernels.reference.actor import KERNELS
from fastpg.kernels.reference.mlp import activations, mlp_backward

Array = NDArray[Any]


def value_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: MLPLayout,
    n_epochs: int,
    batch_size: int,
    clip_range_vf: float | None,
    max_grad_norm: float,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adam_step: int,
    seed: int,
    update_index: int,
    out: tuple[Array, Array, Array],
    stats: Array,
    n_threads: int,
) -> None:
    """Epochs of shuffled minibatches."""
    composed_value_update(
        KERNELS,
        partial(_loss_gradient, layout, clip_range_vf),
        (params, first_moment, second_moment),
        (observations, returns, old_values),
        adam_arguments={"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon},
        n_epochs=n_epochs,
        batch_size=batch_size,
        max_grad_norm=max_grad_norm,
        adam_step=adam_step,
        seed=seed,
        update_index=update_index,
        out=out,
        stats=stats,
    )


@np.errstate(all="ignore")
def _loss_gradient(
    layout: MLPLayout,
    clip_range_vf: float | None,
    params: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    gradient: Array,
) -> float:
    """Gradient of the mean of max(error^2, clipped error^2) into ``gradient``; the mean is returned."""
    values = activations(params, observations, layout)[-1][:, 0]
    error = values - returns
    squares = error * error
    by_value = values.dtype.type(2 / len(values)) * error
    if clip_range_vf is not None:
        change = values - old_values
        clipped = old_values + np.clip(change, -clip_range_vf, clip_range_vf).astype(values.dtype) - returns
        is_flat = ~(np.abs(change) <= clip_range_vf) & ~(clipped * clipped <= squares)  # a NaN comes here, and stays
        squares = np.where(is_flat, clipped * clipped, squares)
        by_value = np.where(is_flat, clipped * 0, by_value)
    mlp_backward(params, observations, by_value[:, None], layout=layout, out=gradient, n_threads=1)
    return float(np.mean(squares, dtype=np.float64))
