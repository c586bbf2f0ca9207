"""The surrogate, its gradient and the divergences of a candidate in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import PolicyLayout
from fastpg.kernels.reference.heads import distribution
from fastpg.kernels.reference.mlp import activations, mlp_backward

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


def _mean(values: Array) -> float:
    return float(np.mean(values, dtype=np.float64))


def _largest(values: Array) -> float:
    """At least 0; NaN if there is one."""
    return float(np.maximum(values.max(), 0))
