"""How much of a gradient is signal: what two halves of the samples agree on.

    d     = (g_a - g_b) / 2                        has the expectation 0 and the covariance of g = (g_a + g_b) / 2
    kappa = 1 - d'F^-1 d / g'F^-1 g                g_a'F^-1 g_b over g'F^-1 g, where F is symmetric

F^-1 g = x is the ray of the step, so that one more linear system is the price. The surrogate approves of every step
that fits the samples it came from; kappa says which part of its gain other samples would confirm. It is near 1 where
the gradient stands out of its noise and near 0 where it does not; a single value is noisy itself, and may be negative.

The norm test of Byrd, Chin, Nocedal, Wu 2012, "Sample size selection in optimization methods for machine learning",
section 3, compares the same two numbers in the Euclidean norm, to choose a sample size; McCandlish et al. 2018, "An
Empirical Model of Large-Batch Training", call their ratio the gradient noise scale. Here it chooses the radius or the
damping of a step.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fastpg.types import Array
from fastpg.updates.directions import Context, Direction, Ray
from fastpg.updates.problem import PolicyProblem

#: Which half each eighth of the samples belongs to. Samples are in the order of time and neighbours are alike, hence
#: blocks; the order of Thue and Morse balances what changes linearly and quadratically in the course of a rollout.
_HALF_OF_BLOCK = np.array([0, 1, 1, 0, 1, 0, 0, 1])


def signal_share(problem: PolicyProblem, direction: Direction, gradient: Array, ray: Ray, context: Context) -> float:
    """Kappa, at most 1; NaN where there are too few samples, or where a linear system has no solution.

    Args:
        problem: the samples, in the order of time.
        direction: that solves the linear system.
        gradient: (P,) g.
        ray: x for g as ``direction`` found it, at the end of the solver.
        context: of the update.
    """
    rows = half_of(problem.n_samples)
    n_others = problem.n_samples - len(rows)
    if not len(rows) or not n_others:
        return math.nan
    half, _ = problem.select(rows).surrogate_gradient()
    difference = (half - gradient) * gradient.dtype.type(problem.n_samples / (2 * n_others))
    if not difference.any():
        return 1.0
    noise = direction(problem, difference, replace(context, memory={}))
    if not (noise.slope > 0.0 and ray.slope > 0.0):  # a solver that broke down at once: 0 is not "no noise"
        return math.nan
    return 1.0 - noise.slope / ray.slope


def half_of(n_samples: int) -> Array:
    """(n,) int64, the rows of one half of ``n_samples``: four of eight blocks."""
    block = len(_HALF_OF_BLOCK) * np.arange(n_samples) // max(n_samples, 1)
    return np.flatnonzero(_HALF_OF_BLOCK[block] == 0)
