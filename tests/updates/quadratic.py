"""A policy problem without a policy: the surrogate is a quadratic, the divergence another; every product is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastpg.kernels.linear_solve import CGStatus, conjugate_gradient
from fastpg.types import Array


@dataclass
class QuadraticProblem:
    """L(theta) = g's - 1/2 s'Bs, KL = 1/2 s'Fs, s = theta - params; the largest KL is ``max_over_mean`` times that."""

    params: Array
    gradient: Array
    metric: Array
    bend: Array | None = None
    max_over_mean: float = 1.0
    kl_terms: int = 1
    n_samples: int = 100
    backend: str | None = None
    calls: Counter[str] = field(default_factory=Counter)

    def surrogate_gradient(self, params: Array | None = None) -> tuple[Array, Any]:
        self.calls["gradient"] += 1
        step = (self.params if params is None else params) - self.params
        gradient = self.gradient if self.bend is None else self.gradient - self.bend @ step
        return gradient, SimpleNamespace(surrogate=self._surrogate(step), entropy=1.0)

    def evaluate(self, params: Array) -> Any:
        self.calls["evaluate"] += 1
        step = params - self.params
        kl = float(0.5 * step @ self.metric @ step)
        return SimpleNamespace(
            surrogate=self._surrogate(step),
            entropy=1.0,
            kl_old_new=kl,
            kl_old_new_max=self.max_over_mean * kl,
            kl_new_old=kl,
            kl_new_old_max=self.max_over_mean * kl,
            approx_kl=kl,
            ratio_max=1.0,
        )

    def fisher(self, kind: str = "exact") -> Matrix:
        self.calls[f"fisher_{kind}"] += 1
        return Matrix(self.metric, self.calls)

    def solve_dense(
        self,
        gradient: Array,
        *,
        solver: str,
        kind: str = "exact",
        damping: float = 0.0,
        damping_scale: Array | None = None,
    ) -> Any:
        self.calls[solver] += 1
        matrix = damped(self.metric, damping, damping_scale)
        x = np.linalg.solve(matrix, gradient)
        return SimpleNamespace(
            solution=x,
            status=CGStatus.CONVERGED,
            iterations=0,
            residual=float(np.linalg.norm(gradient - matrix @ x) / np.linalg.norm(gradient)),
            curvature=float(x @ matrix @ x),
            iterates=np.empty((0, len(x))),
        )

    def hessian_vector_product(self, vector: Array) -> Array:
        return np.zeros_like(vector) if self.bend is None else -self.bend @ vector

    def _surrogate(self, step: Array) -> float:
        bend = 0.0 if self.bend is None else float(0.5 * step @ self.bend @ step)
        return float(self.gradient @ step) - bend


@dataclass
class Matrix:
    """F as an operator that counts."""

    metric: Array
    calls: Counter[str]

    def product(self, vector: Array, *, damping: float = 0.0, damping_scale: Array | None = None) -> Array:
        self.calls["product"] += 1
        result: Array = damped(self.metric, damping, damping_scale) @ vector
        return result

    def diagonal(self) -> Array:
        self.calls["diagonal"] += 1
        return np.diag(self.metric).copy()

    def solve(
        self, gradient: Array, *, damping: float = 0.0, damping_scale: Array | None = None, **options: Any
    ) -> Any:
        self.calls["solve"] += 1
        matrix = damped(self.metric, damping, damping_scale)
        return conjugate_gradient(lambda vector: matrix @ vector, gradient, **options)


def damped(metric: Array, damping: float, scale: Array | None) -> Array:
    """metric + damping diag(scale)."""
    return metric + damping * np.diag(np.ones(len(metric)) if scale is None else scale)


def random_problem(seed: int, n: int = 6, *, is_bent: bool = False, condition: float = 100.0) -> QuadraticProblem:
    """A problem of size ``n`` whose metric has that condition number; bent: concave and convex directions in L."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    metric = basis @ np.diag(np.geomspace(1.0 / condition, 1.0, n)) @ basis.T
    bend = rng.standard_normal((n, n))
    return QuadraticProblem(
        params=rng.standard_normal(n),
        gradient=rng.standard_normal(n),
        metric=(metric + metric.T) / 2,
        bend=3.0 * (bend + bend.T) if is_bent else None,
    )
