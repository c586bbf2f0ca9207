"""Generalised advantage estimation. Source: Schulman et al., arXiv:1506.02438, eqs. (11) to (16)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends

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
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> Array:
    """Advantages of T steps of N environments.

    With t = 0 ... T-1 and A_T = 0:

        td_error_t = r_t + gamma (1 - terminated_t) V(s'_t) - V(s_t)
        A_t = td_error_t + gamma lambda (1 - (terminated_t or truncated_t)) A_{t+1}

    A terminal state has no value, so ``terminated`` cuts the bootstrap; the recursion must not cross into the next
    episode, so either flag cuts it. A step with both flags counts as terminated.
    ``next_values`` is not used where ``terminated`` is set.

    Args:
        rewards: (T, N) float32 or float64, r_t.
        values: (T, N), same dtype, V(s_t).
        next_values: (T, N), same dtype, V of the true successor s'_t, before any reset.
        terminated: (T, N) bool, s'_t is terminal.
        truncated: (T, N) bool, the episode was cut at s'_t.
        gamma: discount factor in [0, 1].
        gae_lambda: in [0, 1]; 0 gives the TD error, 1 the discounted return minus the value.
        out: (T, N), same dtype, or None to allocate; must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``: advantages A_t (T, N).

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("gae: rewards", rewards)
    rewards = _check.array_of("gae: rewards", rewards, dtype, ("T", "N"))
    shape = rewards.shape
    values = _check.array_of("gae: values", values, dtype, shape)
    next_values = _check.array_of("gae: next_values", next_values, dtype, shape)
    terminated = _check.array_of("gae: terminated", terminated, np.dtype(np.bool_), shape)
    truncated = _check.array_of("gae: truncated", truncated, np.dtype(np.bool_), shape)
    out = _check.output("gae: out", out, dtype, shape)
    _check.check_no_overlap("gae: out", out, (rewards, values, next_values, terminated, truncated))
    backends.resolve("gae", backend).gae(  # a keyword takes a binding longer than three arrays
        rewards,
        values,
        next_values,
        terminated,
        truncated,
        _check.check_real("gae: gamma", gamma, 0.0, 1.0),
        _check.check_real("gae: gae_lambda", gae_lambda, 0.0, 1.0),
        out,
        _check.check_threads("gae", n_threads),
    )
    return out
