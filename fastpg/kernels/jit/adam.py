"""Adam in Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit, writable

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
    step_size = learning_rate / (1.0 - beta1**step)
    root_correction = math.sqrt(1.0 - beta2**step)
    numbers = np.array([beta1, 1.0 - beta1, beta2, 1.0 - beta2, step_size, root_correction, epsilon], params.dtype)
    for new, old in zip(out, (params, first_moment, second_moment), strict=True):
        if new is not old:
            new[:] = old
    _adam(writable(gradient), numbers, *out)


@jit
def _adam(gradient: Array, numbers: Array, params: Array, first_moment: Array, second_moment: Array) -> None:
    """In place: with separate inputs that may be the outputs, LLVM would not vectorise the loop."""
    beta1, rest1, beta2, rest2 = numbers[0], numbers[1], numbers[2], numbers[3]
    step_size, root_correction, epsilon = numbers[4], numbers[5], numbers[6]
    for i in range(params.size):
        m = beta1 * first_moment[i] + rest1 * gradient[i]
        v = beta2 * second_moment[i] + rest2 * gradient[i] * gradient[i]
        params[i] -= step_size * m / (np.sqrt(v) / root_correction + epsilon)
        first_moment[i] = m
        second_moment[i] = v
