"""Action distributions of one sample: the compiled parts that ``heads`` and the losses share.

``kind`` is a code of ``_compile``; ``columns`` holds the first head input of every action dimension and the end. Arrays
are flat: a row is ``z`` (K head inputs from ``z_at`` on) and ``actions`` (D from ``action_at`` on, in the working
dtype). ``normalize_rows`` has made logits log-probabilities, and ``scales`` are those of ``head_scales``. Every formula
stands here once. Numba widens float32 with a Python number to float64, so constants have the working dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import BERNOULLI, CATEGORICAL, inner

Array = NDArray[Any]
_HALF_LOG_2PI = 0.9189385332046727


@inner
def head_scales(log_std: Array) -> Array:
    """(2 D,): log_std and exp(-log_std)."""
    n = log_std.size
    scales = np.empty(2 * n, log_std.dtype)
    for d in range(n):
        scales[d] = log_std[d]
        scales[n + d] = np.exp(-log_std[d])
    return scales


@inner
def normalize_rows(kind: int, columns: Array, z: Array, z_at: int, n_rows: int) -> None:
    """Logits to log-probabilities, in place: subtract the highest one, then the log of the sum of exponentials."""
    if kind != CATEGORICAL:
        return
    n_inputs = columns[columns.size - 1]
    for row in range(n_rows):
        for d in range(columns.size - 1):
            first, end = z_at + row * n_inputs + columns[d], z_at + row * n_inputs + columns[d + 1]
            highest = z[first]
            for k in range(first + 1, end):
                if z[k] > highest:
                    highest = z[k]
            total = highest * 0
            for k in range(first, end):
                total += np.exp(z[k] - highest)
            log_sum = np.log(total)
            for k in range(first, end):
                z[k] = z[k] - highest - log_sum


@inner
def row_log_prob(kind: int, columns: Array, z: Array, z_at: int, scales: Array, actions: Array, action_at: int) -> Any:
    """Sum over d of log p(a_d)."""
    total = z.dtype.type(0)
    half = z.dtype.type(0.5)
    n = columns.size - 1
    for d in range(n):
        action = actions[action_at + d]
        if kind == CATEGORICAL:
            total += z[z_at + columns[d] + int(action)]
        elif kind == BERNOULLI:
            total += log_sigmoid(z[z_at + d] if action > 0 else -z[z_at + d])
        else:
            scaled = (action - z[z_at + d]) * scales[n + d]
            total -= scaled * scaled * half + scales[d] + z.dtype.type(_HALF_LOG_2PI)
    return total


@inner
def row_entropy(kind: int, columns: Array, z: Array, z_at: int, scales: Array) -> Any:
    """Sum over d of -E[log p(a_d)]."""
    total = z.dtype.type(0)
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            for k in range(z_at + columns[d], z_at + columns[d + 1]):
                total -= np.exp(z[k]) * z[k]
        elif kind == BERNOULLI:
            total += bernoulli_entropy(z[z_at + d])
        else:
            total += gaussian_entropy(scales[d])
    return total


@inner
def add_row_gradient(
    kind: int,
    columns: Array,
    z: Array,
    z_at: int,
    scales: Array,
    actions: Array,
    action_at: int,
    by_log_prob: Any,
    by_entropy: Any,
    slopes: Array,
    slope_at: int,
    by_log_std: Array,
) -> Any:
    """Derivatives of by_log_prob * log_prob + by_entropy * entropy; returns the entropy, which they need.

    That by the head inputs is written to ``slopes`` from ``slope_at`` on, that by log_std is added.
    """
    total = z.dtype.type(0)
    one = z.dtype.type(1)
    n = columns.size - 1
    for d in range(n):
        action = actions[action_at + d]
        if kind == CATEGORICAL:
            shift = slope_at - z_at
            entropy = z.dtype.type(0)
            for k in range(z_at + columns[d], z_at + columns[d + 1]):
                slopes[shift + k] = np.exp(z[k])
                entropy -= slopes[shift + k] * z[k]
            for k in range(z_at + columns[d], z_at + columns[d + 1]):
                slopes[shift + k] *= -(by_log_prob + by_entropy * (z[k] + entropy))
            slopes[slope_at + columns[d] + int(action)] += by_log_prob
            total += entropy
        elif kind == BERNOULLI:
            logit = z[z_at + d]
            p = sigmoid(logit)
            slopes[slope_at + d] = by_log_prob * (action - p) - by_entropy * logit * p * sigmoid(-logit)
            total += bernoulli_entropy(logit)
        else:
            scaled = (action - z[z_at + d]) * scales[n + d]
            slopes[slope_at + d] = by_log_prob * scaled * scales[n + d]
            by_log_std[d] += by_log_prob * (scaled * scaled - one) + by_entropy
            total += gaussian_entropy(scales[d])
    return total


@inner
def row_kl(
    kind: int, columns: Array, old: Array, old_at: int, old_scales: Array, new: Array, new_at: int, new_scales: Array
) -> Any:
    """Sum over d of E_old[log p_old(a_d) - log p_new(a_d)]."""
    total = old.dtype.type(0)
    half, one = old.dtype.type(0.5), old.dtype.type(1)
    n = columns.size - 1
    for d in range(n):
        if kind == CATEGORICAL:
            for k in range(columns[d], columns[d + 1]):
                total += np.exp(old[old_at + k]) * (old[old_at + k] - new[new_at + k])
        elif kind == BERNOULLI:
            total += bernoulli_kl(old[old_at + d], new[new_at + d])
        else:
            ratio = np.exp(old_scales[d] - new_scales[d])
            scaled = (old[old_at + d] - new[new_at + d]) * new_scales[n + d]
            total += new_scales[d] - old_scales[d] + (ratio * ratio + scaled * scaled - one) * half
    return total


@inner
def add_row_kl_gradient(
    kind: int,
    columns: Array,
    old: Array,
    old_at: int,
    old_scales: Array,
    new: Array,
    new_at: int,
    new_scales: Array,
    weight: Any,
    is_new_old: bool,
    slopes: Array,
    slope_at: int,
    by_log_std: Array,
) -> Any:
    """Add ``weight`` times the derivatives of the KL divergence by the new policy's inputs and log_std; return it.

    KL(old || new), or KL(new || old) with ``is_new_old``.
    """
    total = new.dtype.type(0)
    half, one = new.dtype.type(0.5), new.dtype.type(1)
    n = columns.size - 1
    for d in range(n):
        if kind == CATEGORICAL:
            first, end = columns[d], columns[d + 1]
            total += _add_categorical_kl(old, old_at, new, new_at, first, end, weight, is_new_old, slopes, slope_at)
        elif kind == BERNOULLI:
            before, after = old[old_at + d], new[new_at + d]
            p = sigmoid(after)
            if is_new_old:
                total += bernoulli_kl(after, before)
                slopes[slope_at + d] += weight * (p * sigmoid(-after) * (after - before))
            else:
                total += bernoulli_kl(before, after)
                slopes[slope_at + d] += weight * (p - sigmoid(before))
        else:
            scale = old_scales[n + d] if is_new_old else new_scales[n + d]
            log_ratio = new_scales[d] - old_scales[d] if is_new_old else old_scales[d] - new_scales[d]
            scaled = (new[new_at + d] - old[old_at + d]) * scale
            square = np.exp(log_ratio) * np.exp(log_ratio)
            total += (square + scaled * scaled - one) * half - log_ratio
            slopes[slope_at + d] += weight * scaled * scale
            by_log_std[d] += weight * (square - one if is_new_old else one - (square + scaled * scaled))
    return total


@inner
def _add_categorical_kl(
    old: Array,
    old_at: int,
    new: Array,
    new_at: int,
    first: int,
    end: int,
    weight: Any,
    is_new_old: bool,
    slopes: Array,
    slope_at: int,
) -> Any:
    """One action dimension of ``add_row_kl_gradient``."""
    kl = new.dtype.type(0)
    for k in range(first, end):
        before, after = old[old_at + k], new[new_at + k]
        kl += np.exp(after) * (after - before) if is_new_old else np.exp(before) * (before - after)
    for k in range(first, end):
        before, after = old[old_at + k], new[new_at + k]
        p = np.exp(after)
        slopes[slope_at + k] += weight * (p * (after - before - kl) if is_new_old else p - np.exp(before))
    return kl


@inner
def sample_row(
    kind: int, columns: Array, z: Array, z_at: int, log_std: Array, numbers: Array, out: Array, row_at: int
) -> None:
    """Inversion; ``numbers`` (D from ``row_at`` on, as in ``out``) are uniform, for the Gaussian standard normal.

    The logits need not be normalised.
    """
    for d in range(columns.size - 1):
        number = numbers[row_at + d]
        if kind == CATEGORICAL:
            out[row_at + d] = _inverse_cdf(z, z_at + columns[d], z_at + columns[d + 1], number)
        elif kind == BERNOULLI:
            out[row_at + d] = 1 if number < sigmoid(z[z_at + d]) else 0
        else:
            out[row_at + d] = z[z_at + d] + np.exp(log_std[d]) * number


@inner
def mode_row(kind: int, columns: Array, z: Array, z_at: int, out: Array, row_at: int) -> None:
    """The most probable action. The logits need not be normalised."""
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            out[row_at + d] = np.argmax(z[z_at + columns[d] : z_at + columns[d + 1]])
        elif kind == BERNOULLI:
            out[row_at + d] = 1 if z[z_at + d] > 0 else 0
        else:
            out[row_at + d] = z[z_at + d]


@inner
def bernoulli_kl(logit: Any, other: Any) -> Any:
    """KL divergence of the second distribution from the first: log p - log p' + (1 - p) (l' - l).

    The difference of log (1 - p) is that of log p less that of the logits, and the probabilities add up to 1: one
    difference of logarithms, with less rounding than the sum over both outcomes.
    """
    return log_sigmoid(logit) - log_sigmoid(other) + sigmoid(-logit) * (other - logit)


@inner
def bernoulli_entropy(logit: Any) -> Any:
    """-p log p - (1 - p) log(1 - p)."""
    return -(sigmoid(logit) * log_sigmoid(logit) + sigmoid(-logit) * log_sigmoid(-logit))


@inner
def gaussian_entropy(log_std: Any) -> Any:
    """log_std + (1 + log(2 pi)) / 2."""
    return log_std + (0.5 + _HALF_LOG_2PI)


@inner
def sigmoid(logit: Any) -> Any:
    """1 / (1 + exp(-l)) without overflow."""
    small = np.exp(-abs(logit))
    return (small if logit < 0 else small * 0 + 1) / (1 + small)


@inner
def log_sigmoid(logit: Any) -> Any:
    """Log of the sigmoid without overflow."""
    return min(logit, logit * 0) - np.log1p(np.exp(-abs(logit)))


@inner
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
