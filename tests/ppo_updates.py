"""One update of PPO on drawn samples: what tests of threads, instruction sets and interrupts run, and a benchmark."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout


def _layout(inputs: int, hidden: tuple[int, ...], head: HeadLayout) -> ActorCriticLayout:
    sizes = (inputs, *hidden)
    return ActorCriticLayout(MLPLayout((*sizes, head.n_inputs), "tanh"), MLPLayout((*sizes, 1), "tanh"), head)


SMALL = _layout(3, (16,), HeadLayout("categorical", (2,)))
UNEVEN = _layout(7, (64, 33), HeadLayout("gaussian", (1,) * 6))
HALFCHEETAH = _layout(17, (64, 64), HeadLayout("gaussian", (1,) * 6))
HYPER_PARAMETERS: dict[str, Any] = {
    "clip_range": 0.2,
    "vf_coef": 0.5,
    "ent_coef": 0.01,
    "max_grad_norm": 0.5,
    "normalize_advantage": True,
    "learning_rate": 1e-3,
    "adam_step": 0,
}


@cache
def inputs(layout: ActorCriticLayout, n_samples: int, dtype: type = np.float32) -> tuple[np.ndarray, ...]:
    """Parameters, moments and samples; made once, because making them holds the GIL."""
    rng = np.random.default_rng(0)
    params = (0.2 * rng.normal(size=layout.n_params)).astype(dtype)
    columns = rng.normal(size=(4, n_samples)).astype(dtype)
    head = layout.head
    actions = rng.integers(0, 2, (n_samples, 1)) if head.kind == "categorical" else rng.normal(size=(n_samples, 6))
    observations = rng.normal(size=(n_samples, layout.observation_size)).astype(dtype)
    actions = actions.astype(head.action_dtype(np.dtype(dtype)))
    zeros = np.zeros_like(params)
    return params, zeros, zeros, observations, actions, columns[0] - head.n_actions, *columns[1:]


def update(
    layout: ActorCriticLayout,
    *,
    n_samples: int,
    batch_size: int,
    n_epochs: int,
    n_threads: int = 1,
    dtype: type = np.float32,
    clip_range_vf: float | None = None,
    backend: str | None = "native",
) -> Any:
    """What ``ppo_update`` of ``backend`` returns."""
    return kernels.ppo_update(
        *inputs(layout, n_samples, dtype),
        layout=layout,
        n_epochs=n_epochs,
        batch_size=batch_size,
        clip_range_vf=clip_range_vf,
        **HYPER_PARAMETERS,
        seed=9,
        update_index=4,
        n_threads=n_threads,
        backend=backend,
    )
