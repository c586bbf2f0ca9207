"""TONGA: gradients seen through the covariance of the gradients, kept in low rank, block by block.

    C <- (1 - a) C + a sum_i w_i g_i g_i'        a = (1 - decay) / (1 - decay^t) at update t = 1, 2, ...
    d  = lambda (lambda I + C)^-1 g              g = sum_i w_i g_i

g_i is the gradient of minibatch i, which holds the fraction w_i of the samples. C = X'X is known by its factors X, one
row per eigenvector kept and per new gradient, so nothing larger than the Gram matrix X X' is ever decomposed. Since
g = X'y for a known y,

    d = lambda X' (lambda I + X X')^-1 y

and the eigenvectors to keep, V_k' X, come from the same matrix. C is taken as block-diagonal: one block for the
incoming weights and the bias of each neuron, or one for each layer.

Source: N. Le Roux, P.-A. Manzagol, Y. Bengio 2007, "Topmoumoute online natural gradient algorithm". Differences: all
minibatches of an update are taken at the same theta, since the samples were drawn there; lambda is relative to the mean
trace of a block, so that it has no unit; and d has the factor lambda, so that d -> g for a large lambda. C is the
covariance of the gradients that were seen, not the Fisher matrix of the policy, hence another metric than the natural
gradient's (R. Pascanu, Y. Bengio 2014, "Revisiting natural gradient for deep networks").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import MLPLayout, PolicyLayout

Array = NDArray[Any]
Block = Literal["neuron", "layer"]


class TongaDirection(NamedTuple):
    """What ``Tonga.direction`` returns.

    Attributes:
        direction: (P,), d, an ascent direction of the surrogate.
        factors: (rank, P), the rows that represent C from now on.
        damping: lambda.
    """

    direction: Array
    factors: Array
    damping: float


@dataclass(frozen=True, kw_only=True)
class Tonga:
    """Constants of the covariance.

    Attributes:
        rank: eigenvectors of each block that are kept, >= 1 (k in the paper).
        n_minibatches: gradients per update, >= 1 (b in the paper, the number of gradients between decompositions).
        decay: of the moving average per update, in [0, 1) (gamma in the paper).
        damping: lambda as a multiple of the mean trace of a block of C, > 0.
        block: ``neuron`` or ``layer``.
    """

    rank: int
    n_minibatches: int
    decay: float
    damping: float
    block: Block

    def direction(
        self, gradients: Array, weights: Array, factors: Array | None, *, update: int, layout: PolicyLayout
    ) -> TongaDirection:
        """The direction for the gradients of one update, and the covariance that includes them.

        Args:
            gradients: (n, P) float, of the surrogate over each minibatch, g_i.
            weights: (n,) float, fractions of the samples, w_i > 0, of sum 1.
            factors: (rank, P), as returned by the update before, or None before the first.
            update: t, counted from 1.
            layout: of the policy whose P parameters these are.

        Returns:
            The direction, in float64, and the factors, in the type of ``gradients``.
        """
        share = (1.0 - self.decay) / (1.0 - self.decay**update)
        rows = np.sqrt(share * weights)[:, None] * gradients.astype(np.float64)
        if factors is not None:
            rows = np.concatenate([np.sqrt(1.0 - share) * factors.astype(np.float64), rows])
        target = np.zeros(len(rows))
        target[-len(weights) :] = np.sqrt(weights / share)
        blocks = parameter_blocks(layout, self.block)
        damping = self.damping * float(np.sum(rows * rows)) / sum(len(block) for block in blocks)
        direction = np.zeros(rows.shape[1])
        kept = np.zeros((self.rank, rows.shape[1]), gradients.dtype)
        for block in blocks:
            columns = np.moveaxis(rows[:, block], 1, 0)  # (blocks, rows, size)
            direction[block], eigenvectors = _solve(columns, target, damping, self.rank)
            kept[: eigenvectors.shape[1], block] = np.moveaxis(eigenvectors, 0, 1)
        return TongaDirection(direction, kept, damping)


def _solve(rows: Array, target: Array, damping: float, rank: int) -> tuple[Array, Array]:
    """Per block: lambda X' (lambda I + X X')^-1 y, and the ``rank`` leading rows of V'X.

    Args:
        rows: (n, r, p) float64, X of each of n blocks.
        target: (r,), y.
        damping: lambda >= 0; 0 only if all of ``rows`` is 0.
        rank: rows to keep.

    Returns:
        (n, p) and (n, min(rank, r), p).
    """
    values, vectors = np.linalg.eigh(rows @ np.swapaxes(rows, 1, 2))  # ascending
    scale = damping / (damping + np.maximum(values, 0.0)) if damping > 0.0 else np.ones_like(values)
    solution = np.einsum("nri,ni,nsi,s->nr", vectors, scale, vectors, target, optimize=True)
    kept = np.swapaxes(vectors[:, :, ::-1][:, :, :rank], 1, 2) @ rows
    return np.einsum("nrp,nr->np", rows, solution), kept


def work_bytes(layout: PolicyLayout, *, rank: int, n_minibatches: int, block: Block) -> int:
    """Bytes that ``Tonga.direction`` works with, about.

    The r = rank + n_minibatches rows, as they are kept, in float64, block by block and times the eigenvectors; and for
    all blocks of a layer their (r, r) inner products with the eigenvectors of these.
    """
    n_rows = rank + n_minibatches
    n_blocks = max(layout.policy.sizes[1:]) if block == "neuron" else 1
    return n_rows * layout.n_params * (4 + 3 * 8) + n_blocks * n_rows**2 * 2 * 8


@cache
def parameter_blocks(layout: PolicyLayout, block: Block) -> Sequence[Array]:
    """The parameters that belong to one block each: per layer an index array (blocks, size); log_std is one block."""
    indices = _network_blocks(layout.policy, block)
    if layout.head.n_log_std:
        indices.append(np.arange(layout.policy.n_params, layout.n_params)[None, :])
    return indices


def _network_blocks(layout: MLPLayout, block: Block) -> list[Array]:
    every = np.arange(layout.n_params)
    if block == "layer":
        return [np.concatenate([weight.ravel(), bias])[None, :] for weight, bias in layout.views(every)]  # type: ignore[type-var]
    return [np.concatenate([weight, bias[None, :]]).T for weight, bias in layout.views(every)]  # type: ignore[type-var]
