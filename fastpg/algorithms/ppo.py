"""PPO: maximise mean(min(r A, clip(r, 1 - eps, 1 + eps) A)) - c1 * value error + c2 * entropy by minibatch epochs.

Schulman, Wolski, Dhariwal, Radford, Klimov 2017, "Proximal Policy Optimization Algorithms", equations 7 and 9 and
Algorithm 1. Defaults and the details that the paper leaves open (advantages standardised per minibatch, the squared
value error without the factor 1/2, Adam with epsilon 1e-5, early stop on the KL estimate) are stable-baselines3's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Choice, Flag, Integer, Optional, Real, Scheduled, argument
from fastpg.algorithms.config import unused_options
from fastpg.algorithms.joint_loss import JointLossConfig
from fastpg.algorithms.proximal_options import (
    ADAPTIVE,
    make_constraint,
    make_kl_penalty,
    minibatch_contradictions,
    proximal_contradictions,
)
from fastpg.kernels.clipped_loss import KL_DIRECTIONS
from fastpg.updates.clip_range import AdaptiveClipRange
from fastpg.updates.inner_loop import KLStop, MinibatchAdam
from fastpg.updates.kl_penalty import learning_rate_rule
from fastpg.updates.proximal import ClippedRatio, ProximalUpdate, ValueAndEntropy
from fastpg.updates.schedules import Schedule

MAX_EPOCHS = 65535  # the counter of the shuffling holds the epoch in 16 bits

_PAPER = "Schulman et al. 2017"
_FASTPG = "fastpg"
#: Defaults of Ray RLlib's PPO as far as they apply; its batch of 4000 is that of one environment here.
RLLIB: Mapping[str, Any] = {
    "learning_rate": 5e-5,
    "n_steps": 4000,
    "batch_size": 128,
    "n_epochs": 30,
    "gae_lambda": 1.0,
    "clip_range": 0.3,
    "vf_coef": 1.0,
    "max_grad_norm": math.inf,
    "constraint": "clip",
    "penalty": "kl",
    "kl_coef": 0.2,
    "target_kl": 0.01,
    "adaptive_kl": "rllib",
}
#: PPO with an adaptive KL penalty in place of clipping, Schulman et al. 2017, section 4 and table 1 (d_targ = 0.01).
KL_PENALTY: Mapping[str, Any] = {"penalty": "kl", "kl_coef": 1.0, "target_kl": 0.01, "adaptive_kl": "paper"}


@dataclass(frozen=True, kw_only=True)
class PPOConfig(JointLossConfig):
    """Arguments of PPO."""

    batch_size: int = argument(64, Integer(1), "Samples of a minibatch.")
    n_epochs: int = argument(10, Integer(1, MAX_EPOCHS), "Passes over the samples of an iteration.")
    clip_range: Schedule | str = argument(
        0.2,
        Scheduled(words=(ADAPTIVE,)),
        "Clip range of the probability ratio; 'adaptive' starts at 0.2 and follows its own success.",
    )
    clip_range_vf: Schedule | None = argument(
        None, Optional(Scheduled()), "Clip range of the change of the value estimate; None does not clip."
    )
    target_kl: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "Nats: what adaptive_kl or adaptive_learning_rate steer to; without them, an update stops when approx_kl "
        "exceeds 1.5 times it. None never stops.",
    )
    dual_clip: float | None = argument(
        None,
        Optional(Real(1.0, is_above=True)),
        "Bound the surrogate from below by this times A where A < 0; None does not.",
        source="Ye et al. 2020",
    )
    penalty: str | None = argument(
        None, Optional(Choice(("kl",))), "'kl' subtracts kl_coef * KL from the surrogate.", source=_PAPER
    )
    kl_coef: float = argument(
        1.0, Real(0.0, is_above=True), "Weight of the KL penalty, the first one if it is adapted.", source=_PAPER
    )
    kl_direction: str = argument(
        "old_new", Choice(KL_DIRECTIONS), "Penalty by KL(old || new) or KL(new || old).", source=_PAPER
    )
    adaptive_kl: str | None = argument(
        None,
        Optional(Choice(("paper", "rllib"))),
        "Rule that steers kl_coef to target_kl after each update; None keeps it.",
        source=_FASTPG,
    )
    adaptive_learning_rate: bool = argument(
        False, Flag(), "Steer the learning rate to target_kl after each update.", source="rsl_rl"
    )
    constraint: str | None = argument(
        None,
        Optional(Choice(("clip", "mask", "backtrack", "barrier", "penalty"))),
        "How ratios are kept within clip_range; None clips them, or leaves them alone with penalty='kl'.",
        source=_FASTPG,
    )
    constraint_coef: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "First weight of the barrier (None: 0.01) or the penalty (None: 1).",
        source=_FASTPG,
    )
    constraint_tolerance: float = argument(
        0.1, Real(0.0), "Violation that backtrack and penalty allow, as a share of clip_range.", source=_FASTPG
    )

    algorithm: ClassVar[str] = "PPO"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"rllib": RLLIB, "kl-penalty": KL_PENALTY}

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from minibatch_contradictions(values, rejected)
        yield from proximal_contradictions(values)
        if values["penalty"] is None:
            yield from unused_options(cls, values, ("kl_coef", "kl_direction"), because=("penalty", "'kl'"))
        if values["constraint"] not in ("backtrack", "penalty"):
            yield from unused_options(cls, values, ["constraint_tolerance"], because=("constraint", "'backtrack'"))

    def _cautions(self) -> list[str]:
        n_samples = self.n_steps * self.n_envs
        n_left = n_samples % self.batch_size
        if n_left == 0:
            return super()._cautions()
        last = f"the last one has {n_left}" if n_left > 1 else "the last two are merged"
        return [
            f"batch_size={self.batch_size} does not divide n_steps * n_envs = {n_samples}: minibatches differ in size, "
            f"{last}. A factor of {n_samples} avoids it.",
            *super()._cautions(),
        ]


def ppo(config: PPOConfig) -> ProximalUpdate:
    """PPO as a composition."""
    beta1, beta2 = config.policy_options.adam_betas
    clip_range = AdaptiveClipRange() if isinstance(config.clip_range, str) else config.clip_range
    steers = config.adaptive_kl is not None or config.adaptive_learning_rate
    return ProximalUpdate(
        surrogate=ClippedRatio(
            clip_range=clip_range,
            normalize_advantage=config.normalize_advantage,
            is_clipped=config.penalty is None,
            dual_clip=config.dual_clip,
        ),
        penalty=ValueAndEntropy(vf_coef=config.vf_coef, ent_coef=config.ent_coef, clip_range_vf=config.clip_range_vf),
        inner_loop=MinibatchAdam(
            learning_rate=config.learning_rate,
            n_epochs=config.n_epochs,
            batch_size=config.batch_size,
            max_grad_norm=config.max_grad_norm,
            beta1=beta1,
            beta2=beta2,
            epsilon=config.policy_options.adam_epsilon,
        ),
        stop=KLStop(target_kl=None if steers else config.target_kl),
        proximity=make_kl_penalty(config),
        constraint=make_constraint(config),
        learning_rate_rule=learning_rate_rule(config.target_kl or 0.0) if config.adaptive_learning_rate else None,
    )
