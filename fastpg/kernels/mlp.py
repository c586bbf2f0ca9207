"""Multi-layer perceptrons: values and gradients.

y_0 = inputs, y_{l+1} = activation(y_l W_l + b_l) for the hidden layers, no activation after the last. The layout of the
parameters is that of ``fastpg.kernels.layout``.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]


def mlp_forward(
    params: Array,
    inputs: Array,
    *,
    layout: MLPLayout,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> Array:
    """Outputs of the network for B inputs.

    Args:
        params: (P,) float32 or float64, flat parameters.
        inputs: (B, layout.sizes[0]), same dtype.
        layout: sizes and activation.
        out: (B, layout.sizes[-1]), same dtype, or None to allocate; must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("mlp_forward: params", params)
    params = _check.array_of("mlp_forward: params", params, dtype, (layout.n_params,))
    inputs = _check.array_of("mlp_forward: inputs", inputs, dtype, ("B", layout.sizes[0]))
    out = _check.output("mlp_forward: out", out, dtype, (len(inputs), layout.sizes[-1]))
    _check.check_no_overlap("mlp_forward: out", out, (params, inputs))
    n_threads = _check.check_threads("mlp_forward", n_threads)
    backends.resolve("mlp", backend).mlp_forward(params, inputs, layout=layout, out=out, n_threads=n_threads)
    return out


def mlp_backward(
    params: Array,
    inputs: Array,
    output_gradient: Array,
    *,
    layout: MLPLayout,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> Array:
    """Gradient of sum(outputs * output_gradient) with respect to the parameters.

    Args:
        params: (P,) float32 or float64, flat parameters.
        inputs: (B, layout.sizes[0]), same dtype.
        output_gradient: (B, layout.sizes[-1]), same dtype, derivative of the objective by the outputs.
        layout: sizes and activation. The derivative of ReLU at 0 is 0.
        out: (P,), same dtype, or None to allocate; overwritten, must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``: the gradient (P,), laid out like ``params``; summed, not averaged, over the batch.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("mlp_backward: params", params)
    params = _check.array_of("mlp_backward: params", params, dtype, (layout.n_params,))
    inputs = _check.array_of("mlp_backward: inputs", inputs, dtype, ("B", layout.sizes[0]))
    shape = (len(inputs), layout.sizes[-1])
    output_gradient = _check.array_of("mlp_backward: output_gradient", output_gradient, dtype, shape)
    out = _check.output("mlp_backward: out", out, dtype, (layout.n_params,))
    _check.check_no_overlap("mlp_backward: out", out, (params, inputs, output_gradient))
    n_threads = _check.check_threads("mlp_backward", n_threads)
    backends.resolve("mlp", backend).mlp_backward(
        params, inputs, output_gradient, layout=layout, out=out, n_threads=n_threads
    )
    return out
