"""Steps of first order: directions and lengths that need the gradient of the surrogate and nothing else of the policy.

    g's - ||s||^2 / 2t          is largest at  s = t g              ``Gradient`` with ``FixedStep``, t = learning_rate
    g's  with  ||s|| <= r       is largest at  s = r g / ||g||      ``Gradient`` with ``NormStep``, r = radius

Beside the gradient, a direction is Adam's preconditioned mean of gradients (Kingma and Ba 2015) or TONGA's (Le Roux et
al. 2007), which sees the gradients of several parts of the samples. docs/theory.md derives them from one template.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fastpg.kernels.adam import adam_step
from fastpg.kernels.linear_solve import dot
from fastpg.types import Array
from fastpg.updates.directions import Context, Ray
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.problem import PolicyData, PolicyProblem
from fastpg.updates.report import UpdateReport
from fastpg.updates.schedules import Schedule, evaluate_schedule
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import FixedStep
from fastpg.updates.tonga import Tonga

#: What the directions remember: Adam's moments (2, P), TONGA's factors (rank, P), the number of gradients seen (1,).
MOMENTS = "policy_moments"
FACTORS = "tonga_factors"
N_GRADIENTS = "n_policy_gradients"


@dataclass(frozen=True, kw_only=True)
class AdamDirection:
    """x = m / (sqrt(v) + epsilon) with the bias-corrected running means m of g and v of g^2.

    Attributes:
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
    """

    beta1: float
    beta2: float
    epsilon: float

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray: a step of the kernel with learning rate 1 from 0, for a loss with the gradient -g.

        Its linear model is that of the mean of the gradients: m'x > 0, which g'x need not be.
        """
        n_gradients = _n_gradients(context.memory) + 1
        first, second = context.memory.get(MOMENTS, np.zeros((2, gradient.size), gradient.dtype))
        after = adam_step(
            np.zeros_like(gradient),
            -gradient,
            first,
            second,
            step=n_gradients,
            learning_rate=1.0,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            backend=problem.backend,
        )
        memory = {
            MOMENTS: np.stack([after.first_moment, after.second_moment]),
            N_GRADIENTS: np.array([float(n_gradients)]),
        }
        mean = -after.first_moment / gradient.dtype.type(1.0 - self.beta1**n_gradients)
        return _ray(after.params, mean, memory)

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class TongaDirection:
    """x = lambda (lambda I + C)^-1 g with the low-rank covariance C of the gradients.

    Attributes:
        tonga: constants of the covariance.
        is_measured: evaluate x'cFx, one product with the Fisher matrix, for a step length that asks for it.
        metric_damping: added to cF for the curvature with damping. Where a policy is nearly deterministic F vanishes,
            and a step of given KL divergence would have no bound.
    """

    tonga: Tonga
    is_measured: bool = False
    metric_damping: float = 0.0

    def __call__(self, problem: PolicyProblem, gradient: Array, context: Context) -> Ray:
        """The ray; the gradients of the parts of the samples are evaluated here."""
        n_gradients = _n_gradients(context.memory) + 1
        n_parts = min(self.tonga.n_minibatches, problem.n_samples)
        parts = [problem.part(index, n_parts) for index in range(n_parts)]
        gradients = np.stack([part.surrogate_gradient()[0] for part in parts])
        weights = np.array([part.n_samples / problem.n_samples for part in parts])
        found = self.tonga.direction(
            gradients, weights, context.memory.get(FACTORS), update=n_gradients, layout=problem.layout
        )
        memory = {FACTORS: found.factors, N_GRADIENTS: np.array([float(n_gradients)])}
        vector = found.direction.astype(gradient.dtype)
        ray = replace(_ray(vector, gradient, memory), damping=found.damping)
        if not self.is_measured:
            return ray
        curvature = context.metric_scale * dot(vector, problem.fisher().product(vector))
        damped = curvature + self.metric_damping * dot(vector, vector)
        return replace(ray, curvature=damped, fisher_curvature=curvature)

    def adapted(self, ray: Ray, *, actual: float, predicted: float, signal: float = 1.0) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True)
class NormStep:
    """t = radius / ||x||: the step ends on a Euclidean sphere, whatever the scale of the gradient.

    Attributes:
        euclidean_radius: r > 0, in units of the parameters.
    """

    euclidean_radius: float

    def radius(self, scalars: Mapping[str, float]) -> None:
        """None: it does not bound the proximity."""

    def length(self, ray: Ray, radius: float | None) -> float:
        """The t with || t x || = r."""
        return self.euclidean_radius / math.sqrt(dot(ray.vector, ray.vector))

    def adapted(
        self, radius: float | None, *, actual: float, predicted: float, is_at_boundary: bool, signal: float = 1.0
    ) -> dict[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class ScheduledUpdate:
    """``update`` with a step size that follows a schedule.

    Attributes:
        update: whose ``radius`` is replaced by a fixed step.
        learning_rate: t, the step is t x.
    """

    update: LocalModelUpdate
    learning_rate: Schedule

    def __call__(
        self, old: OptimizerState, problem: PolicyData, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, UpdateReport]:
        """See ``LocalModelUpdate``; the reported learning rate is that of the policy."""
        rate = evaluate_schedule("learning_rate", self.learning_rate, progress_remaining)
        new, report = replace(self.update, radius=FixedStep(rate))(
            old, problem, progress_remaining=progress_remaining, seed=seed, update_index=update_index
        )
        return new, replace(report, learning_rate=rate)


def _n_gradients(memory: Mapping[str, Array]) -> int:
    """How many gradients a direction has seen."""
    return int(memory[N_GRADIENTS][0]) if N_GRADIENTS in memory else 0


def _ray(vector: Array, gradient: Array, memory: Mapping[str, Array]) -> Ray:
    """The ray along ``vector``, whose curvature nobody asks for."""
    return Ray(vector=vector, slope=dot(gradient, vector), curvature=math.nan, fisher_curvature=math.nan, memory=memory)
