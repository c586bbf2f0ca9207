"""lambda in (F + lambda S) x = g: constant, or following the ratio of actual to predicted improvement.

A large lambda bends the natural gradient towards the plain one. It keeps the matrix positive definite where F is
singular, and is the multiplier of a bound on s'Ss (Levenberg 1944; Marquardt 1963; with S = diag F Fletcher 1971).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

DAMPING = "damping"


class Damping(Protocol):
    """What lambda is now, and what it is next."""

    def current(self, scalars: Mapping[str, float]) -> float:
        """Lambda >= 0, for what an ``OptimizerState`` remembers."""

    def adapted(self, damping: float, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """What to remember after a step with ``damping``; ``signal`` is the share of the gradient that is not noise."""


@dataclass(frozen=True)
class FixedDamping:
    """The same lambda always.

    Attributes:
        damping: lambda >= 0.
    """

    damping: float

    def current(self, scalars: Mapping[str, float]) -> float:
        """Lambda."""
        return self.damping

    def adapted(self, damping: float, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class MarquardtDamping:
    """lambda * 3/2 where rho < 1/4, lambda * 2/3 where rho > 3/4, rho = actual / predicted improvement.

    Source: Martens 2010, "Deep learning via Hessian-free optimization", section 4.1, after Marquardt 1963.
    A rho that is not finite, or no step at all, raises lambda. The natural gradient of a noisy gradient is noisier the
    smaller lambda is: with ``is_weighed`` rho counts only as far as the gradient is signal, and noise takes lambda
    back to ``initial``, not beyond.

    Attributes:
        initial: lambda of the first update, > 0.
        is_weighed: the improvement counts only as far as the gradient is signal.
        raise_below: rho below which lambda grows.
        lower_above: rho above which it falls.
        factor: by which it grows or falls, >= 1.
        minimum: lower bound of lambda.
        maximum: upper bound of lambda.
    """

    initial: float
    is_weighed: bool = False
    raise_below: float = 0.25
    lower_above: float = 0.75
    factor: float = 1.5
    minimum: float = 1e-8
    maximum: float = 1e2

    def current(self, scalars: Mapping[str, float]) -> float:
        """lambda, ``initial`` where none is remembered."""
        return scalars.get(DAMPING, self.initial)

    def adapted(self, damping: float, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """The next lambda, in [minimum, maximum]."""
        own = self._following(damping, actual=actual, predicted=predicted)
        if not self.is_weighed:
            return {DAMPING: own}
        weighed = self._following(damping, actual=signal * actual, predicted=predicted)
        return {DAMPING: max(own, min(weighed, self.initial))}

    def _following(self, damping: float, *, actual: float, predicted: float) -> float:
        if not actual >= self.raise_below * predicted:  # NaN raises it
            damping = damping * self.factor
        elif actual > self.lower_above * predicted:
            damping = damping / self.factor
        return min(max(damping, self.minimum), self.maximum)
