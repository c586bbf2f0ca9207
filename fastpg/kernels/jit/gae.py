"""Generalised advantage estimation in Numba."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit, writable

Array = NDArray[Any]


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
    if n_steps == 0:
        return
    zero = rewards.dtype.type(0)
    last = n_steps - 1
    for n in range(n_envs):
        bootstrap = zero if terminated[last, n] else discount * next_values[last, n]
        out[last, n] = rewards[last, n] + bootstrap - values[last, n]
    for t in range(n_steps - 2, -1, -1):
        now, later = out[t], out[t + 1]
        for n in range(n_envs):
            following, tail = discount * next_values[t, n], decay * later[n]  # loads without a branch fill vectors
            bootstrap = zero if terminated[t, n] else following
            tail = zero if terminated[t, n] | truncated[t, n] else tail
            now[n] = rewards[t, n] + bootstrap - values[t, n] + tail
