"""KL penalties and step sizes that follow the KL divergence.

PPO with a penalty (Schulman et al. 2017, equation 8) maximises  mean(r A) - beta mean(KL(old || new)). The coefficient
is fixed, or adapted after every update so that the divergence comes near a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastpg.kernels.clipped_loss import KLDirection
from fastpg.types import Batch
from fastpg.updates.state import OptimizerState


@dataclass(frozen=True, kw_only=True)
class TargetRule:
    """Multiply a number by ``up`` when the divergence is above ``high`` * target, by ``down`` when below ``low`` * it.

    Attributes:
        target_kl: nats, > 0.
        high: factor on the target, > 1.
        low: factor on the target, < 1.
        up: factor on the number.
        down: factor on the number.
        minimum: lower bound of the number.
        maximum: upper bound of the number.
    """

    target_kl: float
    high: float
    low: float
    up: float
    down: float
    minimum: float
    maximum: float

    def next_value(self, value: float, kl: float) -> float:
        """The number for the next update after one that moved by ``kl`` nats; NaN counts as far too much."""
        if not kl <= self.high * self.target_kl:
            value = value * self.up
        elif kl < self.low * self.target_kl:
            value = value * self.down
        return min(max(value, self.minimum), self.maximum)


def paper_rule(target_kl: float) -> TargetRule:
    """PPO's rule for beta (Schulman et al. 2017, section 4). The bounds are fastpg's: beta shall be able to return."""
    return TargetRule(target_kl=target_kl, high=1.5, low=1 / 1.5, up=2.0, down=0.5, minimum=1e-6, maximum=1e6)


def rllib_rule(target_kl: float) -> TargetRule:
    """RLlib's rule for beta (Ray's PPO: 2 and 1/2 times the target, steps of 1.5 and 0.5); bounds as above."""
    return TargetRule(target_kl=target_kl, high=2.0, low=0.5, up=1.5, down=0.5, minimum=1e-6, maximum=1e6)


def learning_rate_rule(target_kl: float) -> TargetRule:
    """The rule for the learning rate of Isaac Gym's PPO (rsl_rl; Rudin et al. 2022), once per update."""
    return TargetRule(target_kl=target_kl, high=2.0, low=0.5, up=1 / 1.5, down=1.5, minimum=1e-5, maximum=1e-2)


@dataclass(frozen=True, kw_only=True)
class KLPenalty:
    """beta * mean KL, added to the loss.

    Attributes:
        coefficient: beta, > 0; with a ``rule`` its first value.
        direction: ``old_new`` as in the paper, or ``new_old``.
        rule: how beta changes after an update, None for not at all.
    """

    coefficient: float
    direction: KLDirection
    rule: TargetRule | None = None

    @property
    def held_out_rule(self) -> None:
        """None: ``rule`` looks at the divergence alone."""

    def arguments(
        self, old: OptimizerState, batch: Batch, *, progress_remaining: float, update_index: int
    ) -> dict[str, Any]:
        """Arguments of the kernel in this update."""
        kl_coef = self.coefficient if self.rule is None else old.scalars.get("kl_coef", self.coefficient)
        return {"kl_coef": kl_coef, "kl_direction": self.direction}

    def adapted(self, arguments: dict[str, Any], *, kl: float, progress_remaining: float) -> dict[str, float]:
        """What to remember for the next update."""
        return {} if self.rule is None else {"kl_coef": self.rule.next_value(arguments["kl_coef"], kl)}
