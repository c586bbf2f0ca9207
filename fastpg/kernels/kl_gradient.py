"""Gradient of the KL divergence between the old and the new policy by the parameters of the new one."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.clipped_loss import KL_DIRECTIONS, KLDirection
from fastpg.kernels.layout import PolicyLayout

Array = NDArray[Any]


def kl_gradient(
    params: Array,
    observations: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    weights: Array,
    *,
    layout: PolicyLayout,
    direction: KLDirection,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> Array:
    """Gradient of sum_i weights_i KL_i, KL_i exact and summed over the action dimensions of sample i.

    By the head inputs of the new policy: for the categorical head p_new - p_old (``old_new``) or
    p_new (log p_new - log p_old - KL) (``new_old``); for the Gaussian (mean_new - mean_old) / std^2 with the standard
    deviation of the second distribution. At the old policy the gradient is 0, and its derivative the Fisher matrix.

    Args:
        params: (P,) float32 or float64, of the new policy: network, then log_std.
        observations: (B, O), same dtype.
        old_head_inputs: (B, K), same dtype: what the old policy's network put out.
        old_log_std: (D,) for a Gaussian head, else (0,), same dtype.
        weights: (B,), same dtype; 1 / B each for the mean.
        layout: the policy.
        direction: ``old_new`` for KL(old || new), ``new_old`` for KL(new || old).
        out: (P,), same dtype, or None to allocate; must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``, the gradient (P,).

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("kl_gradient: params", params)
    observations = _check.array_of("kl_gradient: observations", observations, dtype, ("B", layout.observation_size))
    shapes = {
        "params": (params, (layout.n_params,)),
        "old_head_inputs": (old_head_inputs, (len(observations), layout.head.n_inputs)),
        "old_log_std": (old_log_std, (layout.head.n_log_std,)),
        "weights": (weights, (len(observations),)),
    }
    checked = {
        name: _check.array_of(f"kl_gradient: {name}", array, dtype, shape) for name, (array, shape) in shapes.items()
    }
    _check.check_choice("kl_gradient: direction", direction, KL_DIRECTIONS)
    out = _check.output("kl_gradient: out", out, dtype, (layout.n_params,))
    _check.check_no_overlap("kl_gradient: out", out, (observations, *checked.values()))
    backends.resolve("kl_gradient", backend).kl_gradient(
        checked["params"],
        observations,
        checked["old_head_inputs"],
        checked["old_log_std"],
        checked["weights"],
        layout=layout,
        direction=str(direction),
        out=out,
        n_threads=_check.check_threads("kl_gradient", n_threads),
    )
    return out
