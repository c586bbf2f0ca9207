"""Proximal updates: climb a penalised surrogate by several epochs of minibatch steps from theta_old.

    theta_new ~ argmax  surrogate(theta) - penalty(theta) - proximity(theta, theta_old)
                subject to  constraint(theta)                    by ``inner_loop``, cut short by ``stop``

PPO with a clipped ratio is (Schulman et al. 2017, "Proximal Policy Optimization Algorithms", equations 7 and 9)

    surrogate = mean(min(r A, clip(r, 1 - eps, 1 + eps) A)),     r = pi(a|s) / pi_old(a|s)
    penalty   = c1 * mean((V(s) - R)^2) - c2 * mean(entropy)

The closeness to the old policy sits in the clipping there, and the whole update is one kernel call. The other members
have it in a KL divergence (``kl_penalty``, ``mirror_descent``) or in a constraint on every ratio (``constraint``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fastpg.kernels.clipped_loss import KLDirection, Surrogate
from fastpg.types import Array, Batch
from fastpg.updates.clip_range import AdaptiveClipRange
from fastpg.updates.constraint import Constraint, Setting
from fastpg.updates.critic import Critic, with_head
from fastpg.updates.hold_out import Gains, HeldOutRule, Split, rows_of
from fastpg.updates.inner_loop import Descent, KLStop, MinibatchAdam, committed
from fastpg.updates.kl_penalty import TargetRule
from fastpg.updates.policy_change import PolicyChange, standardized
from fastpg.updates.problem import SampledData
from fastpg.updates.report import UpdateReport, UpdateStatus, finite
from fastpg.updates.schedules import Schedule, evaluate_schedule
from fastpg.updates.state import OptimizerState

#: Name of the number of the policy's optimiser steps in ``OptimizerState.scalars``, where a critic has its own.
POLICY_STEP = "policy_step"


@dataclass(frozen=True, kw_only=True)
class ClippedRatio:
    """mean(min(r A, clip(r, 1 - eps, 1 + eps) A)), equation (7); or mean(r A).

    Attributes:
        clip_range: eps > 0, infinity included, or a schedule of it, or a rule that adapts it.
        normalize_advantage: standardise A within each minibatch (ddof 1, + 1e-8; stable-baselines3).
        is_clipped: False leaves the ratio alone; eps then only says which ratios count as clipped in the statistics.
        dual_clip: c > 1: for A < 0 the surrogate is at least c A (Ye et al. 2020); None for none.
    """

    clip_range: Schedule | AdaptiveClipRange
    normalize_advantage: bool
    is_clipped: bool = True
    dual_clip: float | None = None

    @property
    def kind(self) -> Surrogate:
        """Its name in the kernel."""
        return "clip" if self.is_clipped else "ratio"

    def clip_range_now(self, old: OptimizerState, progress_remaining: float) -> float:
        """Eps of this update."""
        if isinstance(self.clip_range, AdaptiveClipRange):
            return self.clip_range.now(old.scalars)
        if self.clip_range == math.inf:
            return math.inf
        return evaluate_schedule("clip_range", self.clip_range, progress_remaining)


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

    def arguments(self, progress_remaining: float) -> dict[str, Any]:
        """Arguments of the kernel in this update."""
        clip_range_vf = self.clip_range_vf
        if clip_range_vf is not None:
            clip_range_vf = evaluate_schedule("clip_range_vf", clip_range_vf, progress_remaining)
        return {"vf_coef": self.vf_coef, "ent_coef": self.ent_coef, "clip_range_vf": clip_range_vf}


class Proximity(Protocol):
    """A divergence from the old policy, with a coefficient that may change from update to update."""

    @property
    def direction(self) -> KLDirection:
        """Which divergence ``adapted`` wants to hear of."""

    @property
    def held_out_rule(self) -> HeldOutRule | None:
        """What adapts the coefficient by its success on samples held out; None for nothing of that kind."""

    def arguments(
        self, old: OptimizerState, batch: Batch, *, progress_remaining: float, update_index: int
    ) -> dict[str, Any]:
        """Arguments of the kernel in this update."""

    def adapted(self, arguments: dict[str, Any], *, kl: float, progress_remaining: float) -> dict[str, float]:
        """What to remember for the next update, after one with these ``arguments`` that moved by ``kl``."""


@dataclass(frozen=True, kw_only=True)
class ProximalUpdate:
    """``inner_loop`` on ``surrogate - penalty - proximity`` under ``constraint`` until ``stop``.

    Attributes:
        surrogate: what is climbed.
        penalty: value error and entropy.
        inner_loop: how it is climbed.
        stop: what ends it early.
        proximity: a divergence that is subtracted, or None.
        constraint: a bound on every ratio, which then replaces the clipping; or None.
        learning_rate_rule: adapts the learning rate to the divergence of the last update; None for the schedule.
        critic: fits the value network by itself after the policy's loop, which then leaves it alone; or None.
    """

    surrogate: ClippedRatio
    penalty: ValueAndEntropy
    inner_loop: MinibatchAdam
    stop: KLStop
    proximity: Proximity | None = None
    constraint: Constraint | None = None
    learning_rate_rule: TargetRule | None = None
    critic: Critic | None = None

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
        moment: dict[str, Any] = {"progress_remaining": progress_remaining, "update_index": update_index}
        arguments = self._arguments(old, problem.batch, **moment)
        rule = self._rule
        split = None
        if rule is not None:
            split = rule.split(len(problem.batch), seed, update_index, backend=problem.backend)
        batch = problem.batch if split is None else rows_of(problem.batch, split.trained)
        descent = Descent(
            old,
            problem,
            batch,
            {**arguments, "seed": seed, "update_index": update_index, **self.inner_loop.arguments(batch)},
            n_epochs=self.inner_loop.n_epochs,
            first_step=old.step if self.critic is None else int(old.scalars.get(POLICY_STEP, 0)),
        )
        setting = Setting(problem, old.params, self._advantages(problem.batch), arguments["clip_range"])
        if self.constraint is None:
            descent.run()
        else:
            self.constraint.run(descent, setting)
        new = committed(old, descent.result, counts_steps=self.critic is None)
        report, scalars = self._measured(
            _report(descent, arguments),
            setting,
            PolicyChange(problem, old.params, new.params),
            old=old,
            arguments=arguments,
            split=split,
            progress_remaining=progress_remaining,
        )
        new = new.remember(scalars) if scalars else new
        if self.critic is None:
            return new, report
        start = _with_policy_of(new, old, problem.layout.actor.n_params, report.n_optimizer_steps)
        new, about = self.critic(start, problem, seed=seed, **moment)
        return new, replace(
            report,
            value_loss=about.value_loss,
            critic_damping=about.critic_damping,
            loss=report.policy_gradient_loss,
        )

    def _arguments(
        self, old: OptimizerState, batch: Batch, *, progress_remaining: float, update_index: int
    ) -> dict[str, Any]:
        """Arguments of the kernel that this update's schedules and rules decide."""
        learning_rate = evaluate_schedule("learning_rate", self.inner_loop.learning_rate, progress_remaining)
        if self.learning_rate_rule is not None:
            learning_rate = old.scalars.get("learning_rate", learning_rate)
        arguments = {
            "learning_rate": learning_rate,
            "clip_range": self.surrogate.clip_range_now(old, progress_remaining),
            "normalize_advantage": self.surrogate.normalize_advantage,
            "surrogate": self.surrogate.kind if self.constraint is None else self.constraint.surrogate,
            "dual_clip": self.surrogate.dual_clip,
            "target_kl": self.stop.target_kl,
            **self.penalty.arguments(progress_remaining),
        }
        if self.proximity is not None:
            arguments |= self.proximity.arguments(
                old, batch, progress_remaining=progress_remaining, update_index=update_index
            )
        return arguments

    @property
    def _rule(self) -> HeldOutRule | None:
        """What needs samples held out, or None."""
        if isinstance(self.surrogate.clip_range, AdaptiveClipRange):
            return self.surrogate.clip_range
        return None if self.proximity is None else self.proximity.held_out_rule

    def _advantages(self, batch: Batch) -> Array:
        """As the surrogate uses them, but standardised over the whole batch instead of each minibatch."""
        return standardized(batch.advantages) if self.surrogate.normalize_advantage else batch.advantages

    def _measured(
        self,
        report: UpdateReport,
        setting: Setting,
        change: PolicyChange,
        *,
        old: OptimizerState,
        arguments: dict[str, Any],
        split: Split | None,
        progress_remaining: float,
    ) -> tuple[UpdateReport, dict[str, float]]:
        """The report with what forward passes at theta_new tell, and what the rules make of it.

        Nothing is computed that no rule, constraint or proximity asks for.
        """
        scalars: dict[str, float] = {}
        if self.constraint is not None:
            report = _with_violations(report, setting, change)
        rule = self._rule
        if rule is not None and split is not None:
            gained = rule.measured(change, setting.advantages, arguments, split)
            report = _with_gains(report, gained, {rule.name: rule.now(old.scalars)})
            scalars |= rule.adapted(old.scalars, gained)
        if self.proximity is not None or self.learning_rate_rule is not None:
            kl_old_new = change.kl("old_new")
            report = replace(report, kl_old_new=kl_old_new)
            if self.learning_rate_rule is not None:
                scalars["learning_rate"] = self.learning_rate_rule.next_value(arguments["learning_rate"], kl_old_new)
            if self.proximity is not None:
                is_same = self.proximity.direction == "old_new"
                kl = kl_old_new if is_same else change.kl(self.proximity.direction)
                scalars |= self.proximity.adapted(arguments, kl=kl, progress_remaining=progress_remaining)
        return report, scalars


def _with_policy_of(new: OptimizerState, old: OptimizerState, n_policy: int, n_steps: int) -> OptimizerState:
    """The policy, its moments and the scalars of ``new``, the value network of ``old``; steps are counted apart."""
    state = replace(
        old,
        params=with_head(old.params, new.params[:n_policy]),
        first_moment=with_head(old.first_moment, new.first_moment[:n_policy]),
        second_moment=with_head(old.second_moment, new.second_moment[:n_policy]),
        scalars=new.scalars,
    )
    return state.remember({POLICY_STEP: old.scalars.get(POLICY_STEP, 0) + n_steps})


def _report(descent: Descent, arguments: dict[str, Any]) -> UpdateReport:
    """The statistics of the kernel with the hyper-parameters that were used."""
    stats = descent.result.stats
    clip_range = arguments["clip_range"]
    return UpdateReport(
        status=UpdateStatus.KL_STOP if stats.stopped_by_kl else UpdateStatus.COMPLETED,
        policy_gradient_loss=stats.policy_gradient_loss,
        value_loss=stats.value_loss,
        entropy_loss=stats.entropy_loss,
        loss=stats.loss,
        approx_kl=stats.approx_kl,
        clip_fraction=stats.clip_fraction if math.isfinite(clip_range) else None,
        gradient_norm=stats.gradient_norm,
        n_epochs=int(stats.n_epochs_run),
        n_optimizer_steps=int(stats.n_optimizer_steps),
        learning_rate=arguments["learning_rate"],
        clip_range=clip_range if math.isfinite(clip_range) else None,
        clip_range_vf=arguments["clip_range_vf"],
        kl_coef=arguments.get("kl_coef", arguments.get("constraint_coef")),
    )


def _with_violations(report: UpdateReport, setting: Setting, change: PolicyChange) -> UpdateReport:
    """``report`` with the violations of the constraint, and the length of a plain step, which bounds them."""
    found = setting.violations(change.params)
    return replace(
        report,
        ratio_violation_max=found.largest,
        ratio_violation_mean=found.mean,
        ratio_violation_frac=found.fraction,
        gradient_step=(report.learning_rate or 0.0) * (report.gradient_norm or 0.0),
    )


def _with_gains(report: UpdateReport, gained: Gains, number: dict[str, Any]) -> UpdateReport:
    """``report`` with the ``number`` that a rule adapts on samples held out, and with what it looks at."""
    ratio = gained.actual / gained.predicted if gained.predicted else None
    return replace(
        report,
        predicted_improvement=finite(gained.predicted),
        actual_improvement=finite(gained.actual),
        improvement_ratio=finite(ratio),
        **number,
    )
