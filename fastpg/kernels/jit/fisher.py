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
    inner,
    jit,
    network_arguments,
    writable,
)
from fastpg.kernels.jit._distributions import add_row_gradient, head_scales, normalize_rows, sigmoid
from fastpg.kernels.jit._network import (
    TILE_ROWS,
    add_outer,
    add_rows,
    backward_tile,
    copy_numbers,
    forward_tile,
    n_units,
    slopes_tile,
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
        self._n_samples = n_samples
        self._observations = np.array(observations).reshape(-1)
        self._arguments = network_arguments(layout.policy)
        self._head = head_arguments(layout.head)
        self._is_empirical = actions is not None
        self._work = np.empty(n_samples * sum(layout.policy.sizes[1:]), dtype)
        self._transposed = np.empty_like(self._network)
        self._moments = np.empty((n_samples, layout.head.n_inputs), dtype)
        self._log_std_scores = np.zeros((n_samples, len(self._log_std)), dtype)
        taken = np.zeros(n_samples * layout.head.n_actions, dtype) if actions is None else as_float(actions, dtype)
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
        out /= max(self._n_samples, 1)
        if not self._is_empirical and self._n_samples:
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
        out /= max(self._n_samples, 1)
        if not self._is_empirical and self._n_samples:
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
    units, n_inputs, n_actions = n_units(sizes), sizes[-1], columns.size - 1
    one, zero = params.dtype.type(1), params.dtype.type(0)
    scales = head_scales(log_std)
    scores = moments.reshape(moments.size)
    z = np.empty(min(moments.shape[0], TILE_ROWS) * n_inputs, params.dtype)
    for first in range(0, moments.shape[0], TILE_ROWS):
        size = min(TILE_ROWS, moments.shape[0] - first)
        at = forward_tile(params, sizes, is_relu, observations, first * sizes[0], size, work, first * units)
        copy_numbers(work, at, size * n_inputs, z, 0)
        normalize_rows(kind, columns, z, 0, size)
        for i in range(size):
            n, row = first + i, i * n_inputs
            if is_empirical:
                add_row_gradient(
                    kind,
                    columns,
                    z,
                    row,
                    scales,
                    actions,
                    n * n_actions,
                    one,
                    zero,
                    scores,
                    n * n_inputs,
                    log_std_scores[n],
                )
            else:
                _row_moments(kind, columns, z, row, scales, moments[n])


@inner
def _row_moments(kind: int, columns: Array, z: Array, z_at: int, scales: Array, out: Array) -> None:
    """Probability of a categorical choice, p (1 - p) of a Bernoulli, 1 / std^2 of a mean."""
    n = columns.size - 1
    for d in range(n):
        if kind == CATEGORICAL:
            for k in range(columns[d], columns[d + 1]):
                out[k] = np.exp(z[z_at + k])
        elif kind == GAUSSIAN:
            out[d] = scales[n + d] * scales[n + d]
        else:
            out[d] = sigmoid(z[z_at + d]) * sigmoid(-z[z_at + d])


@inner
def _multiply_moments(
    kind: int, columns: Array, moments: Array, first: int, n_rows: int, tangents: Array, at: int
) -> None:
    """M times the tangents of the head inputs, in place."""
    n_inputs = moments.shape[1]
    for i in range(n_rows):
        n, row = first + i, at + i * n_inputs
        for d in range(columns.size - 1):
            mean = moments[n, 0] * 0
            if kind == CATEGORICAL:
                for k in range(columns[d], columns[d + 1]):
                    mean += moments[n, k] * tangents[row + k]
            for k in range(columns[d], columns[d + 1]):
                tangents[row + k] = moments[n, k] * (tangents[row + k] - mean)


@inner
def _multiply_scores(
    moments: Array,
    log_std_scores: Array,
    log_std_vector: Array,
    first: int,
    n_rows: int,
    tangents: Array,
    at: int,
    log_std_out: Array,
) -> None:
    """The empirical matrix: the score of every sample times its product with the vector, in place."""
    n_inputs = moments.shape[1]
    for i in range(n_rows):
        n, row = first + i, at + i * n_inputs
        along = tangents.dtype.type(0)
        for k in range(n_inputs):
            along += moments[n, k] * tangents[row + k]
        for d in range(log_std_vector.size):
            along += log_std_scores[n, d] * log_std_vector[d]
        for k in range(n_inputs):
            tangents[row + k] = along * moments[n, k]
        for d in range(log_std_vector.size):
            log_std_out[d] += along * log_std_scores[n, d]


@inner
def _write_factor(
    kind: int,
    columns: Array,
    moments: Array,
    is_empirical: bool,
    r: int,
    first: int,
    n_rows: int,
    out: Array,
    at: int,
) -> None:
    """Factor r of M by the head inputs, of ``n_rows`` samples from ``first`` on."""
    n_inputs = moments.shape[1]
    begin, end = r, r + 1
    for d in range(columns.size - 1):
        if columns[d] <= r < columns[d + 1]:
            begin, end = columns[d], columns[d + 1]
    for i in range(n_rows):
        n, row = first + i, at + i * n_inputs
        if is_empirical:
            for k in range(n_inputs):
                out[row + k] = moments[n, k]
            continue
        root = np.sqrt(moments[n, r])
        for k in range(n_inputs):
            out[row + k] = 0
        if kind == CATEGORICAL:
            for k in range(begin, end):
                out[row + k] = -root * moments[n, k]
            root *= moments.dtype.type(1) - moments[n, r]
        out[row + r] = root


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
    units, n_samples = n_units(sizes), moments.shape[0]
    end = params.size
    tangents = np.empty(min(n_samples, TILE_ROWS) * units, params.dtype)
    for first in range(0, n_samples, TILE_ROWS):
        size = min(TILE_ROWS, n_samples - first)
        start, kept = first * sizes[0], first * units
        at = tangent_tile(params, vector[:end], sizes, is_relu, observations, start, size, work, kept, tangents)
        if is_empirical:
            _multiply_scores(moments, log_std_scores, vector[end:], first, size, tangents, at, out[end:])
        else:
            _multiply_moments(kind, columns, moments, first, size, tangents, at)
        backward_tile(transposed, sizes, is_relu, observations, start, size, work, kept, tangents, out[:end])


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
    """Add the squared gradients of all factors to ``out``.

    The square by a weight is y^2 dz^2, where only dz differs from factor to factor: dz^2 is added over the factors,
    and a tile needs one product with y^2.
    """
    units, n_samples = n_units(sizes), moments.shape[0]
    n_factors = 1 if is_empirical else moments.shape[1]
    part = np.zeros_like(transposed)
    slopes = np.empty(min(n_samples, TILE_ROWS) * units, transposed.dtype)
    squares = np.empty_like(slopes)
    y_squared = np.empty(min(n_samples, TILE_ROWS) * np.max(sizes), transposed.dtype)
    for first in range(0, n_samples, TILE_ROWS):
        size = min(TILE_ROWS, n_samples - first)
        start, kept, outputs_at = first * sizes[0], first * units, size * (units - sizes[-1])
        squares[:] = 0
        for r in range(n_factors):
            _write_factor(kind, columns, moments, is_empirical, r, first, size, slopes, outputs_at)
            slopes_tile(transposed, sizes, is_relu, size, work, kept, slopes)
            for j in range(size * units):
                squares[j] += slopes[j] * slopes[j]
        _add_squares(sizes, observations, start, size, work, kept, squares, y_squared, part)
        for j in range(part.size):  # sums of sums round less
            out[j] += part[j]
            part[j] = 0


@inner
def _add_squares(
    sizes: Array,
    inputs: Array,
    inputs_at: int,
    n_rows: int,
    work: Array,
    work_at: int,
    squares: Array,
    y_squared: Array,
    out: Array,
) -> None:
    """Add the squared activations of the tile times ``squares``, summed over its rows, to ``out`` (P,)."""
    y, y_at = inputs, inputs_at
    start, at = 0, 0
    for level in range(sizes.size - 1):
        n_in, n_out = sizes[level], sizes[level + 1]
        bias_at = start + n_in * n_out
        end = at + n_rows * n_out
        for j in range(n_rows * n_in):
            y_squared[j] = y[y_at + j] * y[y_at + j]
        add_outer(out, start, y_squared, 0, squares, at, n_in, n_out, n_rows)
        start = bias_at + n_out
        add_rows(squares[at:end], out[bias_at:start])
        y, y_at = work, work_at + at
        at = end


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
    n_samples = moments.shape[0]
    n_factors = 1 if is_empirical else moments.shape[1]
    log_std_at = transposed.size
    sample = np.empty(n_units(sizes), transposed.dtype)
    slopes = np.empty_like(sample)
    outputs_at = sample.size - sizes[-1]
    for n in range(n_samples):
        _copy_sample(sizes, work, n_samples, n, sample)
        for r in range(n_factors):
            row = out[n * n_factors + r]
            _write_factor(kind, columns, moments, is_empirical, r, n, 1, slopes, outputs_at)
            gradient = row[:log_std_at]
            backward_tile(transposed, sizes, is_relu, observations, n * sizes[0], 1, sample, 0, slopes, gradient)
            for d in range(log_std_scores.shape[1]):
                row[log_std_at + d] = log_std_scores[n, d]


@inner
def _copy_sample(sizes: Array, work: Array, n_samples: int, n: int, out: Array) -> None:
    """The activations of sample ``n`` out of those of its tile, which lie layer after layer."""
    units = n_units(sizes)
    first = n - n % TILE_ROWS
    n_rows = min(TILE_ROWS, n_samples - first)
    at, to = first * units, 0
    for level in range(1, sizes.size):
        size = sizes[level]
        start = at + (n - first) * size
        copy_numbers(work, start, size, out, to)
        at += n_rows * size
        to += size
