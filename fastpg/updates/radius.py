"""How a radius changes with what the last step achieved: the rule alone, numbers in and numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Name of the radius in ``OptimizerState.scalars``.
TRUST_RADIUS = "trust_radius"


@dataclass(frozen=True, kw_only=True)
class RadiusController:
    """Shrink where the model overestimates, expand where it is good and the bound is what limited the step.

    With rho = actual improvement / predicted improvement: rho < ``shrink_below`` multiplies the radius by ``shrink``,
    rho > ``expand_above`` at the boundary multiplies it by ``expand``, everything else leaves it. A rho that is not
    finite shrinks. Source of the rule and its constants: Nocedal and Wright 2006, "Numerical Optimization", Alg. 4.1
    (1/4, 3/4, factor 2); the factor 1/2 for shrinking: Conn, Gould, Toint 2000, "Trust-Region Methods", section 6.1.

    Attributes:
        eta_accept: a step with rho below it is not acceptable, in [0, shrink_below) (Conn et al.; Nocedal and Wright
            allow [0, 1/4)).
        shrink_below: rho below which the radius shrinks.
        expand_above: rho above which it may expand.
        shrink: factor in (0, 1]; 1 never shrinks.
        expand: factor >= 1; 1 never expands.
        minimum: lower bound of the radius.
        maximum: upper bound of the radius.
    """

    eta_accept: float = 0.1
    shrink_below: float = 0.25
    expand_above: float = 0.75
    shrink: float = 0.5
    expand: float = 2.0
    minimum: float = 0.0
    maximum: float = math.inf

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta_accept <= self.shrink_below <= self.expand_above:
            raise ValueError(
                "RadiusController: expected 0 <= eta_accept <= shrink_below <= expand_above, got "
                f"{self.eta_accept}, {self.shrink_below}, {self.expand_above}."
            )
        if not (0.0 < self.shrink <= 1.0 <= self.expand):
            raise ValueError(
                f"RadiusController: expected 0 < shrink <= 1 <= expand, got shrink={self.shrink}, expand={self.expand}."
            )
        if not 0.0 <= self.minimum <= self.maximum:
            raise ValueError(
                f"RadiusController: expected 0 <= minimum <= maximum, got {self.minimum} and {self.maximum}."
            )

    def accepts(self, actual: float, predicted: float) -> bool:
        """Whether rho >= ``eta_accept``, without dividing; False for NaN."""
        return actual >= self.eta_accept * predicted

    def next_radius(self, radius: float, *, actual: float, predicted: float, is_at_boundary: bool) -> float:
        """The radius for the next step.

        Args:
            radius: of this step.
            actual: improvement that this step made.
            predicted: improvement that the model promised, > 0.
            is_at_boundary: whether the radius limited the step; only then it may expand.

        Returns:
            a number in [minimum, maximum].
        """
        if not actual >= self.shrink_below * predicted:  # NaN shrinks
            radius = radius * self.shrink
        elif is_at_boundary and actual > self.expand_above * predicted:
            radius = radius * self.expand
        return min(max(radius, self.minimum), self.maximum)
