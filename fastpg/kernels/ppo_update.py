"""One whole PPO update: all epochs and minibatches over one batch. Source: arXiv:1707.06347, algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.adam import check_decay
from fastpg.kernels.clipped_loss import (
    KLDirection,
    LossSample,
    Surrogate,
    checked_penalty,
    checked_sample,
    checked_terms,
    optional_range,
)
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]
_MAX_EPOCHS = 2**16 - 1
_MAX_UPDATES = 2**40 - 1
_MAX_SAMPLES = 2**32 - 1


@dataclass(frozen=True)
class PPOUpdateStats:
    """What one update says.

    Attributes:
        policy_gradient_loss: mean over all minibatches of all epochs, the one that stopped the update included.
        value_loss: likewise.
        entropy_loss: likewise, -entropy in nats.
        clip_fraction: likewise, in [0, 1].
        approx_kl: mean over the minibatches of the last epoch run, nats.
        loss: of the last minibatch.
        gradient_norm: mean over the optimiser steps, before clipping; 0 without any step.
        n_epochs_run: epochs begun; one that was stopped counts.
        n_optimizer_steps: steps of Adam taken.
        stopped_by_kl: whether ``target_kl`` ended the update.
    """

    policy_gradient_loss: float
    value_loss: float
    entropy_loss: float
    clip_fraction: float
    approx_kl: float
    loss: float
    gradient_norm: float
    n_epochs_run: int
    n_optimizer_steps: int
    stopped_by_kl: bool


class PPOUpdateResult(NamedTuple):
    """State after the update; ``adam_step`` is the total number of optimiser steps taken."""

    params: Array
    first_moment: Array
    second_moment: Array
    adam_step: int
    stats: PPOUpdateStats


def ppo_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    n_epochs: int,
    batch_size: int,
    clip_range: float,
    clip_range_vf: float | None = None,
    vf_coef: float,
    ent_coef: float,
    max_grad_norm: float,
    normalize_advantage: bool,
    surrogate: Surrogate = "clip",
    constraint_coef: float = 0.0,
    dual_clip: float | None = None,
    tsallis_q: float | None = None,
    kl_coef: float = 0.0,
    kl_direction: KLDirection = "old_new",
    old_params: Array | None = None,
    target_kl: float | None = None,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-5,
    adam_step: int,
    seed: int,
    update_index: int,
    first_epoch: int = 0,
    out: tuple[Array, Array, Array] | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> PPOUpdateResult:
    """Run ``n_epochs`` over the B samples in shuffled minibatches.

    Per epoch e = first_epoch, first_epoch + 1, ... the samples are permuted by ``philox.permutation`` with (seed,
    STREAM_SHUFFLE, update_index * 2^16 + e), so that calls of one epoch each add up to one call; minibatch j takes the
    permuted rows from j * batch_size on. The last, shorter one is used as well, unless it has a single row: that joins
    the minibatch before it. Per minibatch: ``clipped_loss_gradient``; if ``target_kl`` is given and approx_kl > 1.5
    target_kl the update ends here, before the step; ``clip_global_norm``; ``adam_step``.

    Args:
        params: (P,) float32 or float64; unchanged, as are all inputs.
        first_moment: (P,), same dtype, Adam's.
        second_moment: (P,), same dtype, Adam's.
        observations: (B, O), same dtype, 1 <= B < 2^32.
        actions: (B, D), same dtype for a Gaussian head, else int32.
        old_log_probs: (B,), same dtype, nats.
        advantages: (B,), same dtype.
        returns: (B,), same dtype.
        old_values: (B,), same dtype.
        layout: both networks and the head.
        n_epochs: 1 <= n_epochs < 2^16.
        batch_size: samples per minibatch, >= 1; more than B means one minibatch.
        clip_range: epsilon >= 0, where a schedule may end; infinity allowed.
        clip_range_vf: >= 0, None for no value clipping.
        vf_coef: >= 0.
        ent_coef: finite.
        max_grad_norm: > 0, infinity for no clipping.
        normalize_advantage: per minibatch.
        surrogate: as in ``clipped_loss_gradient``, like the next five.
        constraint_coef: >= 0, finite.
        dual_clip: > 1, or None.
        tsallis_q: > 0 and not 1, with ``surrogate="tsallis"``.
        kl_coef: >= 0, finite; the penalty is relative to the policy of ``old_params``.
        kl_direction: ``old_new`` or ``new_old``.
        old_params: (P,), same dtype; None for ``params``. Used only with ``kl_coef`` > 0.
        target_kl: > 0, nats; None for no early stop.
        learning_rate: >= 0, finite.
        beta1: in [0, 1).
        beta2: in [0, 1).
        epsilon: >= 0.
        adam_step: optimiser steps taken before this update, >= 0.
        seed: 0 <= seed < 2^64.
        update_index: number of this update, 0 <= update_index < 2^40.
        first_epoch: number of the first epoch, >= 0; first_epoch + n_epochs < 2^16.
        out: three arrays (P,), same dtype, for parameters and moments, or None to allocate; they must not overlap an
            input, so that an interrupted update leaves the inputs whole.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        New parameters and moments (in ``out``), the number of optimiser steps so far, and the statistics.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
        KeyboardInterrupt: Ctrl-C; the inputs are as they were.
    """
    dtype = _check.float_dtype("ppo_update: params", params)
    shape = (layout.n_params,)
    state = [
        _check.array_of(f"ppo_update: {name}", array, dtype, shape)
        for name, array in (("params", params), ("first_moment", first_moment), ("second_moment", second_moment))
    ]
    sample = LossSample(observations, actions, old_log_probs, advantages, returns, old_values)
    sample = checked_sample("ppo_update", sample, layout, dtype)
    _check.check_integer("ppo_update: number of samples", len(sample.observations), 1, _MAX_SAMPLES)
    given = state[0] if old_params is None else _check.array_of("ppo_update: old_params", old_params, dtype, shape)
    new = _outputs(out, dtype, shape, [*state, *sample, given])
    n_epochs = _check.check_integer("ppo_update: n_epochs", n_epochs, 1, _MAX_EPOCHS)
    taken = _check.check_integer("ppo_update: adam_step", adam_step, 0, 2**62)
    stats = np.zeros(10)
    backends.resolve("ppo_update", backend).ppo_update(
        *state,
        *sample,
        layout=layout,
        n_epochs=n_epochs,
        batch_size=_check.check_integer("ppo_update: batch_size", batch_size, 1, 2**62),
        clip_range=_check.check_real("ppo_update: clip_range", clip_range, 0.0),
        clip_range_vf=optional_range("ppo_update: clip_range_vf", clip_range_vf),
        vf_coef=_check.check_real("ppo_update: vf_coef", vf_coef, 0.0),
        ent_coef=_check.check_finite("ppo_update: ent_coef", ent_coef),
        max_grad_norm=_check.check_positive("ppo_update: max_grad_norm", max_grad_norm),
        normalize_advantage=bool(normalize_advantage),
        **checked_terms("ppo_update", surrogate, constraint_coef, dual_clip, tsallis_q, clip_range),
        **checked_penalty("ppo_update", kl_coef, kl_direction),
        old_params=given if kl_coef else None,
        target_kl=None if target_kl is None else _check.check_positive("ppo_update: target_kl", target_kl),
        learning_rate=_check.check_non_negative("ppo_update: learning_rate", learning_rate),
        beta1=check_decay("ppo_update: beta1", beta1),
        beta2=check_decay("ppo_update: beta2", beta2),
        epsilon=_check.check_non_negative("ppo_update: epsilon", epsilon),
        adam_step=taken,
        seed=_check.check_integer("ppo_update: seed", seed, 0, 2**64 - 1),
        update_index=_check.check_integer("ppo_update: update_index", update_index, 0, _MAX_UPDATES),
        first_epoch=_check.check_integer("ppo_update: first_epoch", first_epoch, 0, _MAX_EPOCHS - n_epochs),
        out=new,
        stats=stats,
        n_threads=_check.check_threads("ppo_update", n_threads),
    )
    summary = _summary(stats)
    return PPOUpdateResult(*new, taken + summary.n_optimizer_steps, summary)


def _summary(stats: Array) -> PPOUpdateStats:
    """The ten numbers of an implementation, in the order of the fields."""
    values: list[Any] = stats.tolist()
    values[-3:] = int(values[-3]), int(values[-2]), bool(values[-1])
    return PPOUpdateStats(*values)


def _outputs(
    out: tuple[Array, Array, Array] | None, dtype: np.dtype[Any], shape: tuple[int, ...], inputs: list[Array]
) -> tuple[Array, Array, Array]:
    if out is not None and len(out) != 3:
        raise ValueError(f"ppo_update: out: expected three arrays, got {len(out)}.")
    first, second, third = (
        _check.output(f"ppo_update: out[{i}]", array, dtype, shape) for i, array in enumerate(out or (None,) * 3)
    )
    _check.check_no_overlap("ppo_update: out[0]", first, inputs)
    _check.check_no_overlap("ppo_update: out[1]", second, [*inputs, first])
    _check.check_no_overlap("ppo_update: out[2]", third, [*inputs, first, second])
    return first, second, third
