"""MDPO, on-policy: maximise mean(r A) - (1 / t_k) mean(KL(pi || pi_k)) by a few gradient steps from theta_k.

Tomar, Shani, Efroni, Ghavamzadeh 2020, "Mirror Descent Policy Optimization" (arXiv:2005.09814), section 4: the KL
divergence is KL(new || old), reversed with respect to TRPO, t_k falls linearly, every step uses the whole batch. With
``t_schedule="shani"`` and ``entropy_weight`` it is the parametric form of Shani, Efroni, Mannor 2020
(arXiv:1909.02769).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from fastpg.algorithms.checks import Choice, Flag, Integer, Optional, Real, Scheduled, argument
from fastpg.algorithms.config import MAX_COUNT, unused_options
from fastpg.algorithms.critic import CriticConfig
from fastpg.kernels.clipped_loss import KL_DIRECTIONS, KLDirection
from fastpg.updates.inner_loop import KLStop, MinibatchAdam
from fastpg.updates.mirror_descent import (
    AdaptiveSteps,
    ConstantSteps,
    LinearSteps,
    MirrorStep,
    ShaniSteps,
    StepSchedule,
)
from fastpg.updates.proximal import ClippedRatio, ProximalUpdate, ValueAndEntropy
from fastpg.updates.radius import RadiusController
from fastpg.updates.schedules import Schedule

MAX_STEPS = 65535  # the counter of the shuffling holds the epoch in 16 bits
#: Bounds within which 1 / t_k is a number in single precision.
STEP_RANGE = (1e-12, 1e12)
#: The value of ``t_schedule`` that asks for the rule of ``AdaptiveSteps``; the bounds of t_k in multiples of t_0.
ADAPTIVE = "adaptive"
ADAPTIVE_RANGE = (0.01, 100.0)
_PAPER = "Tomar et al. 2020"
_FASTPG = "fastpg"


@dataclass(frozen=True, kw_only=True)
class MDPOConfig(CriticConfig):
    """Arguments of MDPO."""

    learning_rate: Schedule = argument(
        3e-4, Scheduled(), "Step size of Adam for the policy; a number, lin_START or a function.", source=_PAPER
    )
    n_steps: int = argument(512, Integer(1, MAX_COUNT), "Steps of each environment per iteration.", source=_FASTPG)
    critic_learning_rate: Schedule = argument(
        1e-3, Scheduled(), "Step size of Adam for the value network.", source="sb3-contrib"
    )
    sgd_steps: int = argument(
        10, Integer(1, MAX_STEPS), "Gradient steps of the policy per iteration, each on all samples.", source=_PAPER
    )
    max_grad_norm: float = argument(
        0.5,
        Real(0.0, is_above=True, allows_infinity=True),
        "Bound on the global norm of the policy's gradient.",
        source=_PAPER,
    )
    step_size: float = argument(
        1.0,
        Real(*STEP_RANGE),
        "t_0, how far an iteration moves; 1 / t_k weighs the KL.",
        source=_PAPER,
    )
    t_schedule: str = argument(
        "linear",
        Choice(("linear", "constant", "shani", ADAPTIVE)),
        "How t_k changes: 'linear' to 0, 'constant', 'shani': step_size / sqrt(k + 1), with an entropy_weight "
        "1 / (entropy_weight (k + 2)), or 'adaptive': from step_size on it follows its own success.",
        source=_PAPER,
    )
    kl_direction: str = argument(
        "new_old",
        Choice(KL_DIRECTIONS),
        "Direction of the divergence that is subtracted: KL(old || new) or KL(new || old).",
        source=_PAPER,
    )
    tsallis_q: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "Order of a Tsallis relative entropy in place of the KL divergence; None for KL.",
        source=_FASTPG,
    )
    entropy_weight: float = argument(
        0.0,
        Real(0.0, STEP_RANGE[1]),
        "Reward per nat of -log pi(a|s), added to every reward: the regularised problem of Shani et al.",
        source="Shani et al. 2020",
    )
    return_best: bool = argument(
        False,
        Flag(),
        "After learn, act with the policy whose rollout had the best mean episode return, as the theorems guarantee.",
        source="Shani et al. 2020",
    )

    algorithm: ClassVar[str] = "MDPO"
    value_rate: ClassVar[str] = "critic_learning_rate"

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        if values["t_schedule"] == "shani" and values["entropy_weight"] != 0.0:
            yield from unused_options(cls, values, ["step_size"], because=("entropy_weight", "0"))
        if values["t_schedule"] == ADAPTIVE:
            yield from _too_few_samples(values, rejected)
        q = values["tsallis_q"]
        if q == 1.0:
            yield {"tsallis_q"}, "tsallis_q: expected a number other than 1, which is kl_direction='new_old', got 1.0"
        if q is not None and values["kl_direction"] != "new_old":
            yield (
                {"tsallis_q", "kl_direction"},
                f"kl_direction: expected 'new_old' with tsallis_q={q!r}, which takes its place, got "
                f"{values['kl_direction']!r}",
            )

    @property
    def entropy_reward(self) -> float:
        """Reward per nat of -log pi(a|s)."""
        return self.entropy_weight


def _too_few_samples(values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
    """A rollout of which nothing can be held out; without standardised advantages one sample is enough to train on."""
    rollout = {"n_steps", "n_envs"}
    if rollout & rejected:
        return
    n_samples = values["n_steps"] * values["n_envs"]
    least = 3 if values["normalize_advantage"] else 2
    if n_samples < least:
        yield (
            {*rollout, "normalize_advantage", "t_schedule"},
            f"n_steps: expected n_steps * n_envs >= {least} with t_schedule='adaptive', which holds samples out, got "
            f"n_steps * n_envs = {values['n_steps']} * {values['n_envs']} = {n_samples}",
        )


def _adaptive_steps(step_size: float) -> AdaptiveSteps:
    """From ``step_size`` on, within its bounds."""
    minimum, maximum = (min(max(factor * step_size, STEP_RANGE[0]), STEP_RANGE[1]) for factor in ADAPTIVE_RANGE)
    return AdaptiveSteps(start=step_size, controller=RadiusController(minimum=minimum, maximum=maximum))


def mdpo(config: MDPOConfig) -> ProximalUpdate:
    """MDPO as a composition."""
    beta1, beta2 = config.policy_options.adam_betas
    steps: dict[str, StepSchedule] = {
        "linear": LinearSteps(start=config.step_size),
        "constant": ConstantSteps(start=config.step_size),
        ADAPTIVE: _adaptive_steps(config.step_size),
        "shani": ShaniSteps(start=config.step_size, entropy_weight=config.entropy_weight),
    }
    is_normalized = config.normalize_advantage
    return ProximalUpdate(
        surrogate=ClippedRatio(clip_range=math.inf, normalize_advantage=is_normalized, is_clipped=False),
        penalty=ValueAndEntropy(vf_coef=0.0, ent_coef=0.0, clip_range_vf=None),
        inner_loop=MinibatchAdam(
            learning_rate=config.learning_rate,
            n_epochs=config.sgd_steps,
            batch_size=None,
            max_grad_norm=config.max_grad_norm,
            beta1=beta1,
            beta2=beta2,
            epsilon=config.policy_options.adam_epsilon,
        ),
        stop=KLStop(target_kl=None),
        proximity=MirrorStep(
            steps=steps[config.t_schedule],
            direction=cast(KLDirection, config.kl_direction),
            tsallis_q=config.tsallis_q,
            is_in_reward_units=is_normalized and config.t_schedule == "shani" and config.entropy_weight > 0,
        ),
        critic=config.make_critic(),
    )
