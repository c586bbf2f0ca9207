"""The theoretical form of TRPO: maximise a lower bound of the return (minorise, maximise; MM).

    eta(theta) >= eta(theta_old) + M(theta),    M(theta) = L(theta) - C max_s KL(old || theta)(s)
    L(theta) = mean(ratio A) / (1 - gamma),     C = 4 epsilon gamma / (1 - gamma)^2,   epsilon = max |A|

Schulman et al. 2015, "Trust Region Policy Optimization", Theorem 1 and Algorithm 1. Reward form: C >= 0, and whatever
raises M above M(theta_old) = 0 raises the return eta. The 1 / (1 - gamma) belongs to L because Theorem 1 sums the
states with weights gamma^t, which sum to 1 / (1 - gamma), where a batch has a mean. C is so large (gamma = 0.99,
epsilon = 1: 4e4) that steps are tiny; this is why TRPO and PPO exist.

With samples, the maximum is over the visited states and epsilon over the sampled advantages, so that the bound is an
estimate. Some texts write epsilon = min_s E[A] of costs, which is negative; here it is Theorem 1's max |A|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from fastpg.types import Array
from fastpg.updates.directions import Context, Ray
from fastpg.updates.lbfgs import LBFGS, Objective, dot, norm
from fastpg.updates.problem import PolicyProblem

_INNER = LBFGS(max_iterations=20)


class MinorantProblem(Protocol):
    """What M needs of policy and samples; a step s (P,) is from theta_old, everything in float64."""

    def surrogate(self, step: Array) -> tuple[float, Array]:
        """mean(ratio A) minus its value at step 0, and its gradient (P,)."""

    def kl_old_new(self, step: Array) -> Array:
        """KL(old || new) of each of the B states, (B,), summed over action dimensions."""

    def kl_old_new_gradient(self, step: Array, weights: Array) -> Array:
        """Gradient (P,) of the sum of ``weights`` (B,) times KL(old || new)."""


def penalty_constant(max_abs_advantage: float, gamma: float) -> float:
    """C = 4 epsilon gamma / (1 - gamma)^2 for gamma in [0, 1). Schulman et al. 2015, Theorem 1 with equation (9)."""
    return 4.0 * max_abs_advantage * gamma / (1.0 - gamma) ** 2


@dataclass(frozen=True)
class MinorantValue:
    """M at a step, in units of the discounted return.

    Attributes:
        minorant: M = L - C * KL max, a lower bound of the improvement of the return.
        surrogate: L.
        kl_old_new_max: over the states, nats.
        kl_old_new: mean over the states, nats.
    """

    minorant: float
    surrogate: float
    kl_old_new_max: float
    kl_old_new: float


@dataclass(frozen=True)
class MinorantStep:
    """What the inner maximisation found.

    Attributes:
        step: (P,) float64; zero if nothing with M > 0 was found.
        kl_coef: C.
        value: M and its terms at ``step``.
        n_evaluations: of the smoothed bound with its gradient.
    """

    step: Array
    kl_coef: float
    value: MinorantValue
    n_evaluations: int


@dataclass(frozen=True, kw_only=True)
class MinorantAscent:
    """Maximise M by L-BFGS.

    The maximum over states has kinks, where L-BFGS crawls. It is replaced by p-norms, ||KL||_p >= max KL: each gives a
    smooth lower bound of M that is 0 at step 0, too. p grows from stage to stage, and the step of highest M is kept.

    Attributes:
        inner: the optimiser of each stage.
        powers: p of the stages; infinity is the maximum itself.
    """

    inner: LBFGS = _INNER
    powers: tuple[float, ...] = (8.0, 64.0, math.inf)

    def __call__(
        self, problem: MinorantProblem, n_params: int, *, max_abs_advantage: float, gamma: float
    ) -> MinorantStep:
        """The step of highest M that was found from theta_old.

        Args:
            problem: policy and samples.
            n_params: P.
            max_abs_advantage: epsilon >= 0.
            gamma: discount in [0, 1).
        """
        constant = penalty_constant(max_abs_advantage, gamma)
        start = np.zeros(n_params)
        best = MinorantStep(start, constant, evaluate_minorant(problem, start, constant, gamma), 0)
        for power in self.powers:
            objective = _smoothed(problem, constant, power, gamma)
            # A gradient step against a curvature of about C has length |g| / C; the search halves or doubles it.
            first_length = norm(objective(best.step)[1]) / constant if constant > 0.0 else 1.0
            ascent = self.inner.maximise(objective, best.step, first_length=first_length or 1.0)
            value = evaluate_minorant(problem, ascent.point, constant, gamma)
            best = replace(best, n_evaluations=best.n_evaluations + ascent.n_evaluations + 1)
            if value.minorant > best.value.minorant:
                best = replace(best, step=ascent.point, value=value)
        return best


def _smoothed(problem: MinorantProblem, constant: float, power: float, gamma: float) -> Objective:
    """The function s -> L - C ||KL||_p with its gradient."""

    def objective(step: Array) -> tuple[float, Array]:
        surrogate, gradient = problem.surrogate(step)
        kl, weights = power_norm(problem.kl_old_new(step), power)
        penalty_gradient = problem.kl_old_new_gradient(step, weights)
        value = surrogate / (1.0 - gamma) - constant * kl
        return value, gradient / (1.0 - gamma) - constant * penalty_gradient

    return objective


def evaluate_minorant(problem: MinorantProblem, step: Array, kl_coef: float, gamma: float) -> MinorantValue:
    """M and its terms at ``step`` (P,)."""
    surrogate = problem.surrogate(step)[0] / (1.0 - gamma)
    kl_old_new = problem.kl_old_new(step)
    kl_max = float(kl_old_new.max(initial=0.0))
    return MinorantValue(surrogate - kl_coef * kl_max, surrogate, kl_max, float(kl_old_new.mean()))


def power_norm(values: Array, power: float) -> tuple[float, Array]:
    """||values||_p of values (B,) >= 0, and its derivative (B,); rounding below 0 counts as 0.

    For p = infinity the derivative is one of the subgradients: that of the first largest value.
    """
    positive = np.maximum(values, 0.0)
    largest = float(positive.max(initial=0.0))
    weights = np.zeros(len(positive))
    if largest == 0.0 or not math.isfinite(largest):
        return largest, weights
    if math.isinf(power):
        weights[positive.argmax()] = 1.0
        return largest, weights
    relative = positive / largest  # the largest is 1: nothing overflows
    total = float((relative**power).sum())
    weights = relative ** (power - 1.0) * total ** (1.0 / power - 1.0)
    return largest * total ** (1.0 / power), weights


_ASCENT = MinorantAscent()


@dataclass(frozen=True, kw_only=True)
class MinorantDirection:
    """The maximiser of M as a direction; its ray is a step, which needs neither a radius nor a line search.

    The maximum is taken in float64, whatever the dtype of the parameters: divergences of 1e-8 nats are rounding errors
    in float32. M is reported for the step as it is rounded in the end.

    Attributes:
        gamma: discount in [0, 1).
        ascent: of M.
    """

    gamma: float
    ascent: MinorantAscent = _ASCENT

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray; zero, which is no step, where nothing with M > 0 was found."""
        double = problem.in_double()
        stepped = _Stepped(double)
        found = self.ascent(stepped, len(gradient), max_abs_advantage=double.max_abs_advantage, gamma=self.gamma)
        dtype = problem.params.dtype
        rounded = (problem.params + found.step.astype(dtype)).astype(np.float64) - double.params
        value = evaluate_minorant(stepped, rounded, found.kl_coef, self.gamma)
        step = found.step if value.minorant > 0.0 else np.zeros_like(found.step)
        slope = dot(gradient, step)
        curvature = 2.0 * value.kl_old_new
        return Ray(
            vector=step.astype(dtype),
            slope=slope,
            curvature=curvature,
            fisher_curvature=curvature,
            is_step=True,
            iterations=found.n_evaluations,
            numbers={
                "kl_coef": found.kl_coef,
                "minorant": value.minorant,
                "minorant_surrogate": value.surrogate,
                "n_inner_evaluations": found.n_evaluations,
            },
        )

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """Nothing."""
        return {}


class _Stepped:
    """A policy problem as a function of the step from theta_old."""

    def __init__(self, problem: PolicyProblem) -> None:
        self._problem = problem
        self._before = problem.surrogate_gradient()[1].surrogate

    def surrogate(self, step: Array) -> tuple[float, Array]:
        gradient, value = self._problem.surrogate_gradient(self._problem.params + step)
        return value.surrogate - self._before, gradient

    def kl_old_new(self, step: Array) -> Array:
        return self._problem.kl_old_new(self._problem.params + step)

    def kl_old_new_gradient(self, step: Array, weights: Array) -> Array:
        return self._problem.kl_gradient(self._problem.params + step, weights)[0]
