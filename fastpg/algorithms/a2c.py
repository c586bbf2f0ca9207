"""A2C: one gradient step per short rollout, down -mean(A log pi) + c1 * value error - c2 * entropy.

The synchronous form of A3C: Mnih et al. 2016, "Asynchronous Methods for Deep Reinforcement Learning",
arXiv:1602.01783, algorithm S3. Defaults are stable-baselines3's, which are those of OpenAI baselines, but for the
learning rate: theirs is that of Atari and fails on CartPole for some seeds. ``preset="sb3"`` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Flag, Integer, Real, Scheduled, argument, default_of
from fastpg.algorithms.config import MAX_COUNT
from fastpg.algorithms.joint_loss import JointLossConfig
from fastpg.updates.first_order import Adam, JointGradientStep, RMSprop
from fastpg.updates.schedules import Schedule

#: Decay of RMSprop's running mean. Source: Mnih et al. 2016, section 8; stable-baselines3.
RMSPROP_ALPHA = 0.99


@dataclass(frozen=True, kw_only=True)
class A2CConfig(JointLossConfig):
    """Arguments of A2C."""

    learning_rate: Schedule = argument(
        1.5e-3, Scheduled(), "Step size; a number, lin_START or a function.", source="measured, docs/algorithms/a2c.md"
    )
    n_steps: int = argument(5, Integer(1, MAX_COUNT), "Steps of each environment per iteration.")
    gae_lambda: float = argument(
        1.0, Real(0.0, 1.0), "Bias-variance trade-off of the advantage estimate (GAE); 1: n-step returns."
    )
    normalize_advantage: bool = argument(False, Flag(), "Standardise the advantages of each iteration.")
    rms_prop_eps: float = argument(1e-5, Real(0.0, is_above=True), "Added to the root of RMSprop's running mean.")
    use_rms_prop: bool = argument(True, Flag(), "RMSprop; False takes Adam.")

    algorithm: ClassVar[str] = "A2C"
    #: every default of stable-baselines3
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"sb3": {"learning_rate": 7e-4}}

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        needed = {"n_steps", "n_envs", "normalize_advantage"}
        if not needed & rejected and values["n_steps"] * values["n_envs"] == 1 and values["normalize_advantage"]:
            yield (
                needed,
                (
                    "n_steps: expected n_steps * n_envs >= 2 to standardise advantages, got 1 * 1 = 1 (or "
                    "normalize_advantage=False)"
                ),
            )
        if {"use_rms_prop", "policy_kwargs"} & rejected:
            return
        of_adam = sorted({"optimizer_class", "optimizer_kwargs"} & set(values["policy_kwargs"] or ()))
        if values["use_rms_prop"] and of_adam:
            yield (
                {"use_rms_prop", "policy_kwargs"},
                (f"use_rms_prop: expected False beside policy_kwargs[{of_adam[0]!r}], which describes Adam, got True"),
            )
        default = default_of(cls.fields()["rms_prop_eps"])
        if not values["use_rms_prop"] and values["rms_prop_eps"] != default:
            yield (
                {"use_rms_prop", "rms_prop_eps"},
                (
                    f"rms_prop_eps: expected it left out beside use_rms_prop=False, got {values['rms_prop_eps']} "
                    "(Adam's is policy_kwargs['optimizer_kwargs']['eps'])"
                ),
            )


def a2c(config: A2CConfig) -> JointGradientStep:
    """A2C as a composition."""
    beta1, beta2 = config.policy_options.adam_betas
    adam = Adam(beta1=beta1, beta2=beta2, epsilon=config.policy_options.adam_epsilon)
    return JointGradientStep(
        learning_rate=config.learning_rate,
        optimizer=RMSprop(alpha=RMSPROP_ALPHA, epsilon=config.rms_prop_eps) if config.use_rms_prop else adam,
        vf_coef=config.vf_coef,
        ent_coef=config.ent_coef,
        max_grad_norm=config.max_grad_norm,
        normalize_advantage=config.normalize_advantage,
    )
