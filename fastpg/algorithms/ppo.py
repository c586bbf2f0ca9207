"""PPO: maximise mean(min(r A, clip(r, 1 - eps, 1 + eps) A)) - c1 * value error + c2 * entropy by minibatch epochs.

Schulman, Wolski, Dhariwal, Radford, Klimov 2017, "Proximal Policy Optimization Algorithms", equations 7 and 9 and
Algorithm 1. Defaults and the details that the paper leaves open (advantages standardised per minibatch, the squared
value error without the factor 1/2, Adam with epsilon 1e-5, early stop on the KL estimate) are stable-baselines3's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Integer, Optional, Real, Scheduled, argument
from fastpg.algorithms.joint_loss import JointLossConfig
from fastpg.updates.proximal import ClippedRatio, KLStop, MinibatchAdam, ProximalUpdate, ValueAndEntropy
from fastpg.updates.schedules import Schedule

MAX_EPOCHS = 65535  # the counter of the shuffling holds the epoch in 16 bits


@dataclass(frozen=True, kw_only=True)
class PPOConfig(JointLossConfig):
    """Arguments of PPO."""

    batch_size: int = argument(64, Integer(1), "Samples of a minibatch.")
    n_epochs: int = argument(10, Integer(1, MAX_EPOCHS), "Passes over the samples of an iteration.")
    clip_range: Schedule = argument(0.2, Scheduled(), "Clip range of the probability ratio.")
    clip_range_vf: Schedule | None = argument(
        None, Optional(Scheduled()), "Clip range of the change of the value estimate; None does not clip."
    )
    target_kl: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "Stop an update when approx_kl exceeds 1.5 times this many nats; None never stops.",
    )

    algorithm: ClassVar[str] = "PPO"

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        rollout = {"n_steps", "n_envs"}
        n_samples = 0 if rollout & rejected else values["n_steps"] * values["n_envs"]
        sizes = f"n_steps * n_envs = {values['n_steps']} * {values['n_envs']} = {n_samples}"
        batch_size, is_normalized = values["batch_size"], values["normalize_advantage"]
        needed = rollout | {"normalize_advantage"}
        if n_samples == 1 and is_normalized is True:
            yield needed, f"n_steps: expected n_steps * n_envs >= 2 to standardise advantages, got {sizes}"
        if "batch_size" in rejected:
            return
        if batch_size == 1 and is_normalized is True:
            yield (
                {"batch_size", "normalize_advantage"},
                "batch_size: expected an integer >= 2 to standardise advantages, got 1 (or normalize_advantage=False)",
            )
        elif 0 < n_samples < batch_size:
            yield rollout | {"batch_size"}, f"batch_size: expected at most {sizes}, got {batch_size}"

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
    return ProximalUpdate(
        surrogate=ClippedRatio(clip_range=config.clip_range, normalize_advantage=config.normalize_advantage),
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
        stop=KLStop(target_kl=config.target_kl),
    )
