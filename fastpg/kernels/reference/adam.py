"""Adam in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@np.errstate(all="ignore")
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
    """Algorithm 1, with the corrections in PyTorch's order."""
    real = params.dtype.type
    m = real(beta1) * first_moment + real(1.0 - beta1) * gradient
    v = real(beta2) * second_moment + real(1.0 - beta2) * gradient * gradient
    step_size = learning_rate / (1.0 - beta1**step)
    root_correction = np.sqrt(1.0 - beta2**step)
    out[0][:] = params - real(step_size) * m / (np.sqrt(v) / real(root_correction) + real(epsilon))
    out[1][:] = m
    out[2][:] = v
