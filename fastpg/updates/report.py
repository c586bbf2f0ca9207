"""What an update says about itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum


class UpdateStatus(Enum):
    """How an update ended; the value is a sentence."""

    COMPLETED = "every epoch was run"
    KL_STOP = "stopped before the last epoch because approx_kl exceeded 1.5 * target_kl"
    IMPROVED = "a step was accepted"
    ZERO_GRADIENT = "the gradient is zero: no step was taken"
    CG_BREAKDOWN = "the linear solver found no ascent direction of positive curvature: no step was taken"
    TAKEN_BACK = "the last step had lowered the return: the parameters of before are back, and these samples unused"
    NO_ACCEPTABLE_STEP = "no candidate of the line search was acceptable: the parameters stay as they were"


@dataclass(frozen=True, kw_only=True)
class UpdateReport:
    """The numbers of one update. Losses are minimised, surrogates maximised; None: not a quantity of this update.

    A field that is a key ``train/<field>`` in ``fastpg.training.metrics`` is logged. Means over minibatches weigh
    every minibatch alike. Every KL divergence is in nats, a mean over samples and summed over action dimensions.

    Attributes:
        status: how the update ended.
        n_epochs: what ``train/n_updates`` grows by: epochs run (one that was stopped early counts), or 1 for the step
            of a local model.
        n_optimizer_steps: optimiser steps taken.
        learning_rate: step size used.
        clip_range: clip range used.
        clip_range_vf: clip range of the value function used.
        loss: the whole loss at the last minibatch.
        policy_gradient_loss: minus the clipped surrogate, mean over all minibatches of all epochs.
        policy_loss: -mean(A log pi(a|s)), of a step down its gradient.
        value_loss: mean squared error of the value function, mean over all minibatches.
        entropy_loss: minus the mean entropy (nats), mean over all minibatches.
        approx_kl: mean((r - 1) - log r) with the ratio r, an estimate of KL(old || new); mean over the last epoch run.
        clip_fraction: fraction of samples with abs(r - 1) > clip_range, mean over all minibatches.
        gradient_norm: Euclidean norm of the gradient before clipping, mean over all minibatches that made a step.
        policy_objective: surrogate at the new parameters; at the old ones if no step was taken.
        is_line_search_success: 1 if a step was accepted, else 0.
        surrogate_before: surrogate at the old parameters.
        predicted_improvement: of the surrogate, by the local model; where samples are held out, on the others.
        actual_improvement: of the surrogate over the batch; where samples are held out, on those.
        improvement_ratio: actual / predicted improvement (rho).
        kl_old_new: KL(old || new), of the step that was taken.
        kl_old_new_max: its largest value over the samples.
        kl_before_search: KL(old || new) at the first, longest candidate of the line search.
        trust_radius: bound on the KL divergence used in this update (delta); where the step size t_k of a mirror step
            follows the rule of a radius, t_k in nats per advantage.
        gradient_signal: share of the gradient's squared natural norm that is not noise (kappa), at most 1.
        damping: lambda, added to the Fisher matrix.
        cg_iterations: products with the Fisher matrix that conjugate gradient used.
        cg_residual: its norm at the end, relative to that of the right-hand side.
        n_backtracks: candidates of the line search that were rejected.
        step_norm: Euclidean norm of the step taken, 0 if none was.
        step_distance: divergence of the step taken as the proximity measures it, nats; 0 if none was.
        critic_damping: lambda of a critic that is fitted by Levenberg-Marquardt, after the update.
        kl_coef: coefficient of a KL penalty (beta).
        ratio_violation_max: largest sign(A) (r - 1) - epsilon, 0 if none is positive.
        ratio_violation_mean: mean over the samples of the positive parts.
        ratio_violation_frac: fraction of the samples where it is positive.
        gradient_step: learning_rate * gradient_norm, the length of a plain gradient step: what the ratios of a clipped
            surrogate can exceed the clip range by is of this size.
        n_zero_gradients: updates skipped so far for a zero gradient.
        n_cg_breakdowns: updates so far in which conjugate gradient broke down.
        n_cg_stagnations: updates so far in which rounding stopped it before the tolerance.
        n_line_search_failures: updates so far without an acceptable step.
        minorant: lower bound M of the improvement of the return, after the step.
        minorant_surrogate: its first term, mean(ratio A) / (1 - gamma) less the value at the old parameters.
        n_inner_evaluations: gradients that an inner ascent (of a subspace, of M) used.
        is_fisher_fallback: 1 if the natural gradient took the place of Newton's direction, else 0.
        n_fisher_fallbacks: updates so far in which it did.
        n_steps_taken_back: steps so far that the return of the next rollout made void.
    """

    status: UpdateStatus
    n_epochs: int
    n_optimizer_steps: int
    learning_rate: float | None = None
    clip_range: float | None = None
    clip_range_vf: float | None = None
    loss: float | None = None
    policy_gradient_loss: float | None = None
    policy_loss: float | None = None
    value_loss: float | None = None
    entropy_loss: float | None = None
    approx_kl: float | None = None
    clip_fraction: float | None = None
    gradient_norm: float | None = None
    policy_objective: float | None = None
    is_line_search_success: float | None = None
    surrogate_before: float | None = None
    predicted_improvement: float | None = None
    actual_improvement: float | None = None
    improvement_ratio: float | None = None
    kl_old_new: float | None = None
    kl_old_new_max: float | None = None
    kl_before_search: float | None = None
    trust_radius: float | None = None
    gradient_signal: float | None = None
    damping: float | None = None
    cg_iterations: int | None = None
    cg_residual: float | None = None
    n_backtracks: int | None = None
    step_norm: float | None = None
    step_distance: float | None = None
    critic_damping: float | None = None
    kl_coef: float | None = None
    ratio_violation_max: float | None = None
    ratio_violation_mean: float | None = None
    ratio_violation_frac: float | None = None
    gradient_step: float | None = None
    n_zero_gradients: int | None = None
    n_cg_breakdowns: int | None = None
    n_cg_stagnations: int | None = None
    n_line_search_failures: int | None = None
    minorant: float | None = None
    minorant_surrogate: float | None = None
    n_inner_evaluations: int | None = None
    is_fisher_fallback: float | None = None
    n_fisher_fallbacks: int | None = None
    n_steps_taken_back: int | None = None

    def numbers(self) -> Iterator[tuple[str, float]]:
        """(field, value) of every number that is there."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float):
                yield field.name, value


def finite(value: float | None) -> float | None:
    """``value`` if it is a finite number, else None."""
    return value if value is not None and math.isfinite(value) else None
