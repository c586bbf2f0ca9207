"""Adam in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import inner, jit, writable

Array = NDArray[Any]


def adam_step(
    params: Array,
    gradient: Array,
    first_moment: Array,
    second_moment: Array,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    out: tuple[Array, Array, Array],
) -> None:
    """One pass; the corrections are computed in float64 before it."""
    numbers = adam_numbers(step - 1, 1, learning_rate, beta1, beta2, epsilon, params.dtype)
    for new, old in zip(out, (params, first_moment, second_moment), strict=True):
        if new is not old:
            new[:] = old
    _run_adam(writable(gradient), numbers[0], *out)


def adam_numbers(
    taken: int,
    n_steps: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    dtype: np.dtype[Any],
) -> Array:
    """(n_steps, 7): what ``run_adam`` needs for each of the steps after the first ``taken`` ones."""
    steps = np.arange(taken + 1, taken + 1 + n_steps, dtype=np.float64)
    numbers = np.empty((n_steps, 7))
    numbers[:, :4] = beta1, 1.0 - beta1, beta2, 1.0 - beta2
    numbers[:, 4] = learning_rate / (1.0 - beta1**steps)
    numbers[:, 5] = 1.0 / np.sqrt(1.0 - beta2**steps)
    numbers[:, 6] = epsilon
    return numbers.astype(dtype)


@jit
def _run_adam(gradient: Array, numbers: Array, params: Array, first_moment: Array, second_moment: Array) -> None:
    run_adam(gradient, numbers, params, first_moment, second_moment)


@inner
def run_adam(gradient: Array, numbers: Array, params: Array, first_moment: Array, second_moment: Array) -> None:
    """One step in place: with separate inputs that may be the outputs, LLVM would not vectorise the loop."""
    beta1, rest1, beta2, rest2 = numbers[0], numbers[1], numbers[2], numbers[3]
    step_size, per_root, epsilon = numbers[4], numbers[5], numbers[6]
    for i in range(params.size):
        m = beta1 * first_moment[i] + rest1 * gradient[i]
        v = beta2 * second_moment[i] + rest2 * gradient[i] * gradient[i]
        params[i] -= step_size * m / (np.sqrt(v) * per_root + epsilon)
        first_moment[i] = m
        second_moment[i] = v
