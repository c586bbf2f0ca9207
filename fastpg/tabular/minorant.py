"""The lower bound behind TRPO, and the minorise-maximise algorithm that follows it to the letter.

Schulman, Levine, Moritz, Jordan, Abbeel 2015, Theorem 1, in reward form with C > 0:

    eta(pi') >= M(pi') = L(pi') - C max over s of KL(pi(.|s) || pi'(.|s)),    C = 4 epsilon gamma / (1 - gamma)^2,
    L(pi') = eta(pi) + sum over s of rho(s) sum over a of pi'(a|s) A(s, a),  epsilon = max over s, a of |A(s, a)|,

rho the visitation of pi, not normalised. M(pi) = eta(pi), so whatever raises M above eta(pi) raises eta. (Texts that
minimise a cost and write L - C KL need the sign of their epsilon; with this epsilon the penalty is added to a cost.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpg.tabular.evaluation import advantages, expected_return, optimal_policy, policy_advantage, visitation
from fastpg.tabular.mdp import MDP

Array = NDArray[np.float64]

#: Halvings of the interval of a logarithm, 60 wide: leaves 5e-11.
N_BISECTIONS = 40
#: Steps of the golden-section search: 0.618^25 is 6e-6, and the height of a maximum is flat to the square of that.
N_SECTIONS = 25
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def penalty_coefficient(mdp: MDP, policy: Array) -> float:
    """C = 4 max|A| gamma / (1 - gamma)^2 >= 0."""
    return float(4.0 * np.abs(advantages(mdp, policy)).max() * mdp.gamma / (1.0 - mdp.gamma) ** 2)


def improvement_surrogate(mdp: MDP, policy: Array, candidate: Array) -> float:
    """L(candidate): the return if the visitation stayed that of ``policy``."""
    return expected_return(mdp, policy) + policy_advantage(mdp, policy, candidate) / (1.0 - mdp.gamma)


def kl_old_new(policy: Array, candidate: Array) -> Array:
    """KL(policy || candidate) (S,), in nats; infinite where the candidate excludes an action of the policy."""
    with np.errstate(divide="ignore"):
        terms = policy * (np.log(np.where(policy > 0.0, policy, 1.0)) - np.log(candidate))
    return np.asarray(np.where(policy > 0.0, terms, 0.0).sum(axis=1))


def lower_bound(mdp: MDP, policy: Array, candidate: Array) -> float:
    """M(candidate) <= the return of ``candidate``; M(policy) is the return of ``policy``.

    Args:
        mdp: S states, A actions.
        policy: (S, A), the old one.
        candidate: (S, A), the new one.
    """
    penalty = penalty_coefficient(mdp, policy)
    divergence = kl_old_new(policy, candidate).max() if penalty > 0.0 else 0.0
    return float(improvement_surrogate(mdp, policy, candidate) - penalty * divergence)


@dataclass(frozen=True)
class MinorizeMaximize:
    """Pi_{k+1} = argmax of M: never worse, and slow, because C is large.

    The maximum is exact: for a bound kappa on the KL of every state the best policy is known up to one number per state
    (``best_within``), and L minus C kappa is concave in kappa.
    """

    def improve(self, mdp: MDP, policy: Array, *, iteration: int, rng: np.random.Generator) -> Array:
        """The maximiser of the lower bound at ``policy``."""
        del iteration, rng
        table, penalty = advantages(mdp, policy), penalty_coefficient(mdp, policy)
        if penalty == 0.0:
            return optimal_policy(mdp)  # gamma is 0, or nothing that can be done makes a difference
        weights = visitation(mdp, policy) / (1.0 - mdp.gamma)

        def gain(radius: float) -> float:
            return float(weights @ (best_within(policy, table, radius) * table).sum(axis=1)) - penalty * radius

        # the gain without penalty is at most max advantage / (1 - gamma): beyond this radius M has fallen below eta
        radius = _argmax(gain, float(table.max()) / ((1.0 - mdp.gamma) * penalty))
        candidate = best_within(policy, table, radius)
        return candidate if lower_bound(mdp, policy, candidate) > expected_return(mdp, policy) else policy

    def objective(self, mdp: MDP, policy: Array) -> float:
        """The expected return."""
        return expected_return(mdp, policy)

    def optimum(self, mdp: MDP) -> float:
        """That of the best policy."""
        return expected_return(mdp, optimal_policy(mdp))


def best_within(policy: Array, advantage: Array, radius: float) -> Array:
    """Per state the maximiser p of <p, advantage> with KL(policy || p) <= radius.

    Stationarity gives p proportional to policy / (nu - advantage) with one number nu > max advantage per state; the KL
    falls with nu, which bisection on log(nu - max advantage) finds.

    Args:
        policy: (S, A), positive.
        advantage: (S, A).
        radius: nats, >= 0.

    Returns:
        p (S, A); ``policy`` itself where all advantages are equal.
    """
    below_best = advantage.max(axis=1, keepdims=True) - advantage
    spread = below_best.max(axis=1, keepdims=True)
    if radius <= 0.0 or not spread.any():
        return policy
    scaled = np.divide(below_best, spread, out=np.zeros_like(below_best), where=spread > 0.0)

    def tilted(log_margin: Array) -> Array:
        weights = policy / (np.exp(log_margin)[:, None] + scaled)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    low, high = np.full(len(policy), -30.0), np.full(len(policy), 30.0)  # KL about 1e-26 at the upper end
    for _ in range(N_BISECTIONS):
        middle = 0.5 * (low + high)
        tilt = scaled * np.exp(-middle)[:, None]
        divergence = (policy * np.log1p(tilt)).sum(axis=1) + np.log1p(-(policy * tilt / (1.0 + tilt)).sum(axis=1))
        is_too_far = divergence > radius
        low, high = np.where(is_too_far, middle, low), np.where(is_too_far, high, middle)
    return np.where(spread > 0.0, tilted(high), policy)


def _argmax(function: Callable[[float], float], upper: float) -> float:
    """Where a concave ``function`` is largest on [0, upper], by golden sections."""
    low, high = 0.0, upper
    inner, outer = (1.0 - GOLDEN) * upper, GOLDEN * upper
    at_inner, at_outer = function(inner), function(outer)
    for _ in range(N_SECTIONS):
        if at_inner >= at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - GOLDEN * (high - low)
            at_inner = function(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + GOLDEN * (high - low)
            at_outer = function(outer)
    return inner if at_inner >= at_outer else outer
