"""The surrogate, its gradient, its curvature and the divergences of a candidate in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import PolicyLayout
from fastpg.kernels.reference._curvature import entropy_curvature, log_prob_change, log_prob_curvature
from fastpg.kernels.reference.heads import distribution
from fastpg.kernels.reference.mlp import _derivative, activations, mlp_backward

Array = NDArray[Any]


@np.errstate(all="ignore")
def surrogate_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    out: Array,
    stats: Array,
    n_threads: int,
) -> None:
    """dL/dz = (ratio A dlog pi/dz + ent_coef dH/dz) / B, then backward."""
    n_samples = len(observations)
    out[:] = 0
    stats[:] = 0
    if n_samples == 0:
        return
    policy, log_std = layout.split(params)
    policy_out, log_std_out = layout.split(out)
    head = distribution(layout.head)
    inputs = activations(policy, observations, layout.policy)[-1]
    terms = np.exp(head.log_prob(inputs, log_std, actions) - old_log_probs) * advantages
    by_log_prob = (terms / n_samples)[:, None]
    by_entropy = inputs.dtype.type(ent_coef / n_samples)
    gradients = zip(
        head.log_prob_gradient(inputs, log_std, actions), head.entropy_gradient(inputs, log_std), strict=True
    )
    by_inputs, by_log_std = (by_log_prob * p + by_entropy * e for p, e in gradients)
    mlp_backward(policy, observations, by_inputs, layout=layout.policy, out=policy_out, n_threads=1)
    log_std_out[:] = by_log_std.sum(axis=0)
    entropy = _mean(head.entropy(inputs, log_std))
    stats[:] = _mean(terms) + ent_coef * entropy, entropy


@np.errstate(all="ignore")
def surrogate_evaluate(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    stats: Array,
    n_threads: int,
) -> None:
    """Forward, then means and maxima."""
    stats[:] = 0
    if len(observations) == 0:
        return
    policy, log_std = layout.split(params)
    head = distribution(layout.head)
    inputs = activations(policy, observations, layout.policy)[-1]
    log_ratio = head.log_prob(inputs, log_std, actions) - old_log_probs
    ratio = np.exp(log_ratio)
    entropy = _mean(head.entropy(inputs, log_std))
    kl_old_new = head.kl_old_new(old_head_inputs, old_log_std, inputs, log_std)
    kl_new_old = head.kl_old_new(inputs, log_std, old_head_inputs, old_log_std)
    stats[:2] = _mean(ratio * advantages) + ent_coef * entropy, entropy
    stats[2:4] = _mean(kl_old_new), _largest(kl_old_new)
    stats[4:6] = _mean(kl_new_old), _largest(kl_new_old)
    stats[6:] = _mean((ratio - 1) - log_ratio), _largest(ratio)


@np.errstate(all="ignore")
def surrogate_hessian_vector_product(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    vector: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    out: Array,
    n_threads: int,
) -> None:
    """R of the gradient: forward and backward of values and of their derivatives along ``vector``."""
    n_samples = len(observations)
    out[:] = 0
    if n_samples == 0:
        return
    policy, log_std = layout.split(params)
    direction, log_std_dot = layout.split(vector)
    policy_out, log_std_out = layout.split(out)
    y = activations(policy, observations, layout.policy)
    y_dot = _tangents(layout, policy, direction, y)
    head = distribution(layout.head)
    z, z_dot = y[-1], y_dot[-1]

    # dL/dz = w d log p + c dH with w = ratio A / B, R w = w R log p; c = ent_coef / B.
    weight = np.exp(head.log_prob(z, log_std, actions) - old_log_probs) * advantages / n_samples
    weight_dot = weight * log_prob_change(layout.head, z, log_std, actions, z_dot, log_std_dot)
    by_entropy = z.dtype.type(ent_coef / n_samples)
    scores = head.log_prob_gradient(z, log_std, actions)
    curvatures = log_prob_curvature(layout.head, z, log_std, actions, z_dot, log_std_dot)
    entropy_curvatures = entropy_curvature(layout.head, z, z_dot)
    dz = weight[:, None] * scores[0] + by_entropy * head.entropy_gradient(z, log_std)[0]
    dz_dot, ds_dot = (
        weight_dot[:, None] * score + weight[:, None] * curvature + by_entropy * entropy_part
        for score, curvature, entropy_part in zip(scores, curvatures, entropy_curvatures, strict=True)
    )
    log_std_out[:] = ds_dot.sum(axis=0)
    _backward(layout, (policy, direction), (y, y_dot), (dz, dz_dot), policy_out)


def _tangents(layout: PolicyLayout, policy: Array, direction: Array, y: list[Array]) -> list[Array]:
    """R of every activation: R Z = Y dW + db + (R Y) W, R Y = activation'(Z) R Z."""
    y_dot = [np.zeros_like(y[0])]
    levels = zip(layout.policy.views(policy), layout.policy.views(direction), strict=True)
    for level, ((weight, _), (weight_dot, bias_dot)) in enumerate(levels):
        z_dot = y[level] @ weight_dot + bias_dot + y_dot[level] @ weight
        is_last = level == len(y) - 2
        y_dot.append(z_dot if is_last else z_dot * _derivative(y[level + 1], layout.policy))
    return y_dot


def _backward(
    layout: PolicyLayout,
    weights: tuple[Array, Array],
    activated: tuple[list[Array], list[Array]],
    by_outputs: tuple[Array, Array],
    out: Array,
) -> None:
    """R of dW_l = Y_l' dZ_l and db_l = sum dZ_l, with dZ_{l-1} = (dZ_l W_l') activation'(Z_{l-1})."""
    y, y_dot = activated
    dz, dz_dot = by_outputs
    layers, directions = (layout.policy.views(array) for array in weights)
    gradients = layout.policy.views(out)
    for level in reversed(range(len(layers))):
        weight_gradient, bias_gradient = gradients[level]
        weight_gradient[:] = y_dot[level].T @ dz + y[level].T @ dz_dot
        bias_gradient[:] = dz_dot.sum(axis=0)
        if level > 0:
            dy = dz @ layers[level][0].T
            dy_dot = dz_dot @ layers[level][0].T + dz @ directions[level][0].T
            slope = _derivative(y[level], layout.policy)
            bend = -2 * y[level] * y_dot[level] if layout.policy.activation == "tanh" else 0
            dz, dz_dot = dy * slope, dy_dot * slope + dy * bend


def _mean(values: Array) -> float:
    return float(np.mean(values, dtype=np.float64))


def _largest(values: Array) -> float:
    """At least 0; NaN if there is one."""
    return float(np.maximum(values.max(), 0))
