"""PPO's loss and its gradient in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import ActorCriticLayout
from fastpg.kernels.reference.heads import distribution
from fastpg.kernels.reference.mlp import activations, mlp_backward

Array = NDArray[Any]
#: Added to the standard deviation of the advantages. Source: stable-baselines3, OpenAI baselines.
STD_EPSILON = 1e-8


@np.errstate(all="ignore")
def clipped_loss_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    normalize_advantage: bool,
    out: Array,
    stats: Array,
    n_threads: int,
) -> None:
    """Forward, derivative of the loss by the outputs of both networks, backward."""
    n_samples = len(observations)
    out[:] = 0
    stats[:] = 0
    if n_samples == 0:
        return
    policy, log_std, value = layout.split(params)
    policy_out, log_std_out, value_out = layout.split(out)
    head = distribution(layout.head)
    inputs = activations(policy, observations, layout.policy)[-1]
    values = activations(value, observations, layout.value)[-1][:, 0]
    if normalize_advantage and n_samples > 1:
        advantages = normalized(advantages)

    # Policy: d loss / d log pi = -ratio A / B where the unclipped term is the smaller one.
    log_ratio = head.log_prob(inputs, log_std, actions) - old_log_probs
    ratio = np.exp(log_ratio)
    unclipped = ratio * advantages
    clipped = np.clip(ratio, 1 - clip_range, 1 + clip_range).astype(ratio.dtype) * advantages
    by_log_prob = np.where(unclipped > clipped, 0, -unclipped / n_samples)
    entropy = head.entropy(inputs, log_std)
    by_entropy = -ent_coef / n_samples
    gradients = zip(
        head.log_prob_gradient(inputs, log_std, actions), head.entropy_gradient(inputs, log_std), strict=True
    )
    by_inputs, by_log_std = (by_log_prob[:, None] * p + inputs.dtype.type(by_entropy) * e for p, e in gradients)
    mlp_backward(policy, observations, by_inputs, layout=layout.policy, out=policy_out, n_threads=1)
    log_std_out[:] = by_log_std.sum(axis=0)

    # Value: d loss / d v = 2 vf_coef (v - return) / B, 0 where v was clipped.
    change = values - old_values
    limit = np.inf if clip_range_vf is None else clip_range_vf
    predicted = values if clip_range_vf is None else old_values + np.clip(change, -limit, limit).astype(values.dtype)
    error = predicted - returns
    by_value = np.where(np.abs(change) > limit, 0, values.dtype.type(2 * vf_coef / n_samples) * error)
    mlp_backward(value, observations, by_value[:, None], layout=layout.value, out=value_out, n_threads=1)

    policy_gradient_loss = -_mean(np.minimum(unclipped, clipped))
    value_loss = _mean(error * error)
    entropy_loss = -_mean(entropy)
    stats[0] = policy_gradient_loss + ent_coef * entropy_loss + vf_coef * value_loss
    stats[1:4] = policy_gradient_loss, value_loss, entropy_loss
    stats[4] = _mean((ratio - 1) - log_ratio)
    stats[5] = _mean(np.abs(ratio - 1) > clip_range)


def normalized(advantages: Array) -> Array:
    """(A - mean) / (std + 1e-8) with divisor B - 1; moments in float64."""
    double = advantages.astype(np.float64)
    scaled: Array = (double - double.mean()) / (double.std(ddof=1) + STD_EPSILON)
    return scaled.astype(advantages.dtype)


def _mean(values: Array) -> float:
    return float(np.mean(values, dtype=np.float64))
