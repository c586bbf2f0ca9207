"""A whole update of the critic: all epochs and minibatches of Adam on the value network alone.

Source of the clipped loss: OpenAI baselines, ppo2/model.py, the larger of both errors (stable-baselines3 and
``ppo_update`` take the clipped one alone).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.adam import check_decay
from fastpg.kernels.clipped_loss import optional_range
from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]
_MAX_EPOCHS = 2**16 - 1
_MAX_UPDATES = 2**40 - 1
_MAX_SAMPLES = 2**32 - 1


@dataclass(frozen=True)
class ValueUpdateStats:
    """What one update of the critic says.

    Attributes:
        value_loss: mean over all minibatches of all epochs, before the step; in squared units of the returns.
        gradient_norm: mean over the optimiser steps, before clipping.
        n_optimizer_steps: steps of Adam taken.
    """

    value_loss: float
    gradient_norm: float
    n_optimizer_steps: int


class ValueUpdateResult(NamedTuple):
    """State after the update; ``adam_step`` is the total number of optimiser steps taken."""

    params: Array
    first_moment: Array
    second_moment: Array
    adam_step: int
    stats: ValueUpdateStats


class ValueSample(NamedTuple):
    """The arrays of B samples."""

    observations: Array
    returns: Array
    old_values: Array


def value_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: MLPLayout,
    n_epochs: int,
    batch_size: int,
    clip_range_vf: float | None = None,
    max_grad_norm: float = np.inf,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-5,
    adam_step: int,
    seed: int,
    update_index: int,
    out: tuple[Array, Array, Array] | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> ValueUpdateResult:
    """Fit the value network to the returns: ``n_epochs`` over the B samples in shuffled minibatches.

        loss = mean((returns - V)^2), with ``clip_range_vf``
        loss = mean(max((returns - V)^2, (returns - old - clip(V - old, -clip_range_vf, clip_range_vf))^2))

    Samples are shuffled and cut into minibatches as in ``ppo_update`` (the same counters, the same rule for the last
    minibatch). Per minibatch: gradient of the loss, ``clip_global_norm``, ``adam_step``.

    Args:
        params: (P,) float32 or float64, of the value network alone; unchanged, as are all inputs.
        first_moment: (P,), same dtype, Adam's.
        second_moment: (P,), same dtype, Adam's.
        observations: (B, O), same dtype, 1 <= B < 2^32.
        returns: (B,), same dtype, the targets.
        old_values: (B,), same dtype, values before the update; used only with ``clip_range_vf``.
        layout: the value network, one output.
        n_epochs: 1 <= n_epochs < 2^16.
        batch_size: samples per minibatch, >= 1; more than B means one minibatch.
        clip_range_vf: >= 0, in the units of the returns; None for no clipping.
        max_grad_norm: > 0, infinity for no clipping.
        learning_rate: >= 0, finite.
        beta1: in [0, 1).
        beta2: in [0, 1).
        epsilon: >= 0.
        adam_step: optimiser steps taken before this update, >= 0.
        seed: 0 <= seed < 2^64.
        update_index: number of this update, 0 <= update_index < 2^40.
        out: three arrays (P,), same dtype, for parameters and moments, or None to allocate; they must not overlap an
            input, so that an interrupted update leaves the inputs whole.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        New parameters and moments (in ``out``), the number of optimiser steps so far, and the statistics.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
        KeyboardInterrupt: Ctrl-C; the inputs are as they were.
    """
    dtype = _check.float_dtype("value_update: params", params)
    state = _checked_state(params, first_moment, second_moment, dtype, layout)
    sample = _checked_sample(ValueSample(observations, returns, old_values), dtype, layout)
    new = _outputs(out, dtype, state[0].shape, [*state, *sample])
    taken = _check.check_integer("value_update: adam_step", adam_step, 0, 2**62)
    stats = np.zeros(3)
    backends.resolve("value_update", backend).value_update(
        *state,
        *sample,
        layout=layout,
        n_epochs=_check.check_integer("value_update: n_epochs", n_epochs, 1, _MAX_EPOCHS),
        batch_size=_check.check_integer("value_update: batch_size", batch_size, 1, 2**62),
        clip_range_vf=optional_range("value_update: clip_range_vf", clip_range_vf),
        max_grad_norm=_check.check_positive("value_update: max_grad_norm", max_grad_norm),
        learning_rate=_check.check_non_negative("value_update: learning_rate", learning_rate),
        beta1=check_decay("value_update: beta1", beta1),
        beta2=check_decay("value_update: beta2", beta2),
        epsilon=_check.check_non_negative("value_update: epsilon", epsilon),
        adam_step=taken,
        seed=_check.check_integer("value_update: seed", seed, 0, 2**64 - 1),
        update_index=_check.check_integer("value_update: update_index", update_index, 0, _MAX_UPDATES),
        out=new,
        stats=stats,
        n_threads=_check.check_threads("value_update", n_threads),
    )
    value_loss, gradient_norm, n_steps = stats.tolist()
    return ValueUpdateResult(*new, taken + int(n_steps), ValueUpdateStats(value_loss, gradient_norm, int(n_steps)))


def _checked_state(
    params: Array, first_moment: Array, second_moment: Array, dtype: np.dtype[Any], layout: MLPLayout
) -> list[Array]:
    if layout.sizes[-1] != 1:
        raise ValueError(
            f"value_update: layout: expected a network with one output, got {layout.sizes[-1]}. "
            "Fix: pass the layout of the value network."
        )
    named = (("params", params), ("first_moment", first_moment), ("second_moment", second_moment))
    return [_check.array_of(f"value_update: {name}", array, dtype, (layout.n_params,)) for name, array in named]


def _checked_sample(sample: ValueSample, dtype: np.dtype[Any], layout: MLPLayout) -> ValueSample:
    shape = ("B", layout.sizes[0])
    observations = _check.array_of("value_update: observations", sample.observations, dtype, shape)
    n_samples = _check.check_integer("value_update: number of samples", len(observations), 1, _MAX_SAMPLES)
    return ValueSample(
        observations,
        _check.array_of("value_update: returns", sample.returns, dtype, (n_samples,)),
        _check.array_of("value_update: old_values", sample.old_values, dtype, (n_samples,)),
    )


def _outputs(
    out: tuple[Array, Array, Array] | None, dtype: np.dtype[Any], shape: tuple[int, ...], inputs: list[Array]
) -> tuple[Array, Array, Array]:
    if out is not None and len(out) != 3:
        raise ValueError(f"value_update: out: expected three arrays, got {len(out)}.")
    first, second, third = (
        _check.output(f"value_update: out[{i}]", array, dtype, shape) for i, array in enumerate(out or (None,) * 3)
    )
    _check.check_no_overlap("value_update: out[0]", first, inputs)
    _check.check_no_overlap("value_update: out[1]", second, [*inputs, first])
    _check.check_no_overlap("value_update: out[2]", third, [*inputs, first, second])
    return first, second, third
