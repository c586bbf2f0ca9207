"""KL divergence between the old and the new policy and its gradient, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import PolicyLayout
from fastpg.kernels.reference.heads import Distribution, distribution
from fastpg.kernels.reference.mlp import activations, mlp_backward

Array = NDArray[Any]


@np.errstate(all="ignore")
def kl_gradient(
    params: Array,
    observations: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    weights: Array,
    *,
    layout: PolicyLayout,
    direction: str,
    out: Array,
    n_threads: int,
) -> None:
    """Forward, derivative by the head inputs, backward."""
    network, log_std = layout.split(params)
    network_out, log_std_out = layout.split(out)
    inputs = activations(network, observations, layout.policy)[-1]
    head = distribution(layout.head)
    _, by_inputs, by_log_std = kl_and_gradient(head, (old_head_inputs, old_log_std), (inputs, log_std), direction)
    mlp_backward(
        network, observations, weights[:, None] * by_inputs, layout=layout.policy, out=network_out, n_threads=1
    )
    log_std_out[:] = (weights[:, None] * by_log_std).sum(axis=0)


def kl_and_gradient(
    head: Distribution, old: tuple[Array, Array], new: tuple[Array, Array], direction: str
) -> tuple[Array, Array, Array]:
    """KL in ``direction`` (B,) and its derivatives by the new head inputs (B, K) and log_std."""
    if direction == "old_new":
        return head.kl_old_new(*old, *new), *head.kl_old_new_gradient(*old, *new)
    return head.kl_old_new(*new, *old), *head.kl_new_old_gradient(*old, *new)
