"""Arguments of the algorithms that descend one loss of policy, value and entropy together."""

from __future__ import annotations

from dataclasses import dataclass

from fastpg.algorithms.checks import Real, argument
from fastpg.algorithms.config import OnPolicyConfig


@dataclass(frozen=True, kw_only=True)
class JointLossConfig(OnPolicyConfig):
    """Weights of the terms, and the bound on the gradient of their sum."""

    ent_coef: float = argument(0.0, Real(), "Weight of the entropy in the objective.")
    vf_coef: float = argument(0.5, Real(0.0), "Weight of the value error in the loss.")
    max_grad_norm: float = argument(
        0.5, Real(0.0, is_above=True, allows_infinity=True), "Bound on the global norm of the gradient."
    )
