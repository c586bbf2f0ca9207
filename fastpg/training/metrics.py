"""The log keys: each defined once, with its unit and one sentence.

The names are stable-baselines3's where it has the quantity. The columns of ``metrics.csv``, the order of the console
table and the table in the documentation all come from ``METRICS``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One logged quantity.

    Attributes:
        key: ``group/name``, as recorded.
        unit: of the value; ``""`` for a pure number.
        meaning: one sentence.
    """

    key: str
    unit: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "rollout/ep_rew_mean",
        "reward",
        "Mean undiscounted return of the last `stats_window_size` finished episodes, in the environment's own rewards.",
    ),
    Metric("rollout/ep_len_mean", "steps", "Mean length of the last `stats_window_size` finished episodes."),
    Metric(
        "rollout/success_rate",
        "",
        "Fraction of the last `stats_window_size` episodes with `is_success` in `info`; absent if none has the key.",
    ),
    Metric("time/fps", "steps/s", "Environment steps per second of wall time since `learn` began, updates included."),
    Metric("time/iterations", "", "Iterations (one rollout and one update each) since `learn` began."),
    Metric("time/time_elapsed", "s", "Wall time since `learn` began."),
    Metric("time/cpu_time", "s", "CPU time of the process, all threads together, since `learn` began."),
    Metric("time/total_timesteps", "steps", "Environment steps taken so far, summed over all environments."),
    Metric("train/learning_rate", "", "Step size of the optimiser in this update, as the schedule gave it."),
    Metric("train/clip_range", "", "Clip range of the probability ratio in this update, as the schedule gave it."),
    Metric("train/clip_range_vf", "", "Clip range of the value function; absent if values are not clipped."),
    Metric("train/loss", "", "Loss of the last minibatch: policy, value and entropy terms, weighted."),
    Metric(
        "train/policy_gradient_loss",
        "",
        "Minus the clipped surrogate, mean over all minibatches.",
    ),
    Metric("train/policy_loss", "", "Minus the mean of A log π, whose gradient A2C's policy descends."),
    Metric(
        "train/value_loss",
        "",
        "Squared error of the value function against the returns, mean over all minibatches.",
    ),
    Metric("train/entropy_loss", "nats", "Minus the mean entropy of the policy, mean over all minibatches."),
    Metric(
        "train/approx_kl",
        "nats",
        "Estimate of KL(old ‖ new), mean((ratio - 1) - log ratio), mean over the minibatches of the last epoch run.",
    ),
    Metric(
        "train/clip_fraction", "", "Fraction of samples with a ratio outside the clip range, mean over all minibatches."
    ),
    Metric("train/gradient_norm", "", "Global norm of the gradient before clipping, mean over all optimiser steps."),
    Metric("train/policy_objective", "", "Surrogate at the new parameters, to be maximised."),
    Metric("train/is_line_search_success", "", "1 if a step was accepted, else 0."),
    Metric("train/surrogate_before", "", "Surrogate at the old parameters."),
    Metric(
        "train/predicted_improvement",
        "",
        "Improvement of the surrogate that the local model predicts; with samples held out, that on the others.",
    ),
    Metric(
        "train/actual_improvement",
        "",
        "Improvement of the surrogate over the samples of the rollout; with samples held out, over those.",
    ),
    Metric("train/improvement_ratio", "", "Actual improvement / predicted improvement (ρ)."),
    Metric(
        "train/kl_old_new", "nats", "KL(old ‖ new) of the step taken, mean over samples, summed over action dimensions."
    ),
    Metric("train/kl_old_new_max", "nats", "The largest KL(old ‖ new) over the samples."),
    Metric("train/kl_before_search", "nats", "KL(old ‖ new) at the first candidate of the line search."),
    Metric(
        "train/trust_radius",
        "nats",
        "Bound on KL(old ‖ new) in this update (δ); with MDPO's t_schedule='adaptive' t_k, nats per advantage.",
    ),
    Metric(
        "train/gradient_signal",
        "",
        "Share of the gradient that two halves of the samples agree on (κ): 1 without noise, about 0 for nothing else.",
    ),
    Metric("train/damping", "", "Damping added to the Fisher matrix in this update (λ)."),
    Metric("train/cg_iterations", "", "Products with the Fisher matrix that conjugate gradient used."),
    Metric("train/cg_residual", "", "Norm of the residual of conjugate gradient, relative to the right-hand side."),
    Metric("train/n_backtracks", "", "Candidates of the line search that were rejected."),
    Metric("train/step_norm", "", "Euclidean norm of the step of the policy's parameters."),
    Metric("train/critic_damping", "", "Damping of the value network's Levenberg-Marquardt fit, after the update."),
    Metric("train/kl_coef", "", "Coefficient of the KL penalty in this update (β)."),
    Metric("train/ratio_violation_max", "", "Largest sign(A) (ratio - 1) - ε over the samples, 0 if none is positive."),
    Metric("train/ratio_violation_mean", "", "Mean over the samples of the positive part of sign(A) (ratio - 1) - ε."),
    Metric("train/ratio_violation_frac", "", "Fraction of the samples with sign(A) (ratio - 1) > ε."),
    Metric(
        "train/gradient_step",
        "",
        "Learning rate × gradient norm: one plain gradient step exceeds the clip range by at most its order.",
    ),
    Metric("train/n_zero_gradients", "updates", "Updates skipped so far because the gradient was zero."),
    Metric("train/n_cg_breakdowns", "updates", "Updates so far in which conjugate gradient broke down."),
    Metric("train/n_cg_stagnations", "updates", "Updates so far in which rounding stopped conjugate gradient."),
    Metric("train/n_line_search_failures", "updates", "Updates so far in which no step was acceptable."),
    Metric("train/n_steps_taken_back", "updates", "Steps so far that the return of the next rollout made void."),
    Metric("train/minorant", "return", "Lower bound M of the improvement of the return, after the step."),
    Metric("train/minorant_surrogate", "return", "First term of M: change of mean(ratio A) / (1 - γ)."),
    Metric("train/n_inner_evaluations", "", "Gradients that the ascent within a subspace, or of M, used."),
    Metric("train/is_fisher_fallback", "", "1 if the natural gradient took the place of Newton's direction, else 0."),
    Metric("train/n_fisher_fallbacks", "updates", "Updates so far in which it did."),
    Metric(
        "train/explained_variance",
        "",
        "1 - Var(returns - values) / Var(returns) over the rollout: 1 is perfect, 0 as good as a constant.",
    ),
    Metric("train/std", "", "Mean standard deviation of the Gaussian policy; absent for discrete actions."),
    Metric("train/n_updates", "epochs", "Optimisation epochs run since the model was made."),
    Metric("eval/mean_reward", "reward", "Mean return of the evaluation episodes, in the environment's own rewards."),
    Metric("eval/mean_ep_length", "steps", "Mean length of the evaluation episodes."),
    Metric("eval/success_rate", "", "Fraction of the evaluation episodes whose `info` said `is_success`."),
)

_POSITION = {metric.key: position for position, metric in enumerate(METRICS)}


def csv_columns() -> tuple[str, ...]:
    """The columns of ``metrics.csv``: every key, in the order of ``METRICS``."""
    return tuple(_POSITION)


def sort_keys(keys: Iterable[str]) -> list[str]:
    """``keys`` for display: known ones in the order of ``METRICS``, then the user's own, alphabetically."""
    return sorted(keys, key=lambda key: (_POSITION.get(key, len(_POSITION)), key))


def markdown_table() -> str:
    """The table of the documentation: one row per key."""
    rows = [f"| `{metric.key}` | {metric.unit or '–'} | {metric.meaning} |" for metric in METRICS]
    return "\n".join(["| key | unit | meaning |", "|---|---|---|", *rows]) + "\n"
