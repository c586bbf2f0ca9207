"""TRPO: maximise mean(ratio A) subject to mean KL(old || new) <= delta, by a natural gradient step and a line search.

Schulman, Levine, Moritz, Jordan, Abbeel 2015, "Trust Region Policy Optimization", equation 14 and Appendix C. Names,
defaults and acceptance (strict comparisons, no sufficient increase) are sb3-contrib's. The divergence is the paper's:
KL(old || new), summed over action dimensions; sb3-contrib takes KL(new || old), averaged over them. The damping follows
the signal of the gradient and does not shorten the step; there it is constant, and does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Choice, Flag, Integer, Optional, Real, argument
from fastpg.algorithms.config import MAX_COUNT, unused_options
from fastpg.algorithms.directions import DirectionConfig, make_direction
from fastpg.algorithms.natural import (
    DAMPED_SCALE_HELP,
    DAMPING_HELP,
    DAMPINGS,
    can_damping_follow,
    kl_radius,
    ratio,
    return_review,
)
from fastpg.updates.acceptance import AcceptFinite, Backtracking
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.minorant import MinorantDirection, penalty_constant
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.radius import RadiusController
from fastpg.updates.step_length import FixedStep

_CONTRIB = "sb3-contrib"
#: What a bound on the KL divergence and the system of the natural gradient have, and the theoretical penalty has not.
_UNUSED_BY_THEORY = (
    "target_kl",
    "constraint",
    "adaptive_radius",
    "direction",
    "ent_coef",
    "accept_ratio",
    "line_search_shrinking_factor",
    "line_search_max_iter",
    "check_improvement",
    "strict_improvement",
    "solver",
    "cg_max_steps",
    "cg_damping",
    "cg_tolerance",
    "cg_warm_start",
    "cg_backtracking",
    "damping",
    "damping_metric",
    "damped_scale",
    "fisher",
    "prediction",
)


@dataclass(frozen=True, kw_only=True)
class TRPOConfig(DirectionConfig):
    """Arguments of TRPO."""

    damping: str | None = argument(
        None,
        Optional(Choice(DAMPINGS)),
        f"{DAMPING_HELP} None: signal, or fixed where that is not possible: other directions, cg_damping=0.",
        source="fastpg",
    )
    damped_scale: bool = argument(False, Flag(), DAMPED_SCALE_HELP, source="fastpg")
    line_search_shrinking_factor: float = argument(
        0.8, Real(1e-6, 1.0 - 1e-6), "Factor between candidates of the line search.", source=_CONTRIB
    )
    line_search_max_iter: int = argument(10, Integer(1, MAX_COUNT), "Candidates of the line search.", source=_CONTRIB)
    check_improvement: bool = argument(
        True, Flag(), "Demand that the surrogate improves; otherwise only the constraint counts.", source=_CONTRIB
    )
    strict_improvement: bool = argument(
        True, Flag(), "Demand that it improves strictly; otherwise it may stay equal.", source=_CONTRIB
    )
    accept_ratio: float | None = argument(
        None,
        Optional(Real(0.0, 1.0)),
        "Part of the predicted improvement that a candidate has to reach; None: 0, or 0.1 with adaptive_radius "
        "'signal' or 'surrogate'.",
        source=_CONTRIB,
    )
    constraint: str = argument(
        "mean_kl",
        Choice(("mean_kl", "max_kl")),
        "What target_kl bounds in the line search: the mean KL divergence over the states, or the largest.",
        source=_CONTRIB,
    )
    penalty: str | None = argument(
        None,
        Optional(Choice(("theory",))),
        "Experimental: 'theory' maximises the lower bound L - C max KL of Theorem 1 instead of bounding the KL.",
        source="Schulman et al. 2015",
    )

    algorithm: ClassVar[str] = "TRPO"
    former_defaults: ClassVar[Mapping[str, Any]] = {"damping": "fixed", "damped_scale": True}

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        if values["check_improvement"] is False and values["accept_ratio"]:
            yield (
                {"accept_ratio", "check_improvement"},
                f"accept_ratio: expected None or 0 with check_improvement=False, got {values['accept_ratio']!r}",
            )
        if values["check_improvement"] is False and values["strict_improvement"] is False:
            yield (
                {"strict_improvement", "check_improvement"},
                "strict_improvement: expected True with check_improvement=False, which compares nothing, got False",
            )
        if values["penalty"] == "theory":
            yield from cls._theory_contradictions(values)

    @classmethod
    def _theory_contradictions(cls, values: Mapping[str, Any]) -> Iterable[tuple[set[str], str]]:
        if values["gamma"] == 1.0:
            yield (
                {"gamma", "penalty"},
                "gamma: expected a number < 1 with penalty='theory', whose constant divides by (1 - gamma)^2, got 1.0",
            )
        yield from unused_options(cls, values, _UNUSED_BY_THEORY, because=("penalty", "None"))

    def _cautions(self) -> list[str]:
        if self.penalty is None:
            return super()._cautions()
        constant = penalty_constant(1.0, self.gamma)
        return [
            f"penalty='theory' takes tiny steps: with gamma={self.gamma:g} its coefficient is {constant:.3g} times the "
            "largest absolute advantage. It shows the theory and hardly learns; leave penalty out to train.",
            *super()._cautions(),
        ]

    @property
    def effective_damping(self) -> str:
        """``damping`` with its default."""
        is_natural = self.direction == "natural" and self.penalty is None
        if self.damping is None and is_natural and can_damping_follow(self.cg_damping):
            return "signal"
        return super().effective_damping

    @property
    def effective_accept_ratio(self) -> float:
        """``accept_ratio`` with its default."""
        if self.accept_ratio is not None:
            return self.accept_ratio
        return RadiusController.eta_accept if self.adaptive_radius in ("signal", "surrogate") else 0.0


def trpo(config: TRPOConfig) -> LocalModelUpdate:
    """TRPO as a composition."""
    if config.penalty == "theory":
        return LocalModelUpdate(
            surrogate=ratio(config),
            proximity=KLOldNew(),
            direction=MinorantDirection(gamma=config.gamma),
            radius=FixedStep(1.0),
            acceptance=AcceptFinite(),
            critic=config.make_critic(),
        )
    return LocalModelUpdate(
        surrogate=ratio(config),
        proximity=KLOldNew(statistic="max" if config.constraint == "max_kl" else "mean"),
        direction=make_direction(config),
        radius=kl_radius(config),
        acceptance=Backtracking(
            shrinking_factor=config.line_search_shrinking_factor,
            max_iterations=config.line_search_max_iter,
            is_improvement_checked=config.check_improvement,
            accept_ratio=config.effective_accept_ratio,
            is_strict=config.strict_improvement,
        ),
        critic=config.make_critic(),
        review=return_review(config),
        is_signal_measured=config.is_signal_measured,
    )
