"""The two geometries of mirror descent on the simplex: entropy (KL divergence) and the Euclidean norm.

Each gives a regulariser omega, the Bregman divergence of which is the proximity term, and the steps in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Geometry(Protocol):
    """A 1-strongly convex function omega on the simplex and what follows from it; arrays are (S, A)."""

    def regularizer(self, policy: Array) -> Array:
        """Omega(policy) (S,)."""

    def greedy(self, action_values: Array, coef: float) -> Array:
        """Argmax over policies of <policy, action_values> - coef omega(policy), per state."""

    def mirror_step(self, policy: Array, action_values: Array, *, step_size: float, coef: float) -> Array:
        """Argmax of step_size <p, action_values - coef grad omega(policy)> - Bregman(p, policy), per state."""

    def gradient_bound(self, n_actions: int) -> float:
        """C_{omega,1} of Shani et al. 2019: ratio of the dual norm of a cost vector to its largest element."""


@dataclass(frozen=True)
class KL:
    """Negative entropy; the Bregman divergence is KL(new || old), the other direction than TRPO's constraint."""

    def regularizer(self, policy: Array) -> Array:
        """Minus the entropy, in nats."""
        return np.asarray((policy * _log(policy, at_zero=0.0)).sum(axis=-1))

    def greedy(self, action_values: Array, coef: float) -> Array:
        """A softmax of temperature ``coef``; the first best action for coef 0."""
        return _first_best(action_values) if coef == 0.0 else _softmax(action_values / coef)

    def mirror_step(self, policy: Array, action_values: Array, *, step_size: float, coef: float) -> Array:
        """Proportional to policy exp(step_size (action_values - coef log policy)); actions without chance keep none."""
        log_policy = _log(policy, at_zero=0.0)
        logits = log_policy + step_size * (action_values - coef * log_policy)
        return _softmax(np.where(policy > 0.0, logits, -np.inf))

    def gradient_bound(self, n_actions: int) -> float:
        """1: the dual norm is the largest element."""
        del n_actions
        return 1.0


@dataclass(frozen=True)
class Euclidean:
    """Half the squared norm; the steps are projected gradient steps."""

    def regularizer(self, policy: Array) -> Array:
        """Half the squared norm."""
        return np.asarray(0.5 * (policy**2).sum(axis=-1))

    def greedy(self, action_values: Array, coef: float) -> Array:
        """The projection of action_values / coef; the first best action for coef 0."""
        return _first_best(action_values) if coef == 0.0 else project_to_simplex(action_values / coef)

    def mirror_step(self, policy: Array, action_values: Array, *, step_size: float, coef: float) -> Array:
        """The projection of policy + step_size (action_values - coef policy)."""
        return project_to_simplex(policy + step_size * (action_values - coef * policy))

    def gradient_bound(self, n_actions: int) -> float:
        """The square root of A."""
        return float(np.sqrt(n_actions))


def project_to_simplex(points: Array) -> Array:
    """The nearest probability vectors to the rows of ``points`` (S, A).

    Held, Wolfe, Crowder 1974: subtract the threshold for which the positive parts sum to one.
    """
    descending = -np.sort(-points, axis=-1)
    thresholds = (np.cumsum(descending, axis=-1) - 1.0) / np.arange(1, points.shape[-1] + 1)
    n_positive = (descending > thresholds).sum(axis=-1, keepdims=True)
    projected = np.maximum(points - np.take_along_axis(thresholds, n_positive - 1, axis=-1), 0.0)
    return np.asarray(projected / projected.sum(axis=-1, keepdims=True))


def _log(policy: Array, *, at_zero: float) -> Array:
    """Log policy, and ``at_zero`` where the policy is zero."""
    return np.log(policy, out=np.full_like(policy, at_zero), where=policy > 0.0)


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _first_best(action_values: Array) -> Array:
    """All probability on the first action of largest value."""
    return np.asarray(np.eye(action_values.shape[-1])[action_values.argmax(axis=-1)])
