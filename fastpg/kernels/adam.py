"""One step of Adam. Source: Kingma and Ba, arXiv:1412.6980, algorithm 1, with epsilon outside of the correction."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastpg.kernels import _check, backends

Array = NDArray[Any]
_MAX_STEPS = 2**62


class AdamState(NamedTuple):
    """Parameters and moments after a step, each (P,)."""

    params: Array
    first_moment: Array
    second_moment: Array


def adam_step(
    params: Array,
    gradient: Array,
    first_moment: Array,
    second_moment: Array,
    *,
    step: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-5,
    out: AdamState | tuple[Array, Array, Array] | None = None,
    backend: str | None = None,
) -> AdamState:
    """One descent step of Adam, as PyTorch's.

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
        params = params - learning_rate / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon)

    Args:
        params: (P,) float32 or float64.
        gradient: (P,), same dtype, g, of a loss.
        first_moment: (P,), same dtype, m.
        second_moment: (P,), same dtype, v >= 0.
        step: number of this step, counted from 1.
        learning_rate: >= 0, finite.
        beta1: in [0, 1).
        beta2: in [0, 1).
        epsilon: >= 0.
        out: three arrays (P,), same dtype, or None to allocate; each may be the input of the same role.
        backend: implementation, None for the default.

    Returns:
        ``out`` as an ``AdamState``.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("adam_step: params", params)
    params = _check.array_of("adam_step: params", params, dtype, ("P",))
    shape = params.shape
    gradient = _check.array_of("adam_step: gradient", gradient, dtype, shape)
    first_moment = _check.array_of("adam_step: first_moment", first_moment, dtype, shape)
    second_moment = _check.array_of("adam_step: second_moment", second_moment, dtype, shape)
    new = AdamState(*(_check.output(f"adam_step: out[{i}]", array, dtype, shape) for i, array in _triple(out)))
    _check_aliases(new, AdamState(params, first_moment, second_moment), gradient)
    backends.resolve("adam", backend).adam_step(
        params,
        gradient,
        first_moment,
        second_moment,
        step=_check.check_integer("adam_step: step", step, 1, _MAX_STEPS),
        learning_rate=_check.check_non_negative("adam_step: learning_rate", learning_rate),
        beta1=check_decay("adam_step: beta1", beta1),
        beta2=check_decay("adam_step: beta2", beta2),
        epsilon=_check.check_non_negative("adam_step: epsilon", epsilon),
        out=new,
    )
    return new


def check_decay(where: str, value: float) -> float:
    """``value`` as a float in [0, 1)."""
    number = float(value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{where}: expected a number in [0, 1), got {value!r}.")
    return number


def _triple(out: AdamState | tuple[Array, Array, Array] | None) -> list[tuple[int, Array | None]]:
    if out is not None and len(out) != 3:
        raise ValueError(f"adam_step: out: expected three arrays, got {len(out)}.")
    return list(enumerate(out or (None, None, None)))


def _check_aliases(new: AdamState, old: AdamState, gradient: Array) -> None:
    for i, array in enumerate(new):
        _check.check_same_or_apart(f"adam_step: out[{i}]", array, old[i])
        others = [other for j in range(3) if j != i for other in (old[j], new[j])]
        _check.check_no_overlap(f"adam_step: out[{i}]", array, (*others, gradient))
