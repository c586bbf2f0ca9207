"""Action distributions in Numba: loops over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit import _distributions as rows
from fastpg.kernels.jit._compile import GAUSSIAN, as_float, head_arguments, jit, writable
from fastpg.kernels.jit.philox import counter_words, fill_normal, fill_uniform
from fastpg.kernels.layout import HeadLayout

Array = NDArray[Any]


def log_prob(head_inputs: Array, log_std: Array, actions: Array, *, head: HeadLayout, out: Array) -> None:
    """Row by row."""
    actions = as_float(actions, out.dtype)
    _log_prob(*head_arguments(head), writable(head_inputs), writable(log_std), actions, out)


def entropy(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None:
    """Row by row."""
    _entropy(*head_arguments(head), writable(head_inputs), writable(log_std), out)


def kl_old_new(
    old_head_inputs: Array,
    old_log_std: Array,
    new_head_inputs: Array,
    new_log_std: Array,
    *,
    head: HeadLayout,
    out: Array,
) -> None:
    """Row by row."""
    kind, columns = head_arguments(head)
    old, old_log_std = writable(old_head_inputs), writable(old_log_std)
    new, new_log_std = writable(new_head_inputs), writable(new_log_std)
    _kl_old_new(kind, columns, old, old_log_std, new, new_log_std, out)


def sample(
    head_inputs: Array, log_std: Array, *, head: HeadLayout, seed: int, stream: int, step: int, out: Array
) -> None:
    """Row by row, after drawing one number per action."""
    drawn = np.empty(out.shape, head_inputs.dtype)
    words = counter_words(seed, stream, step)
    _sample(*head_arguments(head), writable(head_inputs), writable(log_std), words, drawn)
    out[:] = drawn


def mode(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None:
    """Row by row."""
    found = np.empty(out.shape, head_inputs.dtype)
    _mode(*head_arguments(head), writable(head_inputs), found)
    out[:] = found


@jit
def _log_prob(kind: int, columns: Array, inputs: Array, log_std: Array, actions: Array, out: Array) -> None:
    for i in range(out.size):
        out[i] = rows.row_log_prob(kind, columns, inputs[i], log_std, actions[i])


@jit
def _entropy(kind: int, columns: Array, inputs: Array, log_std: Array, out: Array) -> None:
    for i in range(out.size):
        out[i] = rows.row_entropy(kind, columns, inputs[i], log_std)


@jit
def _kl_old_new(
    kind: int, columns: Array, old: Array, old_log_std: Array, new: Array, new_log_std: Array, out: Array
) -> None:
    for i in range(out.size):
        out[i] = rows.row_kl_old_new(kind, columns, old[i], old_log_std, new[i], new_log_std)


@jit
def _sample(kind: int, columns: Array, inputs: Array, log_std: Array, words: Array, out: Array) -> None:
    numbers = np.empty_like(out)
    if kind == GAUSSIAN:
        fill_normal(words, numbers)
    else:
        fill_uniform(words, numbers)
    for i in range(out.shape[0]):
        rows.sample_row(kind, columns, inputs[i], log_std, numbers[i], out[i])


@jit
def _mode(kind: int, columns: Array, inputs: Array, out: Array) -> None:
    for i in range(out.shape[0]):
        rows.mode_row(kind, columns, inputs[i], out[i])
