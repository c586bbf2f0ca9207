"""Multi-layer perceptrons in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]


@np.errstate(all="ignore")
def mlp_forward(params: Array, inputs: Array, *, layout: MLPLayout, out: Array, n_threads: int) -> None:
    """Y_{l+1} = activation(Y_l W_l + b_l)."""
    out[:] = activations(params, inputs, layout)[-1]


@np.errstate(all="ignore")
def mlp_backward(
    params: Array, inputs: Array, output_gradient: Array, *, layout: MLPLayout, out: Array, n_threads: int
) -> None:
    """dW_l = Y_l^T dZ_l, db_l = sum dZ_l, dZ_{l-1} = (dZ_l W_l^T) activation'(Z_{l-1})."""
    layers = layout.views(params)
    gradients = layout.views(out)
    y = activations(params, inputs, layout)
    dz = output_gradient
    for level in reversed(range(len(layers))):
        weight_gradient, bias_gradient = gradients[level]
        weight_gradient[:] = y[level].T @ dz
        bias_gradient[:] = dz.sum(axis=0)
        if level > 0:
            dz = (dz @ layers[level][0].T) * _derivative(y[level], layout)


def activations(params: Array, inputs: Array, layout: MLPLayout) -> list[Array]:
    """[inputs, Y_1, ..., outputs]."""
    y = [inputs]
    layers = layout.views(params)
    for level, (weight, bias) in enumerate(layers):
        z = y[-1] @ weight + bias
        y.append(_activation(z, layout) if level < len(layers) - 1 else z)
    return y


def _activation(z: Array, layout: MLPLayout) -> Array:
    result: Array = np.tanh(z) if layout.activation == "tanh" else np.maximum(z, 0)
    return result


def _derivative(y: Array, layout: MLPLayout) -> Array:
    """Derivative of the activation as a function of its value."""
    result: Array = 1 - y * y if layout.activation == "tanh" else (y > 0).astype(y.dtype)
    return result
