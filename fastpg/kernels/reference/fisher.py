"""The Fisher matrix in NumPy: forward, forward in the direction of a vector, backward."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose_fisher import ComposedSolve, add_damping
from fastpg.kernels.layout import MLPLayout, PolicyLayout
from fastpg.kernels.reference.heads import distribution
from fastpg.kernels.reference.mlp import _derivative, activations

Array = NDArray[Any]


def bind_fisher(
    params: Array, observations: Array, *, layout: PolicyLayout, actions: Array | None, n_threads: int
) -> Fisher:
    """The operator on these samples."""
    return Fisher(params, observations, layout, actions)


@np.errstate(all="ignore")
def fisher_factors(
    params: Array, observations: Array, *, layout: PolicyLayout, actions: Array | None, out: Array
) -> None:
    """Row by row J_i' f for every factor f of M_i."""
    fisher = Fisher(params, observations, layout, actions)
    n_samples, n_factors, _ = fisher.by_inputs.shape
    rows = out[: n_samples * n_factors].reshape(n_samples, n_factors, layout.n_params)
    for r in range(n_factors):
        network, log_std = rows[:, r, : layout.policy.n_params], rows[:, r, layout.policy.n_params :]
        network[:] = fisher.sample_gradients(fisher.by_inputs[:, r])
        log_std[:] = fisher.by_log_std[:, r]
    last = out[n_samples * n_factors :]  # sqrt(2 B) e_d
    last[:] = 0
    if len(last):
        last[:, layout.policy.n_params :] = np.sqrt(2 * n_samples) * np.eye(len(last))


class Fisher(ComposedSolve):
    """F = 1/B sum_i J_i' M_i J_i, M_i = sum over r of f_r f_r'.

    Attributes:
        by_inputs: (B, R, K), the factors f_r of every sample, by its head inputs.
        by_log_std: (B, R, size of log_std), the same by log_std: 0 for the exact Fisher matrix, whose 2 I is constant.
    """

    @np.errstate(all="ignore")
    def __init__(self, params: Array, observations: Array, layout: PolicyLayout, actions: Array | None) -> None:
        self._layout = layout.policy
        network, log_std = layout.split(params.copy())
        self._layers = layout.policy.views(network)
        self._y = activations(network, observations.copy(), layout.policy)
        self._log_std_fisher = 2 if actions is None and len(observations) else 0
        head = distribution(layout.head)
        if actions is None:
            self.by_inputs = head.fisher_factors(self._y[-1], log_std)
            self.by_log_std = np.zeros((*self.by_inputs.shape[:2], len(log_std)), params.dtype)
        else:
            by_inputs, by_log_std = head.log_prob_gradient(self._y[-1], log_std, actions)
            self.by_inputs, self.by_log_std = by_inputs[:, None], by_log_std[:, None]

    @np.errstate(all="ignore")
    def product(self, vector: Array, *, damping: float, damping_scale: Array | None, out: Array) -> None:
        """J v, then M J v, then J'M J v."""
        n = self._layout.n_params
        n_samples = max(len(self.by_inputs), 1)
        tangent = self._tangent(vector[:n])
        by_factor = np.einsum("brk,bk->br", self.by_inputs, tangent) + self.by_log_std @ vector[n:]
        dz = np.einsum("br,brk->bk", by_factor, self.by_inputs)
        for (weight, bias), y, dz_level in zip(self._layout.views(out[:n]), self._y, self._deltas(dz), strict=False):
            weight[:] = y.T @ dz_level / n_samples
            bias[:] = dz_level.sum(axis=0) / n_samples
        out[n:] = np.einsum("br,brd->d", by_factor, self.by_log_std) / n_samples + self._log_std_fisher * vector[n:]
        add_damping(vector, damping, damping_scale, out)

    @np.errstate(all="ignore")
    def diagonal(self, *, out: Array) -> None:
        """Of every factor the squared gradient: (y_i dz_o)^2 = y_i^2 dz_o^2."""
        n = self._layout.n_params
        n_samples = max(len(self.by_inputs), 1)
        out[:] = 0
        for r in range(self.by_inputs.shape[1]):
            deltas = self._deltas(self.by_inputs[:, r])
            for (weight, bias), y, dz in zip(self._layout.views(out[:n]), self._y, deltas, strict=False):
                weight[:] += (y * y).T @ (dz * dz) / n_samples
                bias[:] += (dz * dz).sum(axis=0) / n_samples
        out[n:] = (self.by_log_std**2).sum(axis=(0, 1)) / n_samples + self._log_std_fisher

    def sample_gradients(self, by_inputs: Array) -> Array:
        """J_i' by_inputs[i] of every sample, (B, parameters of the network)."""
        gradients = np.empty((len(by_inputs), self._layout.n_params), by_inputs.dtype)
        start = 0
        for y, dz in zip(self._y, self._deltas(by_inputs), strict=False):
            for part in (y[:, :, None] * dz[:, None, :], dz):  # weights, then biases
                size = part[0].size if len(part) else 0
                gradients[:, start : start + size] = part.reshape(len(part), size)
                start += size
        return gradients

    def _tangent(self, vector: Array) -> Array:
        """J v, (B, K): the derivative of the head inputs along ``vector``."""
        directions = self._layout.views(vector)
        tangent = np.zeros_like(self._y[0])
        for level, ((weight, _), (along, bias_along)) in enumerate(zip(self._layers, directions, strict=True)):
            tangent = self._y[level] @ along + bias_along + tangent @ weight
            if level < len(self._layers) - 1:
                tangent = tangent * _derivative(self._y[level + 1], self._layout)
        return tangent

    def _deltas(self, by_inputs: Array) -> list[Array]:
        """Of every layer dZ, the first one first; ``by_inputs`` (B, K) is that of the last."""
        return deltas(self._layers, self._y, by_inputs, self._layout)


def deltas(layers: list[tuple[Array, Array]], y: list[Array], dz: Array, layout: MLPLayout) -> list[Array]:
    """dZ_{l-1} = (dZ_l W_l^T) activation'(Z_{l-1}), down to the first layer."""
    result = [dz]
    for level in range(len(layers) - 1, 0, -1):
        result.append((result[-1] @ layers[level][0].T) * _derivative(y[level], layout))
    return result[::-1]
