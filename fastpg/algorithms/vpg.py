"""VPG: theta_new = theta_old + t g, g = mean(A grad log pi): the policy gradient, one step per rollout.

Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning" (REINFORCE:
A is the return, no critic); Sutton et al. 1999, "Policy gradient methods for reinforcement learning with function
approximation" (A from a critic). The step is that of plain ascent, of Adam or of TONGA, or has a fixed norm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Choice, Flag, Integer, Optional, Real, Scheduled, argument
from fastpg.algorithms.config import MAX_COUNT, unused_options
from fastpg.algorithms.critic import CriticConfig
from fastpg.algorithms.tonga import TongaConfig, tonga_contradictions, tonga_direction
from fastpg.updates.acceptance import AcceptFinite
from fastpg.updates.critic import Critic, NoCritic
from fastpg.updates.directions import Direction, Gradient
from fastpg.updates.gradient_step import AdamDirection, NormStep, ScheduledUpdate
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.problem import Update
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.schedules import Schedule
from fastpg.updates.step_length import FixedStep

_FASTPG = "fastpg"
#: lambda of the advantages with a critic. Source: OpenAI Spinning Up, vpg.py.
GAE_LAMBDA = 0.97
_OF_THE_CRITIC = ("critic_learning_rate", "batch_size", "n_critic_updates", "critic_solver", "center_values")


@dataclass(frozen=True, kw_only=True)
class VPGConfig(CriticConfig, TongaConfig):
    """Arguments of VPG."""

    tonga_chosen_by = "optimizer"

    learning_rate: Schedule = argument(
        3e-3, Scheduled(), "Step size of the policy; a number, lin_START or a function.", source=_FASTPG
    )
    critic_learning_rate: Schedule = argument(
        1e-3,
        Scheduled(),
        "Step size of Adam for the value network; a number, lin_START or a function.",
        source="OpenAI Spinning Up",
    )
    n_steps: int = argument(128, Integer(1, MAX_COUNT), "Steps of each environment per iteration.", source=_FASTPG)
    gae_lambda: float = argument(
        None,
        Optional(Real(0.0, 1.0)),
        f"Bias-variance trade-off of the advantage estimate (GAE); None: {GAE_LAMBDA}, without a critic 1.",
        source="OpenAI Spinning Up",
    )
    optimizer: str = argument(
        "adam",
        Choice(("adam", "sgd", "tonga")),
        "Direction of a step: adam, sgd (the gradient), or tonga.",
        source="OpenAI Spinning Up",
    )
    step_rule: str = argument(
        "plain",
        Choice(("plain", "norm")),
        "Length of a step: plain, learning_rate times the direction, or norm, the radius.",
        source="Williams 1992",
    )
    radius: float | None = argument(
        None, Optional(Real(0.0, is_above=True)), "Euclidean norm of every step with step_rule='norm'.", source=_FASTPG
    )
    use_critic: bool = argument(
        True, Flag(), "Advantages from a value network; without, from returns alone (REINFORCE).", source=_FASTPG
    )
    ent_coef: float = argument(0.0, Real(), "Weight of the entropy in the surrogate.", source=_FASTPG)

    algorithm: ClassVar[str] = "VPG"
    value_rate: ClassVar[str] = "critic_learning_rate"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "reinforce": {"use_critic": False},
        "normalized": {"optimizer": "sgd", "step_rule": "norm", "radius": 0.1},
        "tonga": {"optimizer": "tonga", "step_rule": "norm", "radius": 0.1},
    }

    @property
    def has_values(self) -> bool:
        """Whether advantages are taken against a value network."""
        return self.use_critic

    @classmethod
    def _problems(cls, values: dict[str, Any]) -> list[str]:
        if values["gae_lambda"] is None:
            values["gae_lambda"] = 1.0 if values["use_critic"] is False else GAE_LAMBDA
        return super()._problems(values)

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        yield from tonga_contradictions(cls, values, rejected)
        yield from _step_contradictions(values)
        if values["step_rule"] == "norm":
            yield from unused_options(cls, values, ["learning_rate"], because=("step_rule", "'plain'"))
        if values["use_critic"] is False:
            yield from unused_options(cls, values, _OF_THE_CRITIC, because=("use_critic", "True"))
        if values["use_critic"] is False and values["gae_lambda"] != 1.0:
            yield (
                {"gae_lambda", "use_critic"},
                f"gae_lambda: expected 1 with use_critic=False, whose advantages are returns, got "
                f"{values['gae_lambda']!r} (or use_critic=True)",
            )

    def make_critic(self) -> Critic:
        """None without a critic."""
        return super().make_critic() if self.use_critic else NoCritic()


def _step_contradictions(values: Mapping[str, Any]) -> Iterable[tuple[set[str], str]]:
    needed = {"radius", "step_rule"}
    if values["step_rule"] == "plain" and values["radius"] is not None:
        yield (
            needed,
            f"radius: expected None with step_rule='plain', whose length is learning_rate times the direction, got "
            f"{values['radius']!r} (or step_rule='norm')",
        )
    if values["step_rule"] == "norm" and values["radius"] is None:
        yield needed, "radius: expected a number > 0 with step_rule='norm', got None"
    if values["step_rule"] == "norm" and values["optimizer"] == "adam":
        yield (
            {"optimizer", "step_rule"},
            "optimizer: expected 'sgd' or 'tonga' with step_rule='norm', got 'adam', which scales its own steps "
            "(or step_rule='plain')",
        )


def vpg(config: VPGConfig) -> Update:
    """VPG as a composition."""
    radius = config.radius if config.step_rule == "norm" else None
    update = LocalModelUpdate(
        surrogate=Ratio(normalize_advantage=config.normalize_advantage, ent_coef=config.ent_coef),
        proximity=KLOldNew(),
        direction=_direction(config),
        radius=FixedStep(1.0) if radius is None else NormStep(radius),
        acceptance=AcceptFinite(),
        critic=config.make_critic(),
    )
    return update if radius is not None else ScheduledUpdate(update=update, learning_rate=config.learning_rate)


def _direction(config: VPGConfig) -> Direction:
    if config.optimizer == "tonga":
        return tonga_direction(config)
    if config.optimizer == "sgd":
        return Gradient()
    beta1, beta2 = config.policy_options.adam_betas
    return AdamDirection(beta1=beta1, beta2=beta2, epsilon=config.policy_options.adam_epsilon)
