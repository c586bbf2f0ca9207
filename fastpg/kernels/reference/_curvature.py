"""Second derivatives of log-probabilities and entropies by the head inputs, times a vector, in NumPy.

R is the derivative along a direction (Pearlmutter 1994): z = head inputs and s = log_std move with R z = ``z_dot``
(B, K) and R s = ``s_dot`` (D,). Every function returns R of the derivatives by z (B, K) and by s (B, size of log_std).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import HeadLayout
from fastpg.kernels.reference.heads import distribution

Array = NDArray[Any]
Pair = tuple[Array, Array]


def log_prob_curvature(head: HeadLayout, z: Array, s: Array, actions: Array, z_dot: Array, s_dot: Array) -> Pair:
    """R of d log p / dz and of d log p / ds."""
    if head.kind == "categorical":
        p = np.exp(_log_probabilities(head, z))
        return -p * (z_dot - _expected(head, p, z_dot)), _none(z)
    if head.kind == "bernoulli":
        p = _sigmoid(z)
        return -p * (1 - p) * z_dot, _none(z)
    standardized = (actions - z) * np.exp(-s)
    shift = z_dot * np.exp(-s)  # minus R of the standardised action is shift + standardized R s
    change = shift + standardized * s_dot
    return -(change + standardized * s_dot) * np.exp(-s), -2 * standardized * change


def entropy_curvature(head: HeadLayout, z: Array, z_dot: Array) -> Pair:
    """R of dH / dz and of dH / ds."""
    if head.kind == "categorical":
        log_p = _log_probabilities(head, z)
        p = np.exp(log_p)
        entropy = -_expected(head, p, log_p)
        log_p_dot = z_dot - _expected(head, p, z_dot)
        entropy_dot = -_expected(head, p, (log_p + entropy) * z_dot)
        return -p * (log_p_dot * (log_p + entropy) + log_p_dot + entropy_dot), _none(z)
    if head.kind == "bernoulli":
        p = _sigmoid(z)
        return -p * (1 - p) * (1 + z * (1 - 2 * p)) * z_dot, _none(z)
    return np.zeros_like(z), np.zeros_like(z)


def log_prob_change(head: HeadLayout, z: Array, s: Array, actions: Array, z_dot: Array, s_dot: Array) -> Array:
    """R of the log-probability, (B,)."""
    by_inputs, by_log_std = distribution(head).log_prob_gradient(z, s, actions)
    change: Array = (by_inputs * z_dot).sum(axis=1) + by_log_std @ s_dot
    return change


def _log_probabilities(head: HeadLayout, z: Array) -> Array:
    """Log softmax of each action dimension's logits."""
    log_p = np.empty_like(z)
    for part in _parts(head):
        shifted = z[:, part] - z[:, part].max(axis=1, keepdims=True)
        log_p[:, part] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p


def _expected(head: HeadLayout, p: Array, values: Array) -> Array:
    """Sum_k p_k values_k of each action dimension, at each of its columns."""
    means = np.empty_like(p)
    for part in _parts(head):
        means[:, part] = (p[:, part] * values[:, part]).sum(axis=1, keepdims=True)
    return means


def _parts(head: HeadLayout) -> list[slice]:
    """The columns of each action dimension."""
    ends = np.cumsum((0, *head.sizes)).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    p: Array = np.where(z >= 0, 1, small) / (1 + small)
    return p


def _none(z: Array) -> Array:
    return np.empty((len(z), 0), z.dtype)
