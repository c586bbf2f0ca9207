"""Proximal updates: climb a penalised surrogate by several epochs of minibatch steps from theta_old.

    theta_new ~ argmax  surrogate(theta) - penalty(theta)        by ``inner_loop``, cut short by ``stop``

PPO with a clipped ratio is (Schulman et al. 2017, "Proximal Policy Optimization Algorithms", equations 7 and 9)

    surrogate = mean(min(r A, clip(r, 1 - eps, 1 + eps) A)),     r = pi(a|s) / pi_old(a|s)
    penalty   = c1 * mean((V(s) - R)^2) - c2 * mean(entropy)

The proximity to the old policy sits in the clipping here. The whole update is one kernel call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fastpg.errors import NumericsError
from fastpg.kernels.ppo_update import PPOUpdateResult, ppo_update
from fastpg.updates.problem import SampledData
from fastpg.updates.report import UpdateReport, UpdateStatus
from fastpg.updates.schedules import Schedule, evaluate_schedule
from fastpg.updates.state import OptimizerState

_ADVICE = "Fix: lower learning_rate, scale the rewards (normalize=True), or lower max_grad_norm."


@dataclass(frozen=True, kw_only=True)
class ClippedRatio:
    """mean(min(r A, clip(r, 1 - eps, 1 + eps) A)), equation (7).

    Attributes:
        clip_range: eps > 0, or a schedule of it.
        normalize_advantage: standardise A within each minibatch (ddof 1, + 1e-8; stable-baselines3).
    """

    clip_range: Schedule
    normalize_advantage: bool


@dataclass(frozen=True, kw_only=True)
class ValueAndEntropy:
    """c1 * value error - c2 * entropy, equation (9).

    Attributes:
        vf_coef: c1 >= 0.
        ent_coef: c2, positive values reward randomness.
        clip_range_vf: change of a value estimate allowed per update, a schedule of it, or None for no limit. The
            clipped error replaces the plain one (stable-baselines3; there is no maximum of the two).
    """

    vf_coef: float
    ent_coef: float
    clip_range_vf: Schedule | None


@dataclass(frozen=True, kw_only=True)
class MinibatchAdam:
    """``n_epochs`` passes over shuffled minibatches, one Adam step on the norm-clipped gradient of each.

    Attributes:
        learning_rate: step size, or a schedule of it.
        n_epochs: passes over the batch.
        batch_size: samples of a minibatch.
        max_grad_norm: bound on the global norm of the gradient, inf for none.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
    """

    learning_rate: Schedule
    n_epochs: int
    batch_size: int
    max_grad_norm: float
    beta1: float
    beta2: float
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class KLStop:
    """End the update before the first step whose minibatch has approx_kl > 1.5 * target_kl.

    Attributes:
        target_kl: in nats, None to never stop.
    """

    target_kl: float | None


@dataclass(frozen=True, kw_only=True)
class ProximalUpdate:
    """``inner_loop`` on ``surrogate - penalty`` until ``stop``."""

    surrogate: ClippedRatio
    penalty: ValueAndEntropy
    inner_loop: MinibatchAdam
    stop: KLStop

    def __call__(
        self,
        old: OptimizerState,
        problem: SampledData,
        *,
        progress_remaining: float,
        seed: int,
        update_index: int,
    ) -> tuple[OptimizerState, UpdateReport]:
        """One update from ``old`` on the samples of ``problem``; ``old`` stays as it is.

        Args:
            old: theta_old with the moments of its optimiser.
            problem: B samples drawn with theta_old.
            progress_remaining: where the schedules stand, 1 at the start to 0 at the end.
            seed: key of the shuffling.
            update_index: number of updates made before with this seed; no two shuffles of a run are alike.

        Returns:
            theta_new with its moments, and the report.

        Raises:
            NumericsError: a new parameter or moment is not finite.
            ConfigError: a schedule returned something else than a number >= 0.
        """
        learning_rate = evaluate_schedule("learning_rate", self.inner_loop.learning_rate, progress_remaining)
        clip_range = evaluate_schedule("clip_range", self.surrogate.clip_range, progress_remaining)
        clip_range_vf = self.penalty.clip_range_vf
        if clip_range_vf is not None:
            clip_range_vf = evaluate_schedule("clip_range_vf", clip_range_vf, progress_remaining)
        batch = problem.batch
        result = ppo_update(
            old.params,
            old.first_moment,
            old.second_moment,
            batch.observations,
            batch.actions,
            batch.old_log_probs,
            batch.advantages,
            batch.returns,
            batch.old_values,
            layout=problem.layout,
            n_epochs=self.inner_loop.n_epochs,
            batch_size=self.inner_loop.batch_size,
            clip_range=clip_range,
            clip_range_vf=clip_range_vf,
            vf_coef=self.penalty.vf_coef,
            ent_coef=self.penalty.ent_coef,
            max_grad_norm=self.inner_loop.max_grad_norm,
            normalize_advantage=self.surrogate.normalize_advantage,
            target_kl=self.stop.target_kl,
            learning_rate=learning_rate,
            beta1=self.inner_loop.beta1,
            beta2=self.inner_loop.beta2,
            epsilon=self.inner_loop.epsilon,
            adam_step=old.step,
            seed=seed,
            update_index=update_index,
            n_threads=problem.n_threads,
            backend=problem.backend,
        )
        report = _report(result, learning_rate, clip_range, clip_range_vf)
        return _new_state(old, result, report), report


def _new_state(old: OptimizerState, result: PPOUpdateResult, report: UpdateReport) -> OptimizerState:
    """The state after the update; NumericsError unless it and the losses are finite."""
    new = replace(
        old,
        params=result.params,
        first_moment=result.first_moment,
        second_moment=result.second_moment,
        step=result.adam_step,
    )
    new.check_finite(_ADVICE)
    for name in ("loss", "policy_gradient_loss", "value_loss"):
        if not math.isfinite(getattr(report, name)):
            raise NumericsError(
                f"{name}: expected a finite number, got {getattr(report, name)}. Nothing was committed; the model is "
                f"as after its last finished iteration. {_ADVICE}"
            )
    return new


def _report(
    result: PPOUpdateResult, learning_rate: float, clip_range: float, clip_range_vf: float | None
) -> UpdateReport:
    """The statistics of the kernel with the hyper-parameters that were used."""
    stats = result.stats
    return UpdateReport(
        status=UpdateStatus.KL_STOP if stats.stopped_by_kl else UpdateStatus.COMPLETED,
        policy_gradient_loss=stats.policy_gradient_loss,
        value_loss=stats.value_loss,
        entropy_loss=stats.entropy_loss,
        loss=stats.loss,
        approx_kl=stats.approx_kl,
        clip_fraction=stats.clip_fraction,
        gradient_norm=stats.gradient_norm,
        n_epochs=int(stats.n_epochs_run),
        n_optimizer_steps=int(stats.n_optimizer_steps),
        learning_rate=learning_rate,
        clip_range=clip_range,
        clip_range_vf=clip_range_vf,
    )
