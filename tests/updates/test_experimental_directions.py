"""Newton, Krylov and minorant directions inside the local-model update, on problems whose answers are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fastpg.kernels.linear_solve import conjugate_gradient
from fastpg.updates.acceptance import AcceptFinite, Backtracking
from fastpg.updates.damping import FixedDamping, MarquardtDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.krylov import KrylovDescent, SubspaceAscent
from fastpg.updates.lbfgs import LBFGS
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.minorant import MinorantDirection, penalty_constant
from fastpg.updates.newton import N_FISHER_FALLBACKS, Newton
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.radius import RadiusController
from fastpg.updates.report import UpdateStatus
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import AdaptiveRadius, FixedStep, KLRadius
from tests.updates.test_steihaug import symmetric

N = 6
DELTA = 0.01


@dataclass
class Evaluation:
    surrogate: float
    kl_old_new: float
    kl_old_new_max: float
    kl_new_old: float
    entropy: float = 0.0
    approx_kl: float = 0.0


class Fisher:
    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def product(self, vector: np.ndarray, *, damping: float = 0.0, damping_scale: Any = None) -> np.ndarray:
        return self.matrix @ vector + damping * vector

    def solve(self, gradient: np.ndarray, *, damping: float, damping_scale: Any, **limits: Any) -> Any:
        return conjugate_gradient(lambda v: self.product(v, damping=damping), gradient, **limits)


class Quadratic:
    """L = g's + 1/2 s'Hs, KL of every state 1/2 s'Fs, in float64."""

    kl_terms = 1
    n_samples = 8
    max_abs_advantage = 1.0

    def __init__(self, gradient: np.ndarray, hessian: np.ndarray, fisher: np.ndarray) -> None:
        self.gradient, self.hessian, self.matrix = gradient, hessian, fisher
        self.params = np.random.default_rng(7).standard_normal(len(gradient))

    def surrogate_gradient(self, params: np.ndarray | None = None) -> Any:
        s = (self.params if params is None else params) - self.params
        return self.gradient + self.hessian @ s, self.evaluate(s + self.params)

    def evaluate(self, params: np.ndarray) -> Evaluation:
        s = params - self.params
        kl = 0.5 * s @ self.matrix @ s
        return Evaluation(self.gradient @ s + 0.5 * s @ self.hessian @ s, kl, kl, kl)

    def fisher(self, kind: str = "exact") -> Fisher:
        return Fisher(self.matrix)

    def hessian_vector_product(self, vector: np.ndarray) -> np.ndarray:
        return self.hessian @ vector

    def part(self, index: int, n_parts: int) -> Quadratic:
        return self

    def in_double(self) -> Quadratic:
        return self

    def kl_old_new(self, params: np.ndarray) -> np.ndarray:
        return np.full(3, self.evaluate(params).kl_old_new)

    def kl_gradient(self, params: np.ndarray, weights: np.ndarray | None = None) -> Any:
        total = 1.0 if weights is None else weights.sum()
        return total * self.matrix @ (params - self.params), total * self.evaluate(params).kl_old_new


NATURAL = NaturalGradient(solver=ConjugateGradient(max_iterations=50), damping=FixedDamping(0.0))


def newton(metric: str, *, damping: Any = None) -> Newton:
    return Newton(
        metric=metric,
        damping=damping or FixedDamping(0.0),
        max_iterations=50,
        relative_tolerance=1e-12,
        fallback=NATURAL,
    )


def move(direction: Any, problem: Quadratic, *, radius: Any = None, scalars: Any = None, acceptance: Any = None) -> Any:
    update = LocalModelUpdate(
        surrogate=Ratio(),
        proximity=KLOldNew(),
        direction=direction,
        radius=radius or KLRadius(target_kl=DELTA),
        acceptance=acceptance or AcceptFinite(),
    )
    return update.move(problem, OptimizerState.start(problem.params).remember(scalars or {}))


def step_of(problem: Quadratic, found: Any) -> np.ndarray:
    return found.params - problem.params


@pytest.fixture
def gradient() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(N)


@pytest.fixture
def fisher() -> np.ndarray:
    return symmetric(np.geomspace(0.1, 4.0, N), 3)


def test_newton_inside_a_wide_region_jumps_to_the_maximum(gradient: np.ndarray, fisher: np.ndarray) -> None:
    hessian = -symmetric(np.geomspace(1.0, 20.0, N))
    problem = Quadratic(gradient, hessian, fisher)
    found = move(newton("fisher"), problem, radius=KLRadius(target_kl=1e3))
    np.testing.assert_allclose(step_of(problem, found), -np.linalg.solve(hessian, gradient), rtol=1e-8)
    assert found.status is UpdateStatus.IMPROVED
    assert found.actual == pytest.approx(found.predicted, rel=1e-8)
    assert found.scalars[N_FISHER_FALLBACKS] == 0.0


@pytest.mark.parametrize(("target_kl", "factor"), [(1e3, 1.0), (1e-4, 2.0)])
def test_a_step_inside_the_region_does_not_expand_it(
    gradient: np.ndarray, fisher: np.ndarray, target_kl: float, factor: float
) -> None:
    problem = Quadratic(gradient, -symmetric(np.geomspace(1.0, 20.0, N)), fisher)
    radius = AdaptiveRadius(target_kl=target_kl, controller=RadiusController())
    found = move(newton("fisher"), problem, radius=radius)
    assert found.actual > 0.75 * found.predicted
    assert found.scalars["trust_radius"] == factor * target_kl


@pytest.mark.parametrize("seed", range(5))
def test_newton_stays_in_the_fisher_ellipsoid_of_an_indefinite_model(
    gradient: np.ndarray, fisher: np.ndarray, seed: int
) -> None:
    hessian = symmetric(np.random.default_rng(seed).standard_normal(N), seed)
    problem = Quadratic(gradient, hessian, fisher)
    found = move(newton("fisher"), problem)
    s = step_of(problem, found)
    assert 0.5 * s @ fisher @ s <= DELTA * (1.0 + 1e-9)
    assert found.actual == pytest.approx(found.predicted, rel=1e-8)
    assert found.actual > 0.0


def test_hessian_as_metric_gives_damped_newton(gradient: np.ndarray, fisher: np.ndarray) -> None:
    """1/2 s'Bs = delta along B^-1 g."""
    hessian = -symmetric(np.geomspace(1.0, 20.0, N))
    problem = Quadratic(gradient, hessian, fisher)
    found = move(newton("hessian"), problem)
    s = step_of(problem, found)
    x = -np.linalg.solve(hessian, gradient)
    np.testing.assert_allclose(s, math.sqrt(2.0 * DELTA / (gradient @ x)) * x, rtol=1e-7)
    assert -0.5 * s @ hessian @ s == pytest.approx(DELTA, rel=1e-7)
    assert found.ray.numbers["is_fisher_fallback"] == 0.0


def test_indefinite_hessian_as_metric_falls_back_to_the_fisher_matrix(gradient: np.ndarray, fisher: np.ndarray) -> None:
    hessian = symmetric(np.array([-1.0, -2.0, -3.0, -4.0, -5.0, 0.5]))
    problem = Quadratic(gradient, hessian, fisher)
    found = move(newton("hessian"), problem, scalars={N_FISHER_FALLBACKS: 3.0})
    expected = move(NATURAL, problem)
    np.testing.assert_array_equal(found.params, expected.params)
    assert found.ray.numbers["is_fisher_fallback"] == 1.0
    assert found.scalars[N_FISHER_FALLBACKS] == 4.0
    assert found.ray.iterations > expected.ray.iterations


def test_damping_makes_the_model_concave(gradient: np.ndarray, fisher: np.ndarray) -> None:
    hessian = symmetric(np.array([-1.0, -2.0, -3.0, -4.0, -5.0, 0.5]))
    problem = Quadratic(gradient, hessian, fisher)
    found = move(newton("hessian", damping=FixedDamping(1.0)), problem)
    assert found.ray.numbers["is_fisher_fallback"] == 0.0
    x = np.linalg.solve(np.eye(N) - hessian, gradient)
    s = step_of(problem, found)
    np.testing.assert_allclose(s / np.linalg.norm(s), x / np.linalg.norm(x), rtol=1e-7)


def test_plain_newton_step_and_its_fallback(gradient: np.ndarray, fisher: np.ndarray) -> None:
    """Without a region: -H^-1 g; where the first direction is one of negative curvature, the natural gradient."""
    concave = Quadratic(gradient, -np.diag(np.arange(1.0, N + 1.0)), fisher)
    found = move(newton("fisher"), concave, radius=FixedStep(1.0))
    np.testing.assert_allclose(step_of(concave, found), gradient / np.arange(1.0, N + 1.0), rtol=1e-8)
    convex = Quadratic(gradient, np.eye(N), fisher)
    found = move(newton("fisher"), convex, radius=FixedStep(1.0))
    np.testing.assert_allclose(step_of(convex, found), np.linalg.solve(fisher, gradient), rtol=1e-6)
    assert found.ray.numbers["is_fisher_fallback"] == 1.0


def test_products_that_are_not_finite_fall_back(gradient: np.ndarray, fisher: np.ndarray) -> None:
    problem = Quadratic(gradient, np.full((N, N), math.nan), fisher)
    found = newton("fisher")(problem, gradient, context_of(DELTA))
    assert found.numbers["is_fisher_fallback"] == 1.0
    assert np.isfinite(found.vector).all()


def context_of(radius: float | None) -> Any:
    from fastpg.updates.directions import Context

    return Context(radius=radius)


def test_adaptive_damping_follows_the_ratio(gradient: np.ndarray, fisher: np.ndarray) -> None:
    problem = Quadratic(gradient, -np.eye(N), fisher)
    found = move(newton("fisher", damping=MarquardtDamping(initial=0.3)), problem)
    assert found.scalars["damping"] < 0.3  # the model is exact but for the damping


@pytest.mark.parametrize("direction", ["newton", "hessian", "ksd", "minorant"])
def test_zero_gradient_leaves_everything(direction: str, fisher: np.ndarray) -> None:
    made = {
        "newton": newton("fisher"),
        "hessian": newton("hessian"),
        "ksd": KrylovDescent(dimension=3, damping=FixedDamping(0.1)),
        "minorant": MinorantDirection(gamma=0.9),
    }[direction]
    found = move(made, Quadratic(np.zeros(N), np.eye(N), fisher))
    assert found.status is UpdateStatus.ZERO_GRADIENT
    assert found.params is None
    assert found.scalars == {"n_zero_gradients": 1.0}


def test_complete_krylov_space_gives_the_natural_step(gradient: np.ndarray, fisher: np.ndarray) -> None:
    problem = Quadratic(gradient, np.zeros((N, N)), fisher)
    exact = SubspaceAscent(inner=LBFGS(max_iterations=200, relative_tolerance=1e-10), eigenvalue_floor=1e-12)
    found = move(KrylovDescent(dimension=N, damping=FixedDamping(0.0), ascent=exact), problem)
    np.testing.assert_allclose(step_of(problem, found), step_of(problem, move(NATURAL, problem)), rtol=1e-5)
    assert found.ray.curvature == pytest.approx(2.0 * DELTA, rel=1e-5)
    assert found.ray.iterations == N


def test_damped_krylov_step_is_the_damped_natural_step(gradient: np.ndarray, fisher: np.ndarray) -> None:
    problem = Quadratic(gradient, np.zeros((N, N)), fisher)
    exact = SubspaceAscent(inner=LBFGS(max_iterations=200, relative_tolerance=1e-10), eigenvalue_floor=1e-12)
    damped = NaturalGradient(solver=ConjugateGradient(max_iterations=50), damping=FixedDamping(0.5))
    found = move(KrylovDescent(dimension=N, damping=FixedDamping(0.5), ascent=exact), problem)
    np.testing.assert_allclose(step_of(problem, found), step_of(problem, move(damped, problem)), rtol=1e-5)
    assert found.ray.curvature > found.ray.fisher_curvature > 0.0


def test_krylov_step_is_searched_and_remembered(gradient: np.ndarray, fisher: np.ndarray) -> None:
    """The line search shortens what leaves the ball, and the next basis has the step in it."""
    problem = Quadratic(gradient, np.zeros((N, N)), fisher)
    direction = KrylovDescent(dimension=2, damping=FixedDamping(0.0))
    found = move(direction, problem, acceptance=Backtracking())
    s = step_of(problem, found)
    assert 0.0 < 0.5 * s @ fisher @ s < DELTA
    (last,) = found.ray.memory.values()
    np.testing.assert_array_equal(last, found.ray.vector)
    context = context_of(DELTA)
    object.__setattr__(context, "memory", {"krylov_last_step": np.random.default_rng(0).standard_normal(N)})
    assert direction(problem, gradient, context).iterations == 3


def test_krylov_needs_a_radius(gradient: np.ndarray, fisher: np.ndarray) -> None:
    problem = Quadratic(gradient, np.zeros((N, N)), fisher)
    with pytest.raises(ValueError, match="needs a radius"):
        KrylovDescent(dimension=2, damping=FixedDamping(0.0))(problem, gradient, context_of(None))


def test_krylov_products_that_are_not_finite_are_a_breakdown(gradient: np.ndarray) -> None:
    problem = Quadratic(gradient, np.zeros((N, N)), np.full((N, N), math.nan))
    found = move(KrylovDescent(dimension=3, damping=FixedDamping(0.0)), problem)
    assert found.status is UpdateStatus.CG_BREAKDOWN
    assert found.params is None
    assert found.scalars["n_cg_breakdowns"] == 1.0


def test_minorant_step_has_its_closed_form(gradient: np.ndarray, fisher: np.ndarray) -> None:
    problem = Quadratic(gradient, np.zeros((N, N)), fisher)
    found = move(MinorantDirection(gamma=0.5), problem, radius=FixedStep(1.0))
    constant = penalty_constant(1.0, 0.5)
    expected = np.linalg.solve(fisher, gradient) / (0.5 * constant)
    np.testing.assert_allclose(step_of(problem, found), expected, rtol=1e-2)
    numbers = found.ray.numbers
    assert numbers["kl_coef"] == constant
    assert numbers["minorant"] == pytest.approx(gradient @ expected / (2.0 * 0.5), rel=1e-3)
    assert numbers["minorant_surrogate"] > numbers["minorant"] > 0.0


def test_minorant_that_cannot_be_raised_is_no_step(gradient: np.ndarray, fisher: np.ndarray) -> None:
    """A surrogate with a gradient but no higher point, as rounding makes one."""

    class Peak(Quadratic):
        def evaluate(self, params: np.ndarray) -> Evaluation:
            value = super().evaluate(params)
            value.surrogate = -float(np.abs(params - self.params).sum())
            return value

    found = move(MinorantDirection(gamma=0.5), Peak(gradient, np.zeros((N, N)), fisher), radius=FixedStep(1.0))
    assert found.params is None
    assert found.status is UpdateStatus.NO_ACCEPTABLE_STEP
