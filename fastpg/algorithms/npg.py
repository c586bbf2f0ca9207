"""NPG: theta_new = theta_old + t x with F x = grad L, the natural policy gradient; no line search.

Kakade 2001, "A Natural Policy Gradient": t = ``step_size``. With ``step_rule="kl"`` t = sqrt(2 delta / g'x), so that
the quadratic model of KL(old || new) is delta (Rajeswaran et al. 2017, "Towards Generalization and Simplicity in
Continuous Control", equation 5). Truncated conjugate gradient makes it truncated NPG (Duan et al. 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Choice, Integer, Optional, Real, argument
from fastpg.algorithms.config import MAX_COUNT, unused_options
from fastpg.algorithms.directions import DirectionConfig, make_direction
from fastpg.algorithms.natural import kl_radius, ratio, return_review
from fastpg.updates.acceptance import AcceptFinite
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.step_length import FixedStep

#: Martens 2010, "Deep learning via Hessian-free optimization": damping by Marquardt's rule (section 4.1), conjugate
#: gradient nearly to convergence, from 0.95 of its last solution on (4.5), and back over its iterates (4.6). It has no
#: radius that the damping could shorten.
HESSIAN_FREE = {
    "damping": "adaptive",
    "damped_scale": False,
    "cg_max_steps": 50,
    "cg_warm_start": 0.95,
    "cg_backtracking": True,
}


@dataclass(frozen=True, kw_only=True)
class NPGConfig(DirectionConfig):
    """Arguments of NPG."""

    n_steps: int = argument(
        512, Integer(1, MAX_COUNT), "Steps of each environment per iteration.", source="rl-baselines3-zoo, TRPO"
    )
    step_rule: str = argument(
        "kl",
        Choice(("kl", "fixed")),
        "Length of a step: kl, so that its KL divergence is target_kl to second order, or fixed, step_size.",
        source="Rajeswaran et al. 2017",
    )
    step_size: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "Multiplier of the natural gradient with step_rule='fixed'; not a radius.",
        source="Kakade 2001",
    )

    algorithm: ClassVar[str] = "NPG"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hessian_free": HESSIAN_FREE,
        "krylov": {"direction": "ksd"},
        "tonga": {"direction": "tonga"},
    }

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        if values["step_rule"] == "kl" and values["step_size"] is not None:
            yield (
                {"step_size", "step_rule"},
                f"step_size: expected None with step_rule='kl', whose length is target_kl, got {values['step_size']!r} "
                "(or step_rule='fixed')",
            )
        if values["step_rule"] != "fixed":
            return
        if values["direction"] == "ksd":
            yield (
                {"direction", "step_rule"},
                "direction: expected 'natural' or 'newton' with step_rule='fixed', which has no radius, got 'ksd' (or "
                "step_rule='kl')",
            )
        if values["step_size"] is None:
            yield {"step_size", "step_rule"}, "step_size: expected a number > 0 with step_rule='fixed', got None"
        yield from unused_options(cls, values, ["damped_scale"], because=("step_rule", "'kl'"))
        if values["target_kl"] != cls.fields()["target_kl"].default:
            yield (
                {"target_kl", "step_rule"},
                f"target_kl: expected its default with step_rule='fixed', which has no radius, got "
                f"{values['target_kl']!r} (or step_rule='kl')",
            )
        if values["adaptive_radius"] is not None:
            yield (
                {"adaptive_radius", "step_rule"},
                f"adaptive_radius: expected None with step_rule='fixed', which has no radius, got "
                f"{values['adaptive_radius']!r} (or step_rule='kl')",
            )


def npg(config: NPGConfig) -> LocalModelUpdate:
    """NPG as a composition."""
    radius = kl_radius(config) if config.step_size is None else FixedStep(config.step_size)
    return LocalModelUpdate(
        surrogate=ratio(config),
        proximity=KLOldNew(),
        direction=make_direction(config),
        radius=radius,
        acceptance=AcceptFinite(),
        critic=config.make_critic(),
        review=return_review(config),
        is_signal_measured=config.is_signal_measured,
    )
