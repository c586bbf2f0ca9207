"""RMSprop in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@np.errstate(all="ignore")
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
    """Two lines of the lecture, epsilon after the root."""
    real = params.dtype.type
    v = real(alpha) * square_average + real(1.0 - alpha) * gradient * gradient
    out[0][:] = params - real(learning_rate) * gradient / (np.sqrt(v) + real(epsilon))
    out[1][:] = v
