"""One step down the gradient of one loss of policy, value and entropy, at theta_old.

    loss = -mean(A log pi(a|s)) + c1 * mean((V(s) - R)^2) - c2 * mean(entropy)

Mnih et al. 2016, "Asynchronous Methods for Deep Reinforcement Learning" (arXiv:1602.01783), section 4 and algorithm S3.
At theta_old the ratio is 1, so this is the gradient of PPO's loss with an infinite clip range, which computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fastpg.errors import NumericsError
from fastpg.kernels.adam import adam_step
from fastpg.kernels.clipped_loss import clipped_loss_gradient
from fastpg.kernels.gradient_norm import clip_global_norm
from fastpg.kernels.rmsprop import rmsprop_step
from fastpg.types import Array, Batch
from fastpg.updates.policy_change import standardized
from fastpg.updates.problem import SampledData
from fastpg.updates.report import UpdateReport, UpdateStatus
from fastpg.updates.schedules import Schedule, evaluate_schedule
from fastpg.updates.state import OptimizerState

_ADVICE = "Fix: lower learning_rate, scale the rewards (normalize=True), or lower max_grad_norm."


@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """Steps of RMSprop; the running mean of the squared gradient is the second moment of the state.

    Attributes:
        alpha: decay of the running mean.
        epsilon: added to its root.
    """

    alpha: float
    epsilon: float

    def step(self, old: OptimizerState, gradient: Array, learning_rate: float, backend: str | None) -> OptimizerState:
        """The state after one step."""
        new = rmsprop_step(
            old.params,
            gradient,
            old.second_moment,
            learning_rate=learning_rate,
            alpha=self.alpha,
            epsilon=self.epsilon,
            backend=backend,
        )
        return replace(old, params=new.params, second_moment=new.square_average, step=old.step + 1)


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Steps of Adam.

    Attributes:
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
    """

    beta1: float
    beta2: float
    epsilon: float

    def step(self, old: OptimizerState, gradient: Array, learning_rate: float, backend: str | None) -> OptimizerState:
        """The state after one step."""
        params, first_moment, second_moment = adam_step(
            old.params,
            gradient,
            old.first_moment,
            old.second_moment,
            step=old.step + 1,
            learning_rate=learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            backend=backend,
        )
        return replace(old, params=params, first_moment=first_moment, second_moment=second_moment, step=old.step + 1)


@dataclass(frozen=True, kw_only=True)
class JointGradientStep:
    """The gradient of the joint loss over all samples, clipped by its norm, and one step of the optimiser.

    Attributes:
        learning_rate: step size, or a schedule of it.
        optimizer: what makes a step of a gradient.
        vf_coef: c1 >= 0.
        ent_coef: c2, positive values reward randomness.
        max_grad_norm: bound on the global norm of the gradient, inf for none.
        normalize_advantage: standardise A over the samples (ddof 1, + 1e-8; stable-baselines3).
    """

    learning_rate: Schedule
    optimizer: RMSprop | Adam
    vf_coef: float
    ent_coef: float
    max_grad_norm: float
    normalize_advantage: bool

    def __call__(
        self,
        old: OptimizerState,
        problem: SampledData,
        *,
        progress_remaining: float,
        seed: int,
        update_index: int,
    ) -> tuple[OptimizerState, UpdateReport]:
        """One step from ``old`` on the samples of ``problem``; ``old`` stays as it is.

        Args:
            old: theta_old with the moments of its optimiser.
            problem: B samples drawn with theta_old.
            progress_remaining: where the schedule stands, 1 at the start to 0 at the end.
            seed: not used: nothing here is random.
            update_index: not used.

        Returns:
            theta_new with its moments, and the report.

        Raises:
            NumericsError: a new parameter or moment, or the loss, is not finite.
            ConfigError: the schedule returned something else than a number >= 0.
        """
        learning_rate = evaluate_schedule("learning_rate", self.learning_rate, progress_remaining)
        batch = problem.batch
        gradient, stats = clipped_loss_gradient(
            old.params,
            batch.observations,
            batch.actions,
            batch.old_log_probs,
            batch.advantages,
            batch.returns,
            batch.old_values,
            layout=problem.layout,
            clip_range=math.inf,
            vf_coef=self.vf_coef,
            ent_coef=self.ent_coef,
            normalize_advantage=self.normalize_advantage,
            n_threads=problem.n_threads,
            backend=problem.backend,
        )
        gradient, norm = clip_global_norm(gradient, max_norm=self.max_grad_norm, out=gradient, backend=problem.backend)
        new = self.optimizer.step(old, gradient, learning_rate, problem.backend)
        report = UpdateReport(
            status=UpdateStatus.COMPLETED,
            n_epochs=1,
            n_optimizer_steps=1,
            learning_rate=learning_rate,
            policy_loss=policy_loss(batch, is_normalized=self.normalize_advantage),
            value_loss=stats.value_loss,
            entropy_loss=stats.entropy_loss,
            gradient_norm=norm,
        )
        _check_finite(new, report)
        return new, report


def policy_loss(batch: Batch, *, is_normalized: bool) -> float:
    """-mean(A log pi_old(a|s)), whose gradient is the policy's; with A standardised where ``is_normalized``."""
    advantages = standardized(batch.advantages) if is_normalized else batch.advantages.astype(np.float64)
    return -float(np.mean(advantages * batch.old_log_probs))


def _check_finite(new: OptimizerState, report: UpdateReport) -> None:
    new.check_finite(_ADVICE)
    for name in ("policy_loss", "value_loss"):
        if not math.isfinite(getattr(report, name)):
            raise NumericsError(
                f"{name}: expected a finite number, got {getattr(report, name)}. Nothing was committed; the model is "
                f"as after its last finished iteration. {_ADVICE}"
            )
