"""The critic by Levenberg-Marquardt: least squares on the whole batch, with Gauss-Newton steps and adaptive damping.

    minimise E(w) = mean((R - V_w)^2):    (J'J/B + lambda I) s = b,    b = J'(R - V)/B,    J = dV/dw

    rho = (E(w) - E(w + s)) / (2 b's - s'(J'J/B)s)
    E falls: w <- w + s;    rho small: lambda grows;    rho large: lambda shrinks

J'J/B is the Fisher matrix of a Gaussian with mean V and variance 1, so its products and conjugate gradient are those of
the policy. It has no unit of reward, and neither has lambda.

Source: D. Marquardt 1963, "An algorithm for least-squares estimation of nonlinear parameters", with the factors of
``fastpg.updates.damping``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fastpg.errors import NumericsError
from fastpg.kernels.fisher import Fisher, bind_fisher
from fastpg.kernels.layout import HeadLayout, MLPLayout, PolicyLayout
from fastpg.kernels.linear_solve import dot
from fastpg.kernels.mlp import mlp_backward, mlp_forward
from fastpg.types import Array
from fastpg.updates.critic import CriticReport, with_tail
from fastpg.updates.damping import DAMPING, MarquardtDamping
from fastpg.updates.problem import SampledData
from fastpg.updates.state import OptimizerState

CRITIC_DAMPING = "critic_damping"
_ADVICE = "Fix: scale the rewards (normalize=True)."
_UNIT_GAUSSIAN = HeadLayout("gaussian", (1,))


@dataclass(frozen=True, kw_only=True)
class ValueFit:
    """Least squares of one value network on B samples.

    Attributes:
        layout: of the network, one output.
        observations: (B, O) float.
        returns: (B,) float, same dtype, the targets R.
        n_threads: threads of the kernels; no result depends on it.
        backend: implementation, None for the default.
    """

    layout: MLPLayout
    observations: Array
    returns: Array
    n_threads: int = 1
    backend: str | None = None

    def error(self, params: Array) -> float:
        """E at ``params`` (P,); not finite where the values are not."""
        return self._error(self._residuals(params))

    def gradient(self, params: Array) -> tuple[float, Array]:
        """(E, b) at ``params`` (P,); b is minus half of the gradient of E."""
        residuals = self._residuals(params)
        scaled = (residuals / residuals.dtype.type(len(residuals)))[:, None]
        kernel = {"layout": self.layout, "n_threads": self.n_threads, "backend": self.backend}
        return self._error(residuals), mlp_backward(params, self.observations, scaled, **kernel)  # type: ignore[arg-type]

    def gauss_newton(self, params: Array) -> Fisher:
        """J'J/B at ``params`` (P,), as an operator on P + 1 numbers: the last one is the unused log_std."""
        return bind_fisher(
            np.append(params, params.dtype.type(0.0)),
            self.observations,
            layout=PolicyLayout(self.layout, _UNIT_GAUSSIAN),
            n_threads=self.n_threads,
            backend=self.backend,
        )

    def _residuals(self, params: Array) -> Array:
        values = mlp_forward(
            params, self.observations, layout=self.layout, n_threads=self.n_threads, backend=self.backend
        )
        return self.returns - values[:, 0]

    @staticmethod
    def _error(residuals: Array) -> float:
        return float(np.mean(np.square(residuals, dtype=np.float64)))


class LMResult(NamedTuple):
    """What a fit made of the parameters.

    Attributes:
        params: (P,), with an error that is not larger than before.
        damping: lambda for the next fit.
        error: E before the first step.
        n_accepted: steps taken, of ``n_steps`` tried.
    """

    params: Array
    damping: float
    error: float
    n_accepted: int


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt:
    """Constants of the fit.

    Attributes:
        n_steps: steps tried per update, >= 1.
        damping: lambda, Marquardt's rule and its constants.
        cg_max_steps: iterations of conjugate gradient per step, >= 1.
        cg_tolerance: of its residual, relative to the right-hand side, > 0.
    """

    n_steps: int
    damping: MarquardtDamping
    cg_max_steps: int
    cg_tolerance: float = 1e-3

    def fit(self, params: Array, problem: ValueFit, *, damping: float) -> LMResult:
        """Try ``n_steps`` steps from ``params`` (P,) with ``damping`` to begin with.

        A step that does not lower E, or makes it NaN, is not taken.
        """
        params = params.copy()
        error, gradient = problem.gradient(params)
        first_error, n_accepted = error, 0
        matrix = problem.gauss_newton(params)
        for _ in range(self.n_steps):
            if not gradient.any():
                break
            step, predicted = self._step(matrix, gradient, damping)
            reduction = error - problem.error(params + step)
            damping = self.damping.adapted(damping, actual=reduction, predicted=predicted)[DAMPING]
            if reduction > 0.0 and predicted > 0.0:
                params += step
                n_accepted += 1
                error, gradient = problem.gradient(params)
                matrix = problem.gauss_newton(params)
        return LMResult(params, damping, first_error, n_accepted)

    def _step(self, matrix: Fisher, gradient: Array, damping: float) -> tuple[Array, float]:
        """(s, reduction of E that the linearised network predicts)."""
        solution = matrix.solve(
            np.append(gradient, gradient.dtype.type(0.0)),
            damping=damping,
            max_iterations=self.cg_max_steps,
            relative_tolerance=self.cg_tolerance,
            absolute_tolerance=0.0,
        )
        step = solution.solution[:-1]
        return step, 2.0 * dot(gradient, step) - (solution.curvature - damping * dot(step, step))


@dataclass(frozen=True, kw_only=True)
class LMCritic:
    """A critic that is fitted to the whole batch by ``method``; it has no step size.

    Attributes:
        method: constants of the fit.
    """

    method: LevenbergMarquardt

    def __call__(
        self, old: OptimizerState, problem: SampledData, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, CriticReport]:
        """One update of the value network; its damping is remembered.

        Raises:
            NumericsError: the value loss is not finite.
        """
        fit = ValueFit(
            layout=problem.layout.value,
            observations=problem.batch.observations,
            returns=problem.batch.returns,
            n_threads=problem.n_threads,
            backend=problem.backend,
        )
        damping = old.scalars.get(CRITIC_DAMPING, self.method.damping.initial)
        result = self.method.fit(old.params[problem.layout.actor.n_params :], fit, damping=damping)
        if not math.isfinite(result.error):
            raise NumericsError(
                f"value_loss: expected a finite number, got {result.error}. Nothing was committed; the model is as "
                f"after its last finished iteration. {_ADVICE}"
            )
        new = replace(old, params=with_tail(old.params, result.params)).remember({CRITIC_DAMPING: result.damping})
        return new, CriticReport(
            value_loss=result.error, n_optimizer_steps=result.n_accepted, critic_damping=result.damping
        )
