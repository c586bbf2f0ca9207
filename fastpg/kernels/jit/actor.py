"""Acting on bound buffers, composed of the Numba kernels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpg.kernels._compose import ComposedActor, Kernels
from fastpg.kernels.jit import adam, clipped_loss, gradient_norm, heads, mlp, philox
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]
KERNELS = Kernels(philox, mlp, heads, clipped_loss, gradient_norm, adam)


def bind_actor(
    observations: Array,
    actions: Array,
    log_probs: Array,
    values: Array,
    *,
    layout: ActorCriticLayout,
    seed: int,
    stream: int,
    n_threads: int,
) -> ComposedActor:
    """The composed actor on these buffers."""
    return ComposedActor(KERNELS, (observations, actions, log_probs, values), layout=layout, seed=seed, stream=stream)
