"""Action distributions in Numba: loops over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit import _distributions as rows
from fastpg.kernels.jit._compile import GAUSSIAN, as_float, flat, head_arguments, jit, writable
from fastpg.kernels.jit.philox import counter_words, fill_normal, fill_uniform
from fastpg.kernels.layout import HeadLayout

Array = NDArray[Any]


def log_prob(head_inputs: Array, log_std: Array, actions: Array, *, head: HeadLayout, out: Array) -> None:
    """Row by row."""
    _log_prob(*head_arguments(head), flat(head_inputs), writable(log_std), as_float(actions, out.dtype), out)


def entropy(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None:
    """Row by row."""
    _entropy(*head_arguments(head), flat(head_inputs), writable(log_std), out)


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
    old, new = flat(old_head_inputs), flat(new_head_inputs)
    _kl_old_new(*head_arguments(head), old, writable(old_log_std), new, writable(new_log_std), out)


def sample(
    head_inputs: Array, log_std: Array, *, head: HeadLayout, seed: int, stream: int, step: int, out: Array
) -> None:
    """Row by row, after drawing one number per action."""
    drawn = np.empty(out.shape, head_inputs.dtype)
    words = counter_words(seed, stream, step)
    _sample(*head_arguments(head), flat(head_inputs), writable(log_std), words, drawn)
    out[:] = drawn


def mode(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None:
    """Row by row."""
    found = np.empty(out.shape, head_inputs.dtype)
    _mode(*head_arguments(head), flat(head_inputs), found)
    out[:] = found


@jit
def _log_prob(kind: int, columns: Array, z: Array, log_std: Array, actions: Array, out: Array) -> None:
    z = z.copy()
    rows.normalize_rows(kind, columns, z, 0, out.size)
    scales = rows.head_scales(log_std)
    for i in range(out.size):
        out[i] = rows.row_log_prob(kind, columns, z, i * columns[-1], scales, actions, i * (columns.size - 1))


@jit
def _entropy(kind: int, columns: Array, z: Array, log_std: Array, out: Array) -> None:
    z = z.copy()
    rows.normalize_rows(kind, columns, z, 0, out.size)
    scales = rows.head_scales(log_std)
    for i in range(out.size):
        out[i] = rows.row_entropy(kind, columns, z, i * columns[-1], scales)


@jit
def _kl_old_new(
    kind: int, columns: Array, old: Array, old_log_std: Array, new: Array, new_log_std: Array, out: Array
) -> None:
    old, new = old.copy(), new.copy()
    rows.normalize_rows(kind, columns, old, 0, out.size)
    rows.normalize_rows(kind, columns, new, 0, out.size)
    old_scales, new_scales = rows.head_scales(old_log_std), rows.head_scales(new_log_std)
    for i in range(out.size):
        at = i * columns[-1]
        out[i] = rows.row_kl(kind, columns, old, at, old_scales, new, at, new_scales)


@jit
def _sample(kind: int, columns: Array, z: Array, log_std: Array, words: Array, out: Array) -> None:
    numbers = np.empty_like(out)
    if kind == GAUSSIAN:
        fill_normal(words, numbers)
    else:
        fill_uniform(words, numbers)
    drawn, chosen = numbers.reshape(numbers.size), out.reshape(out.size)
    for i in range(out.shape[0]):
        rows.sample_row(kind, columns, z, i * columns[-1], log_std, drawn, chosen, i * out.shape[1])


@jit
def _mode(kind: int, columns: Array, z: Array, out: Array) -> None:
    chosen = out.reshape(out.size)
    for i in range(out.shape[0]):
        rows.mode_row(kind, columns, z, i * columns[-1], chosen, i * out.shape[1])
