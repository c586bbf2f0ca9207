"""The Fisher matrix in Numba: activations of every tile are kept, products run tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose_fisher import ComposedSolve, add_damping
from fastpg.kernels.jit._compile import (
    CATEGORICAL,
    GAUSSIAN,
    as_float,
    head_arguments,
    jit,
    network_arguments,
    writable,
)
from fastpg.kernels.jit._distributions import add_row_gradient, log_normalizer, sigmoid
from fastpg.kernels.jit._network import (
    TILE_ROWS,
    backward_tile,
    forward_tile,
    tangent_tile,
    transpose_weights,
)
from fastpg.kernels.layout import PolicyLayout

Array = NDArray[Any]


def bind_fisher(
    params: Array, observations: Array, *, layout: PolicyLayout, actions: Array | None, n_threads: int
) -> Fisher:
    """The operator on these samples."""
    return Fisher(params, observations, layout, actions)


def fisher_factors(
    params: Array, observations: Array, *, layout: PolicyLayout, actions: Array | None, out: Array
) -> None:
    """One row per sample and factor."""
    fisher = Fisher(params, observations, layout, actions)
    n_samples = len(observations)
    n_rows = n_samples * fisher.n_factors
    out[:] = 0
    fisher.write_factors(out[:n_rows])
    last = out[n_rows:]
    if len(last):
        last[:, layout.policy.n_params :] = np.sqrt(2 * n_samples) * np.eye(len(last))


class Fisher(ComposedSolve):
    """See ``fastpg.kernels.fisher.Fisher``.

    ``moments`` (B, K) is what M needs: p, p (1 - p) or 1 / std^2; for the empirical matrix the score by the head
    inputs, followed by ``log_std_scores`` (B, D).
    """

    def __init__(self, params: Array, observations: Array, layout: PolicyLayout, actions: Array | None) -> None:
        n_samples, dtype = len(observations), params.dtype
        self._network, self._log_std = layout.split(params.copy())
        self._observations = np.array(observations)
        self._arguments = network_arguments(layout.policy)
        self._head = head_arguments(layout.head)
        self._is_empirical = actions is not None
        self._work = np.empty(n_samples * sum(layout.policy.sizes[1:]), dtype)
        self._transposed = np.empty_like(self._network)
        self._moments = np.empty((n_samples, layout.head.n_inputs), dtype)
        self._log_std_scores = np.zeros((n_samples, len(self._log_std)), dtype)
        taken = np.zeros((n_samples, layout.head.n_actions), dtype) if actions is None else as_float(actions, dtype)
        _evaluate(
            self._network,
            self._log_std,
            *self._arguments,
            *self._head,
            self._observations,
            taken,
            self._is_empirical,
            self._work,
            self._transposed,
            self._moments,
            self._log_std_scores,
        )

    @property
    def n_factors(self) -> int:
        """Rows of ``fisher_factors`` per sample."""
        return 1 if self._is_empirical else self._moments.shape[1]

    def product(self, vector: Array, *, damping: float, damping_scale: Array | None, out: Array) -> None:
        """J v, M J v and J'M J v of one tile after the other."""
        n = len(self._network)
        out[:] = 0
        _add_product(
            self._network,
            self._transposed,
            *self._arguments,
            *self._head,
            self._observations,
            self._is_empirical,
            self._work,
            self._moments,
            self._log_std_scores,
            writable(vector),
            out,
        )
        out /= max(len(self._observations), 1)
        if not self._is_empirical and len(self._observations):
            out[n:] = 2 * vector[n:]
        add_damping(vector, damping, damping_scale, out)

    def diagonal(self, *, out: Array) -> None:
        """Of every factor the squared gradient."""
        n = len(self._network)
        out[:] = 0
        _add_diagonal(
            self._transposed,
            *self._arguments,
            *self._head,
            self._observations,
            self._is_empirical,
            self._work,
            self._moments,
            out[:n],
        )
        out[n:] = (self._log_std_scores**2).sum(axis=0)
        out /= max(len(self._observations), 1)
        if not self._is_empirical and len(self._observations):
            out[n:] = 2

    def write_factors(self, out: Array) -> None:
        """Into ``out`` (B * n_factors, P), which is 0."""
        _write_factors(
            self._transposed,
            *self._arguments,
            *self._head,
            self._observations,
            self._is_empirical,
            self._work,
            self._moments,
            self._log_std_scores,
            out,
        )


@jit
def _evaluate(
    params: Array,
    log_std: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    actions: Array,
    is_empirical: bool,
    work: Array,
    transposed: Array,
    moments: Array,
    log_std_scores: Array,
) -> None:
    """Forward; keep the activations and what M needs."""
    transpose_weights(params, sizes, transposed)
    n_units = sizes[1:].sum()
    one, zero = params.dtype.type(1), params.dtype.type(0)
    for first in range(0, observations.shape[0], TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        at = first * n_units
        inputs = forward_tile(params, sizes, is_relu, tile, work[at : at + tile.shape[0] * n_units])
        for i in range(tile.shape[0]):
            n = first + i
            if is_empirical:
                add_row_gradient(
                    kind, columns, inputs[i], log_std, actions[n], one, zero, moments[n], log_std_scores[n]
                )
            else:
                _row_moments(kind, columns, inputs[i], log_std, moments[n])


@jit
def _row_moments(kind: int, columns: Array, inputs: Array, log_std: Array, out: Array) -> None:
    """Probability of a categorical choice, p (1 - p) of a Bernoulli, 1 / std^2 of a mean."""
    for d in range(columns.size - 1):
        if kind == CATEGORICAL:
            highest, log_sum = log_normalizer(inputs, columns[d], columns[d + 1])
            for k in range(columns[d], columns[d + 1]):
                out[k] = np.exp(inputs[k] - highest - log_sum)
        elif kind == GAUSSIAN:
            out[d] = np.exp(-2 * log_std[d])
        else:
            out[d] = sigmoid(inputs[d]) * sigmoid(-inputs[d])


@jit
def _row_product(kind: int, columns: Array, moments: Array, tangent: Array) -> None:
    """M times ``tangent``, in place."""
    for d in range(columns.size - 1):
        mean = moments[0] * 0
        if kind == CATEGORICAL:
            for k in range(columns[d], columns[d + 1]):
                mean += moments[k] * tangent[k]
        for k in range(columns[d], columns[d + 1]):
            tangent[k] = moments[k] * (tangent[k] - mean)


@jit
def _row_factor(kind: int, columns: Array, moments: Array, is_empirical: bool, r: int, out: Array) -> None:
    """Factor r of M by the head inputs."""
    if is_empirical:
        out[:] = moments
        return
    for d in range(columns.size - 1):
        for k in range(columns[d], columns[d + 1]):
            if r < columns[d] or r >= columns[d + 1]:
                out[k] = 0
            elif kind == CATEGORICAL:
                out[k] = np.sqrt(moments[r]) * ((1 if k == r else 0) - moments[k])
            else:
                out[k] = np.sqrt(moments[k])


@jit
def _add_product(
    params: Array,
    transposed: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    is_empirical: bool,
    work: Array,
    moments: Array,
    log_std_scores: Array,
    vector: Array,
    out: Array,
) -> None:
    """Add B F vector to ``out``, but for the constant part of log_std."""
    n_units = sizes[1:].sum()
    log_std_at = params.size
    tangents = np.empty(min(observations.shape[0], TILE_ROWS) * n_units, params.dtype)
    for first in range(0, observations.shape[0], TILE_ROWS):
        tile = observations[first : first + TILE_ROWS]
        kept = work[first * n_units : (first + tile.shape[0]) * n_units]
        tangent = tangent_tile(params, vector[:log_std_at], sizes, is_relu, tile, kept, tangents)
        for i in range(tile.shape[0]):
            n = first + i
            if is_empirical:
                along = (moments[n] * tangent[i]).sum() + (log_std_scores[n] * vector[log_std_at:]).sum()
                for k in range(tangent.shape[1]):
                    tangent[i, k] = along * moments[n, k]
                for d in range(log_std_scores.shape[1]):
                    out[log_std_at + d] += along * log_std_scores[n, d]
            else:
                _row_product(kind, columns, moments[n], tangent[i])
        backward_tile(transposed, sizes, is_relu, tile, kept, tangent, out[:log_std_at])


@jit
def _add_diagonal(
    transposed: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    is_empirical: bool,
    work: Array,
    moments: Array,
    out: Array,
) -> None:
    """Add the squared gradients of all factors to ``out``."""
    n_units = sizes[1:].sum()
    n_factors = 1 if is_empirical else moments.shape[1]
    gradient = np.empty_like(transposed)
    dz = np.empty((1, moments.shape[1]), transposed.dtype)
    sample = np.empty(n_units, transposed.dtype)
    for n in range(observations.shape[0]):
        _copy_sample(sizes, work, observations.shape[0], n, sample)
        for r in range(n_factors):
            _row_factor(kind, columns, moments[n], is_empirical, r, dz[0])
            gradient[:] = 0
            backward_tile(transposed, sizes, is_relu, observations[n : n + 1], sample, dz, gradient)
            for j in range(gradient.size):
                out[j] += gradient[j] * gradient[j]


@jit
def _write_factors(
    transposed: Array,
    sizes: Array,
    is_relu: bool,
    kind: int,
    columns: Array,
    observations: Array,
    is_empirical: bool,
    work: Array,
    moments: Array,
    log_std_scores: Array,
    out: Array,
) -> None:
    """Row n R + r of ``out`` is the gradient of factor r of sample n."""
    n_factors = 1 if is_empirical else moments.shape[1]
    log_std_at = transposed.size
    dz = np.empty((1, moments.shape[1]), transposed.dtype)
    sample = np.empty(sizes[1:].sum(), transposed.dtype)
    for n in range(observations.shape[0]):
        _copy_sample(sizes, work, observations.shape[0], n, sample)
        for r in range(n_factors):
            row = out[n * n_factors + r]
            _row_factor(kind, columns, moments[n], is_empirical, r, dz[0])
            backward_tile(transposed, sizes, is_relu, observations[n : n + 1], sample, dz, row[:log_std_at])
            for d in range(log_std_scores.shape[1]):
                row[log_std_at + d] = log_std_scores[n, d]


@jit
def _copy_sample(sizes: Array, work: Array, n_samples: int, n: int, out: Array) -> None:
    """The activations of sample ``n`` out of those of its tile, which lie layer after layer."""
    n_units = sizes[1:].sum()
    first = n - n % TILE_ROWS
    n_rows = min(TILE_ROWS, n_samples - first)
    at, to = first * n_units, 0
    for level in range(1, sizes.size):
        size = sizes[level]
        start = at + (n - first) * size
        out[to : to + size] = work[start : start + size]
        at += n_rows * size
        to += size
