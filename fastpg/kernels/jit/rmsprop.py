"""RMSprop in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import jit, writable

Array = NDArray[Any]


def rmsprop_step(
    params: Array,
    gradient: Array,
    square_average: Array,
    *,
    learning_rate: float,
    alpha: float,
    epsilon: float,
    out: tuple[Array, Array],
) -> None:
    """One pass, in place."""
    for new, old in zip(out, (params, square_average), strict=True):
        if new is not old:
            new[:] = old
    _rmsprop(writable(gradient), np.array([learning_rate, alpha, 1.0 - alpha, epsilon], params.dtype), *out)


@jit
def _rmsprop(gradient: Array, numbers: Array, params: Array, square_average: Array) -> None:
    learning_rate, alpha, rest, epsilon = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(params.size):
        v = alpha * square_average[i] + rest * gradient[i] * gradient[i]
        params[i] -= learning_rate * gradient[i] / (np.sqrt(v) + epsilon)
        square_average[i] = v
