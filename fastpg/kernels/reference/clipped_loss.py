"""PPO's loss and its gradient in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import ActorCriticLayout
from fastpg.kernels.reference._surrogates import SURROGATES
from fastpg.kernels.reference.heads import distribution
from fastpg.kernels.reference.kl_gradient import kl_and_gradient
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
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
    old_head_inputs: Array | None,
    old_log_std: Array | None,
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
    terms = SURROGATES[surrogate](log_ratio, advantages, clip_range, constraint_coef, dual_clip or tsallis_q)
    value_of_surrogate, by_log_ratio = (term.astype(ratio.dtype) for term in terms)
    by_log_prob = -by_log_ratio / n_samples
    entropy = head.entropy(inputs, log_std)
    by_entropy = -ent_coef / n_samples
    gradients = zip(
        head.log_prob_gradient(inputs, log_std, actions), head.entropy_gradient(inputs, log_std), strict=True
    )
    by_inputs, by_log_std = (by_log_prob[:, None] * p + inputs.dtype.type(by_entropy) * e for p, e in gradients)
    kl = 0.0
    if old_head_inputs is not None and old_log_std is not None:
        kls, *slopes = kl_and_gradient(head, (old_head_inputs, old_log_std), (inputs, log_std), kl_direction)
        by_inputs, by_log_std = (
            g + inputs.dtype.type(kl_coef / n_samples) * s for g, s in zip((by_inputs, by_log_std), slopes, strict=True)
        )
        kl = _mean(kls)
    mlp_backward(policy, observations, by_inputs, layout=layout.policy, out=policy_out, n_threads=1)
    log_std_out[:] = by_log_std.sum(axis=0)

    # Value: d loss / d v = 2 vf_coef (v - return) / B, 0 where v was clipped.
    change = values - old_values
    limit = np.inf if clip_range_vf is None else clip_range_vf
    predicted = values if clip_range_vf is None else old_values + np.clip(change, -limit, limit).astype(values.dtype)
    error = predicted - returns
    by_value = np.where(np.abs(change) > limit, 0, values.dtype.type(2 * vf_coef / n_samples) * error)
    mlp_backward(value, observations, by_value[:, None], layout=layout.value, out=value_out, n_threads=1)

    policy_gradient_loss = -_mean(value_of_surrogate)
    value_loss = _mean(error * error)
    entropy_loss = -_mean(entropy)
    stats[0] = policy_gradient_loss + ent_coef * entropy_loss + vf_coef * value_loss + kl_coef * kl
    stats[1:4] = policy_gradient_loss, value_loss, entropy_loss
    stats[4] = _mean((ratio - 1) - log_ratio)
    stats[5] = _mean(np.abs(ratio - 1) > clip_range)
    stats[6] = kl


def normalized(advantages: Array) -> Array:
    """(A - mean) / (std + 1e-8) with divisor B - 1; moments in float64."""
    double = advantages.astype(np.float64)
    scaled: Array = (double - double.mean()) / (double.std(ddof=1) + STD_EPSILON)
    return scaled.astype(advantages.dtype)


def _mean(values: Array) -> float:
    return float(np.mean(values, dtype=np.float64))
