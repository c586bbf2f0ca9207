"""PPO's loss and its gradient. Source: Schulman et al., arXiv:1707.06347, eqs. (7) and (9).

Other surrogates can take the place of the clipped one, and a KL penalty can be added:

    clip      min(r A, clip(r, 1 - eps, 1 + eps) A); with ``dual_clip`` c > 1 and A < 0 at least c A
              (Ye et al. 2020, "Mastering Complex Control in MOBA Games with Deep Reinforcement Learning", eq. 5)
    ratio     r A
    barrier   r A - c b(z), z = 1 - sign(A) (r - 1) / eps, b(z) = -log z, below z = BARRIER_JOIN the parabola of the
              relaxed logarithmic barrier (Hauser and Saccon 2006)
    penalty   r A - c max(sign(A) (r - 1) - eps, 0); c = max |A| or more is exact
    tsallis   r A - c (r^q - 1 - q (r - 1)) / (q (q - 1)), whose mean estimates the Tsallis relative entropy of the new
              policy from the old one by samples of the old one; q to 1 gives KL(new || old)

with r = ``ratio``, eps = ``clip_range``, c = ``constraint_coef``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.heads import checked_actions
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]
Surrogate = Literal["clip", "ratio", "barrier", "penalty", "tsallis"]
KLDirection = Literal["old_new", "new_old"]
SURROGATES: tuple[str, ...] = get_args(Surrogate)
KL_DIRECTIONS: tuple[str, ...] = get_args(KLDirection)
#: Where the logarithmic barrier becomes a parabola, as a share of the slack that it starts with.
BARRIER_JOIN = 0.1


@dataclass(frozen=True)
class ClippedLossStats:
    """What one minibatch says; all zero for an empty one.

    Attributes:
        loss: policy_gradient_loss + ent_coef * entropy_loss + vf_coef * value_loss + kl_coef * kl.
        policy_gradient_loss: minus the mean surrogate, -mean(min(ratio A, clip(ratio) A)) for the clipped one.
        value_loss: mean squared error of the (clipped) values against the returns.
        entropy_loss: -mean entropy, nats.
        approx_kl: mean((ratio - 1) - log ratio), an estimate of KL(old || new), nats.
        clip_fraction: share of samples with |ratio - 1| > clip_range, in [0, 1].
        kl: mean exact KL divergence in the direction of the penalty, nats; 0 without a penalty.
    """

    loss: float
    policy_gradient_loss: float
    value_loss: float
    entropy_loss: float
    approx_kl: float
    clip_fraction: float
    kl: float


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
    surrogate: Surrogate = "clip",
    constraint_coef: float = 0.0,
    dual_clip: float | None = None,
    tsallis_q: float | None = None,
    kl_coef: float = 0.0,
    kl_direction: KLDirection = "old_new",
    old_head_inputs: Array | None = None,
    old_log_std: Array | None = None,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> tuple[Array, ClippedLossStats]:
    """Gradient of PPO's loss, which is to be minimised, over B samples.

        ratio = exp(log pi(a|s) - old_log_prob)
        loss  = -mean(min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A))
                + ent_coef * (-mean entropy) + vf_coef * mean((returns - v)^2) + kl_coef * mean KL

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
        surrogate: what is averaged over the samples; see the module.
        constraint_coef: c >= 0, finite, of ``barrier``, ``penalty`` and ``tsallis``.
        dual_clip: > 1, of ``clip``; None for none.
        tsallis_q: > 0 and not 1, of ``tsallis``.
        kl_coef: >= 0, finite.
        kl_direction: ``old_new`` for KL(old || new), ``new_old`` for KL(new || old); exact, summed over actions.
        old_head_inputs: (B, K), same dtype, of the old policy; used only with ``kl_coef`` > 0.
        old_log_std: (D,) for a Gaussian head, else (0,), same dtype; likewise.
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
    old_policy = _checked_old_policy(kernel, old_head_inputs, old_log_std, layout, sample) if kl_coef else (None, None)
    _check.check_no_overlap(f"{kernel}: out", out, (array for array in old_policy if array is not None))
    stats = np.zeros(7)
    backends.resolve("clipped_loss", backend).clipped_loss_gradient(
        params,
        *sample,
        layout=layout,
        clip_range=_check.check_real(f"{kernel}: clip_range", clip_range, 0.0),
        clip_range_vf=optional_range(f"{kernel}: clip_range_vf", clip_range_vf),
        vf_coef=_check.check_real(f"{kernel}: vf_coef", vf_coef, 0.0),
        ent_coef=_check.check_finite(f"{kernel}: ent_coef", ent_coef),
        normalize_advantage=bool(normalize_advantage),
        **checked_terms(kernel, surrogate, constraint_coef, dual_clip, tsallis_q, clip_range),
        **checked_penalty(kernel, kl_coef, kl_direction),
        old_head_inputs=old_policy[0],
        old_log_std=old_policy[1],
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


def checked_terms(
    kernel: str,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    clip_range: float,
) -> dict[str, Any]:
    """The arguments that describe the surrogate, checked one by one and against each other."""
    _check.check_choice(f"{kernel}: surrogate", surrogate, SURROGATES)
    if dual_clip is not None and (surrogate != "clip" or not dual_clip > 1.0):
        raise ValueError(
            f"{kernel}: dual_clip: expected None, or a number > 1 with surrogate='clip', got {dual_clip!r} with "
            f"surrogate={surrogate!r}."
        )
    is_tsallis = surrogate == "tsallis"
    if (tsallis_q is not None) != is_tsallis or (tsallis_q is not None and not (tsallis_q > 0.0 and tsallis_q != 1.0)):
        raise ValueError(
            f"{kernel}: tsallis_q: expected a number > 0 other than 1 with surrogate='tsallis', else None, got "
            f"{tsallis_q!r} with surrogate={surrogate!r}."
        )
    if surrogate == "barrier" and not clip_range > 0.0:
        raise ValueError(f"{kernel}: clip_range: expected a number > 0 with surrogate='barrier', got {clip_range!r}.")
    return {
        "surrogate": str(surrogate),
        "constraint_coef": _check.check_non_negative(f"{kernel}: constraint_coef", constraint_coef),
        "dual_clip": None if dual_clip is None else float(dual_clip),
        "tsallis_q": None if tsallis_q is None else _check.check_finite(f"{kernel}: tsallis_q", tsallis_q),
    }


def checked_penalty(kernel: str, kl_coef: float, kl_direction: str) -> dict[str, Any]:
    """The arguments that describe the KL penalty."""
    _check.check_choice(f"{kernel}: kl_direction", kl_direction, KL_DIRECTIONS)
    return {
        "kl_coef": _check.check_non_negative(f"{kernel}: kl_coef", kl_coef),
        "kl_direction": str(kl_direction),
    }


def _checked_old_policy(
    kernel: str, head_inputs: Array | None, log_std: Array | None, layout: ActorCriticLayout, sample: LossSample
) -> tuple[Array, Array]:
    """What the old policy's network put out, and its log standard deviations."""
    dtype, head = sample.observations.dtype, layout.head
    shape = (len(sample.observations), head.n_inputs)
    return (
        _check.array_of(f"{kernel}: old_head_inputs", head_inputs, dtype, shape),
        _check.array_of(f"{kernel}: old_log_std", log_std, dtype, (head.n_log_std,)),
    )
