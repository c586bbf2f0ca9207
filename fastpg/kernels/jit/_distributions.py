"""Action distributions of one sample: the compiled parts that ``heads`` and ``clipped_loss`` share.

``kind`` is a code of ``_compile``; ``columns`` holds the first head input of every action dimension and the end. A row
is ``inputs`` (K,), ``actions`` (D,) in the working dtype. Every formula stands here once. Numba widens float32 with
a Python number to float64, which is welcome in these few operations per sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import BERNOULLI, CATEGORICAL, jit

Array = NDArray[Any]
_HALF_LOG_2PI = 0.9189385332046727


@jit
def row_log_prob(kind: int, columns: Array, inputs: Array, log_std: Array, actions: Array) -> Any:
    """Sum over d of log p(a_d)."""
    total = inputs.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            highest, log_sum = log_normalizer(inputs, columns[d], columns[d + 1])
            total += inputs[columns[d] + int(actions[d])] - highest - log_sum
        elif kind == BERNOULLI:
            total += log_sigmoid(inputs[d] if actions[d] > 0 else -inputs[d])
        else:
            z = (actions[d] - inputs[d]) * np.exp(-log_std[d])
            total -= z * z / 2 + log_std[d] + inputs.dtype.type(_HALF_LOG_2PI)
    return total


@jit
def row_entropy(kind: int, columns: Array, inputs: Array, log_std: Array) -> Any:
    """Sum over d of -E[log p(a_d)]."""
    total = inputs.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            highest, log_sum = log_normalizer(inputs, columns[d], columns[d + 1])
            total += categorical_entropy(inputs, columns[d], columns[d + 1], highest, log_sum)
        elif kind == BERNOULLI:
            total += bernoulli_entropy(inputs[d])
        else:
            total += gaussian_entropy(log_std[d])
    return total


@jit
def add_row_gradient(
    kind: int,
    columns: Array,
    inputs: Array,
    log_std: Array,
    actions: Array,
    by_log_prob: Any,
    by_entropy: Any,
    by_inputs: Array,
    by_log_std: Array,
) -> Any:
    """Derivatives of by_log_prob * log_prob + by_entropy * entropy; returns the entropy, which they need.

    That by the head inputs is written, that by log_std is added.
    """
    total = inputs.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            highest, log_sum = log_normalizer(inputs, columns[d], columns[d + 1])
            entropy = categorical_entropy(inputs, columns[d], columns[d + 1], highest, log_sum)
            for k in range(columns[d], columns[d + 1]):
                log_p = inputs[k] - highest - log_sum
                by_inputs[k] = -np.exp(log_p) * (by_log_prob + by_entropy * (log_p + entropy))
            by_inputs[columns[d] + int(actions[d])] += by_log_prob
            total += entropy
        elif kind == BERNOULLI:
            p = sigmoid(inputs[d])
            by_inputs[d] = by_log_prob * (actions[d] - p) - by_entropy * inputs[d] * p * sigmoid(-inputs[d])
            total += bernoulli_entropy(inputs[d])
        else:
            z = (actions[d] - inputs[d]) * np.exp(-log_std[d])
            by_inputs[d] = by_log_prob * z * np.exp(-log_std[d])
            by_log_std[d] += by_log_prob * (z * z - 1) + by_entropy
            total += gaussian_entropy(log_std[d])
    return total


@jit
def row_kl_old_new(kind: int, columns: Array, old: Array, old_log_std: Array, new: Array, new_log_std: Array) -> Any:
    """Sum over d of E_old[log p_old(a_d) - log p_new(a_d)]."""
    total = old.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            old_highest, old_log_sum = log_normalizer(old, columns[d], columns[d + 1])
            new_highest, new_log_sum = log_normalizer(new, columns[d], columns[d + 1])
            for k in range(columns[d], columns[d + 1]):
                log_p = old[k] - old_highest - old_log_sum
                total += np.exp(log_p) * (log_p - (new[k] - new_highest - new_log_sum))
        elif kind == BERNOULLI:
            total += sigmoid(old[d]) * (log_sigmoid(old[d]) - log_sigmoid(new[d]))
            total += sigmoid(-old[d]) * (log_sigmoid(-old[d]) - log_sigmoid(-new[d]))
        else:
            ratio = np.exp(old_log_std[d] - new_log_std[d])
            z = (old[d] - new[d]) * np.exp(-new_log_std[d])
            total += new_log_std[d] - old_log_std[d] + (ratio * ratio + z * z - 1) / 2
    return total


@jit
def add_row_kl_gradient(
    kind: int,
    columns: Array,
    old: Array,
    old_log_std: Array,
    new: Array,
    new_log_std: Array,
    weight: Any,
    is_new_old: bool,
    by_inputs: Array,
    by_log_std: Array,
) -> Any:
    """Add the derivatives of weight * KL(old || new), or KL(new || old), by the new policy; returns that KL."""
    total = new.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            total += _add_categorical_kl(old, new, columns[d], columns[d + 1], weight, is_new_old, by_inputs)
        elif kind == BERNOULLI:
            p, old_p = sigmoid(new[d]), sigmoid(old[d])
            one, zero = log_sigmoid(new[d]) - log_sigmoid(old[d]), log_sigmoid(-new[d]) - log_sigmoid(-old[d])
            if is_new_old:
                total += p * one + sigmoid(-new[d]) * zero
                by_inputs[d] += weight * (p * sigmoid(-new[d]) * (new[d] - old[d]))
            else:
                total -= old_p * one + sigmoid(-old[d]) * zero
                by_inputs[d] += weight * (p - old_p)
        else:
            scale = np.exp(-old_log_std[d]) if is_new_old else np.exp(-new_log_std[d])
            log_ratio = new_log_std[d] - old_log_std[d] if is_new_old else old_log_std[d] - new_log_std[d]
            z = (new[d] - old[d]) * scale
            square = np.exp(log_ratio) * np.exp(log_ratio)
            total += (square + z * z - 1) / 2 - log_ratio
            by_inputs[d] += weight * z * scale
            by_log_std[d] += weight * (square - 1 if is_new_old else 1 - (square + z * z))
    return total


@jit
def _add_categorical_kl(
    old: Array, new: Array, first: int, end: int, weight: Any, is_new_old: bool, by_inputs: Array
) -> Any:
    """One action dimension of ``add_row_kl_gradient``."""
    old_highest, old_log_sum = log_normalizer(old, first, end)
    new_highest, new_log_sum = log_normalizer(new, first, end)
    kl = new.dtype.type(0)
    for k in range(first, end):
        old_log_p, new_log_p = old[k] - old_highest - old_log_sum, new[k] - new_highest - new_log_sum
        if is_new_old:
            kl += np.exp(new_log_p) * (new_log_p - old_log_p)
        else:
            kl += np.exp(old_log_p) * (old_log_p - new_log_p)
    for k in range(first, end):
        old_log_p, new_log_p = old[k] - old_highest - old_log_sum, new[k] - new_highest - new_log_sum
        p = np.exp(new_log_p)
        by_inputs[k] += weight * (p * (new_log_p - old_log_p - kl) if is_new_old else p - np.exp(old_log_p))
    return kl


@jit
def sample_row(kind: int, columns: Array, inputs: Array, log_std: Array, numbers: Array, out: Array) -> None:
    """Inversion; ``numbers`` (D,) are uniform, for the Gaussian standard normal."""
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            out[d] = _inverse_cdf(inputs, columns[d], columns[d + 1], numbers[d])
        elif kind == BERNOULLI:
            out[d] = 1 if numbers[d] < sigmoid(inputs[d]) else 0
        else:
            out[d] = inputs[d] + np.exp(log_std[d]) * numbers[d]


@jit
def mode_row(kind: int, columns: Array, inputs: Array, out: Array) -> None:
    """The most probable action."""
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            out[d] = np.argmax(inputs[columns[d] : columns[d + 1]])
        elif kind == BERNOULLI:
            out[d] = 1 if inputs[d] > 0 else 0
        else:
            out[d] = inputs[d]


@jit
def log_normalizer(logits: Array, first: int, end: int) -> tuple[Any, Any]:
    """(highest logit, log sum exp(logit - highest)) of logits[first:end]; kept apart for precision."""
    highest = logits[first]
    for k in range(first + 1, end):
        if logits[k] > highest:
            highest = logits[k]
    total = logits.dtype.type(0)
    for k in range(first, end):
        total += np.exp(logits[k] - highest)
    return highest, np.log(total)


@jit
def categorical_entropy(logits: Array, first: int, end: int, highest: Any, log_sum: Any) -> Any:
    """-sum p log p of logits[first:end], given their ``log_normalizer``."""
    total = logits.dtype.type(0)
    for k in range(first, end):
        log_p = logits[k] - highest - log_sum
        total -= np.exp(log_p) * log_p
    return total


@jit
def bernoulli_entropy(logit: Any) -> Any:
    """-p log p - (1 - p) log(1 - p)."""
    return -(sigmoid(logit) * log_sigmoid(logit) + sigmoid(-logit) * log_sigmoid(-logit))


@jit
def gaussian_entropy(log_std: Any) -> Any:
    """log_std + (1 + log(2 pi)) / 2."""
    return log_std + (0.5 + _HALF_LOG_2PI)


@jit
def sigmoid(logit: Any) -> Any:
    """1 / (1 + exp(-l)) without overflow."""
    small = np.exp(-abs(logit))
    return (small if logit < 0 else small * 0 + 1) / (1 + small)


@jit
def log_sigmoid(logit: Any) -> Any:
    """Log of the sigmoid without overflow."""
    return min(logit, logit * 0) - np.log1p(np.exp(-abs(logit)))


@jit
def _inverse_cdf(logits: Array, first: int, end: int, u: Any) -> int:
    """Smallest k with u sum_j w_j < sum_{j<=k} w_j, w = exp(l - highest); the last one guards against rounding."""
    highest = logits[first]
    for k in range(first + 1, end):
        if logits[k] > highest:
            highest = logits[k]
    total = logits.dtype.type(0)
    for k in range(first, end):
        total += np.exp(logits[k] - highest)
    cumulative = logits.dtype.type(0)
    for k in range(first, end - 1):
        cumulative += np.exp(logits[k] - highest)
        if u * total < cumulative:
            return k - first
    return end - 1 - first
