"""Arguments of the value network's own update, for the algorithms whose policy step leaves it alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Choice, Flag, Integer, Real, Scheduled, argument
from fastpg.algorithms.config import MAX_COUNT, OnPolicyConfig, unused_options
from fastpg.updates.critic import AdamCritic, Critic
from fastpg.updates.damping import MarquardtDamping
from fastpg.updates.lm_critic import LevenbergMarquardt, LMCritic
from fastpg.updates.schedules import Schedule

MAX_CRITIC_UPDATES = 65535  # the counter of the shuffling holds the epoch in 16 bits


@dataclass(frozen=True, kw_only=True)
class CriticConfig(OnPolicyConfig):
    """A critic that is fitted by minibatches; names and defaults as in sb3-contrib's TRPO."""

    learning_rate: Schedule = argument(
        1e-3,
        Scheduled(),
        "Step size of Adam for the value network; a number, lin_START or a function.",
        source="sb3-contrib",
    )
    normalize_advantage: bool = argument(
        True, Flag(), "Standardise the advantages over the batch.", source="sb3-contrib"
    )
    batch_size: int = argument(128, Integer(1), "Samples of a minibatch of the value network.", source="sb3-contrib")
    n_critic_updates: int = argument(
        10,
        Integer(1, MAX_CRITIC_UPDATES),
        "Passes of the value network over the samples of an iteration; with critic_solver='lm' steps.",
        source="sb3-contrib",
    )
    critic_solver: str = argument(
        "adam",
        Choice(("adam", "lm")),
        "Fit of the value network: adam, by minibatches, or lm, Levenberg-Marquardt on all samples.",
        source="sb3-contrib",
    )
    center_values: bool = argument(
        True,
        Flag(),
        "Shift the values by their mean error before the first fit, which takes Adam long.",
        source="fastpg",
    )
    critic_damping: float = argument(
        1.0,
        Real(MarquardtDamping.minimum, MarquardtDamping.maximum),
        "Damping that critic_solver='lm' starts with; it adapts.",
        source="fastpg",
    )
    critic_cg_max_steps: int = argument(
        10, Integer(1, MAX_COUNT), "Iterations of conjugate gradient per step of critic_solver='lm'.", source="fastpg"
    )

    #: the argument that is the step size of the value network
    value_rate: ClassVar[str] = "learning_rate"

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        if values["critic_solver"] == "lm":
            options: tuple[str, ...] = ("batch_size", "center_values", cls.value_rate)
            yield from unused_options(cls, values, options, because=("critic_solver", "'adam'"))
        else:
            options = ("critic_damping", "critic_cg_max_steps")
            yield from unused_options(cls, values, options, because=("critic_solver", "'lm'"))
        rollout = {"n_steps", "n_envs"}
        if rollout & rejected:
            return
        n_samples = values["n_steps"] * values["n_envs"]
        sizes = f"n_steps * n_envs = {values['n_steps']} * {values['n_envs']} = {n_samples}"
        if n_samples == 1 and values["normalize_advantage"] is True:
            yield (
                {*rollout, "normalize_advantage"},
                f"n_steps: expected n_steps * n_envs >= 2 to standardise advantages, got {sizes} (or "
                "normalize_advantage=False)",
            )

    def make_critic(self) -> Critic:
        """The critic that these arguments describe."""
        if self.critic_solver == "lm":
            return LMCritic(
                method=LevenbergMarquardt(
                    n_steps=self.n_critic_updates,
                    damping=MarquardtDamping(initial=self.critic_damping),
                    cg_max_steps=self.critic_cg_max_steps,
                )
            )
        beta1, beta2 = self.policy_options.adam_betas
        return AdamCritic(
            learning_rate=getattr(self, self.value_rate),
            n_epochs=self.n_critic_updates,
            batch_size=self.batch_size,
            beta1=beta1,
            beta2=beta2,
            epsilon=self.policy_options.adam_epsilon,
            is_centred=self.center_values,
        )
