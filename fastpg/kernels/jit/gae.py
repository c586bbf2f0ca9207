"""Generalised advantage estimation in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit, writable

Array = NDArray[Any]


def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: float,
    gae_lambda: float,
    out: Array,
    n_threads: int,
) -> None:
    """Backwards in time, lanes over environments."""
    real = rewards.dtype.type
    _gae(
        writable(rewards),
        writable(values),
        writable(next_values),
        writable(terminated),
        writable(truncated),
        real(gamma),
        real(gamma * gae_lambda),
        out,
    )


@jit
def _gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    discount: Any,
    decay: Any,
    out: Array,
) -> None:
    n_steps, n_envs = rewards.shape
    zero = discount * 0
    advantages = np.zeros(n_envs, rewards.dtype)
    for t in range(n_steps - 1, -1, -1):
        for n in range(n_envs):
            bootstrap = zero if terminated[t, n] else discount * next_values[t, n]
            td_error = rewards[t, n] + bootstrap - values[t, n]
            tail = zero if terminated[t, n] | truncated[t, n] else decay * advantages[n]
            advantages[n] = td_error + tail
            out[t, n] = advantages[n]
