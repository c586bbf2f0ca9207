"""PPO's loss and its gradient. Source: Schulman et al., arXiv:1707.06347, eqs. (7) and (9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.heads import checked_actions
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]


@dataclass(frozen=True)
class ClippedLossStats:
    """What one minibatch says; all zero for an empty one.

    Attributes:
        loss: policy_gradient_loss + ent_coef * entropy_loss + vf_coef * value_loss.
        policy_gradient_loss: -mean(min(ratio A, clip(ratio) A)).
        value_loss: mean squared error of the (clipped) values against the returns.
        entropy_loss: -mean entropy, nats.
        approx_kl: mean((ratio - 1) - log ratio), an estimate of KL(old || new), nats.
        clip_fraction: share of samples with |ratio - 1| > clip_range, in [0, 1].
    """

    loss: float
    policy_gradient_loss: float
    value_loss: float
    entropy_loss: float
    approx_kl: float
    clip_fraction: float


class LossSample(NamedTuple):
    """The arrays of B samples, as every loss takes them."""

    observations: Array
    actions: Array
    old_log_probs: Array
    advantages: Array
    returns: Array
    old_values: Array


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
    clip_range_vf: float | None = None,
    vf_coef: float,
    ent_coef: float,
    normalize_advantage: bool,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> tuple[Array, ClippedLossStats]:
    """Gradient of PPO's loss, which is to be minimised, over B samples.

        ratio = exp(log pi(a|s) - old_log_prob)
        loss  = -mean(min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A))
                + ent_coef * (-mean entropy) + vf_coef * mean((returns - v)^2)

    v is V(s), or with ``clip_range_vf`` old_value + clip(V(s) - old_value, -clip_range_vf, clip_range_vf) (no maximum
    with the unclipped error). With ``normalize_advantage`` and B > 1, A is (advantages - mean) / (std + 1e-8) with the
    standard deviation of a sample (divisor B - 1).

    Args:
        params: (P,) float32 or float64.
        observations: (B, O), same dtype.
        actions: (B, D), same dtype for a Gaussian head, else int32.
        old_log_probs: (B,), same dtype, nats.
        advantages: (B,), same dtype.
        returns: (B,), same dtype.
        old_values: (B,), same dtype; used only with ``clip_range_vf``.
        layout: both networks and the head.
        clip_range: epsilon >= 0, where a schedule may end; infinity allowed.
        clip_range_vf: >= 0, in the units of the returns; None for no clipping.
        vf_coef: >= 0.
        ent_coef: finite.
        normalize_advantage: see above.
        out: (P,), same dtype, or None to allocate; must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``, the gradient (P,), and the statistics.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "clipped_loss_gradient"
    dtype = _check.float_dtype(f"{kernel}: params", params)
    params = _check.array_of(f"{kernel}: params", params, dtype, (layout.n_params,))
    sample = LossSample(observations, actions, old_log_probs, advantages, returns, old_values)
    sample = checked_sample(kernel, sample, layout, dtype)
    out = _check.output(f"{kernel}: out", out, dtype, (layout.n_params,))
    _check.check_no_overlap(f"{kernel}: out", out, (params, *sample))
    stats = np.zeros(6)
    backends.resolve("clipped_loss", backend).clipped_loss_gradient(
        params,
        *sample,
        layout=layout,
        clip_range=_check.check_real(f"{kernel}: clip_range", clip_range, 0.0),
        clip_range_vf=optional_range(f"{kernel}: clip_range_vf", clip_range_vf),
        vf_coef=_check.check_real(f"{kernel}: vf_coef", vf_coef, 0.0),
        ent_coef=_check.check_finite(f"{kernel}: ent_coef", ent_coef),
        normalize_advantage=bool(normalize_advantage),
        out=out,
        stats=stats,
        n_threads=_check.check_threads(kernel, n_threads),
    )
    return out, ClippedLossStats(*stats.tolist())


def checked_sample(kernel: str, sample: LossSample, layout: ActorCriticLayout, dtype: np.dtype[Any]) -> LossSample:
    """``sample`` with every array checked against ``layout`` and ``dtype``, C-contiguous."""
    shape = ("B", layout.observation_size)
    observations = _check.array_of(f"{kernel}: observations", sample.observations, dtype, shape)
    n_samples = len(observations)
    columns = [
        _check.array_of(f"{kernel}: {name}", getattr(sample, name), dtype, (n_samples,))
        for name in ("old_log_probs", "advantages", "returns", "old_values")
    ]
    return LossSample(observations, checked_actions(kernel, sample.actions, layout.head, dtype, n_samples), *columns)


def optional_range(where: str, value: float | None) -> float | None:
    """``value`` as a float >= 0, or None."""
    return None if value is None else _check.check_real(where, value, 0.0)
