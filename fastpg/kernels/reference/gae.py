"""Generalised advantage estimation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@np.errstate(all="ignore")
def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    gamma: float,
    gae_lambda: float,
    out: Array,
    n_threads: int,
) -> None:
    """A_t = td_error_t + gamma lambda (1 - cut_t) A_{t+1}, backwards in time."""
    dtype = rewards.dtype.type
    discount, decay = dtype(gamma), dtype(gamma * gae_lambda)
    advantage = np.zeros_like(rewards[0]) if len(rewards) else None
    for t in reversed(range(len(rewards))):
        bootstrap = np.where(terminated[t], dtype(0), discount * next_values[t])
        td_error = rewards[t] + bootstrap - values[t]
        advantage = td_error + np.where(terminated[t] | truncated[t], dtype(0), decay * advantage)
        out[t] = advantage
