"""One step of RMSprop. Source: Tieleman and Hinton, Lecture 6.5 of Neural networks for machine learning, 2012."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.adam import check_decay

Array = NDArray[Any]


class RMSpropState(NamedTuple):
    """Parameters and running mean of the squared gradient after a step, each (P,)."""

    params: Array
    square_average: Array


def rmsprop_step(
    params: Array,
    gradient: Array,
    square_average: Array,
    *,
    learning_rate: float,
    alpha: float = 0.99,
    epsilon: float = 1e-8,
    out: RMSpropState | tuple[Array, Array] | None = None,
    backend: str | None = None,
) -> RMSpropState:
    """One descent step of RMSprop, as PyTorch's: epsilon is added after the root.

        v = alpha v + (1 - alpha) g^2
        params = params - learning_rate g / (sqrt(v) + epsilon)

    Args:
        params: (P,) float32 or float64.
        gradient: (P,), same dtype, g, of a loss.
        square_average: (P,), same dtype, v >= 0.
        learning_rate: >= 0, finite.
        alpha: in [0, 1), the weight of the past.
        epsilon: >= 0.
        out: two arrays (P,), same dtype, or None to allocate; each may be the input of the same role.
        backend: implementation, None for the default.

    Returns:
        ``out`` as an ``RMSpropState``.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("rmsprop_step: params", params)
    params = _check.array_of("rmsprop_step: params", params, dtype, ("P",))
    shape = params.shape
    gradient = _check.array_of("rmsprop_step: gradient", gradient, dtype, shape)
    square_average = _check.array_of("rmsprop_step: square_average", square_average, dtype, shape)
    if out is not None and len(out) != 2:
        raise ValueError(f"rmsprop_step: out: expected two arrays, got {len(out)}.")
    given = enumerate(out or (None, None))
    new = RMSpropState(*(_check.output(f"rmsprop_step: out[{i}]", array, dtype, shape) for i, array in given))
    _check.check_same_or_apart("rmsprop_step: out[0]", new.params, params)
    _check.check_same_or_apart("rmsprop_step: out[1]", new.square_average, square_average)
    _check.check_no_overlap("rmsprop_step: out[0]", new.params, (square_average, gradient, new.square_average))
    _check.check_no_overlap("rmsprop_step: out[1]", new.square_average, (params, gradient))
    backends.resolve("rmsprop", backend).rmsprop_step(
        params,
        gradient,
        square_average,
        learning_rate=_check.check_non_negative("rmsprop_step: learning_rate", learning_rate),
        alpha=check_decay("rmsprop_step: alpha", alpha),
        epsilon=_check.check_non_negative("rmsprop_step: epsilon", epsilon),
        out=new,
    )
    return new
