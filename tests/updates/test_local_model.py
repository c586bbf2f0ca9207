"""The step rules of LocalModelUpdate on quadratics: lengths, identities, acceptance, adaptation, failures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.errors import NumericsError
from fastpg.kernels.linear_solve import CGStatus, conjugate_gradient
from fastpg.types import Array
from fastpg.updates.acceptance import AcceptFinite, Backtracking
from fastpg.updates.damping import FixedDamping, MarquardtDamping
from fastpg.updates.directions import ConjugateGradient, Gradient, NaturalGradient
from fastpg.updates.local_model import LocalModelUpdate, Move, Ratio
from fastpg.updates.proximity import KLNewOld, KLOldNew
from fastpg.updates.radius import RadiusController
from fastpg.updates.report import UpdateStatus
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import AdaptiveRadius, FixedStep, KLRadius
from tests.updates.quadratic import Matrix, QuadraticProblem, random_problem

DELTA = 0.01
EXACT = NaturalGradient(solver=ConjugateGradient(max_iterations=50), damping=FixedDamping(0.0))
seeds = st.integers(0, 10_000)


def make_update(**changes: Any) -> LocalModelUpdate:
    parts: dict[str, Any] = {
        "surrogate": Ratio(),
        "proximity": KLOldNew(),
        "direction": EXACT,
        "radius": KLRadius(target_kl=DELTA),
        "acceptance": AcceptFinite(),
    }
    return LocalModelUpdate(**{**parts, **changes})


def state_of(problem: QuadraticProblem, **scalars: float) -> OptimizerState:
    return OptimizerState.start(problem.params).remember(scalars)


def move(update: LocalModelUpdate, problem: QuadraticProblem, **scalars: float) -> Move:
    return update.move(problem, state_of(problem, **scalars))


def step(update: LocalModelUpdate, problem: QuadraticProblem, **scalars: float) -> np.ndarray:
    params = move(update, problem, **scalars).params
    assert params is not None
    return params - problem.params


# --- lengths and identities -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=seeds, delta=st.floats(1e-6, 10.0))
def test_step_of_npg_is_on_the_boundary(seed: int, delta: float) -> None:
    """1/2 s'Fs = delta with an exact solver and no damping, to rounding."""
    problem = random_problem(seed)
    s = step(make_update(radius=KLRadius(target_kl=delta)), problem)
    assert 0.5 * s @ problem.metric @ s == pytest.approx(delta, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_step_of_npg_maximises_the_linear_model_in_the_ball(seed: int) -> None:
    """s = sqrt(2 delta / g'F^-1 g) F^-1 g, and no point of the boundary has a larger g's."""
    problem = random_problem(seed)
    natural = np.linalg.solve(problem.metric, problem.gradient)
    s = step(make_update(), problem)
    np.testing.assert_allclose(s, math.sqrt(2 * DELTA / (problem.gradient @ natural)) * natural, rtol=1e-7)
    others = np.random.default_rng(seed).standard_normal((50, len(s)))
    lengths = np.sqrt(0.5 * np.einsum("ij,jk,ik->i", others, problem.metric, others) / DELTA)
    assert ((others / lengths[:, None]) @ problem.gradient).max() <= problem.gradient @ s * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, beta=st.floats(1e-2, 1e3))
def test_penalised_maximiser_lies_on_the_ray(seed: int, beta: float) -> None:
    """argmax g's - beta/2 s'Fs = F^-1 g / beta: the fixed step with alpha = 1 / beta."""
    problem = random_problem(seed)
    s = step(make_update(radius=FixedStep(1.0 / beta)), problem)
    np.testing.assert_allclose(problem.gradient - beta * problem.metric @ s, 0.0, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_npg_is_trpo_when_the_first_candidate_is_accepted(seed: int) -> None:
    problem = random_problem(seed)
    searching = make_update(acceptance=Backtracking(), radius=KLRadius(target_kl=DELTA))
    s = step(searching, problem)
    found = move(searching, problem).search
    assert found is not None
    plain = step(make_update(), problem)
    # On a quadratic the first candidate is on the boundary, and rounding decides which side it is on.
    np.testing.assert_array_equal(s, plain) if found.n_backtracks == 0 else np.testing.assert_allclose(s, 0.8 * plain)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_damping_shortens_the_step_or_not(seed: int) -> None:
    problem = random_problem(seed)
    direction = replace(EXACT, damping=FixedDamping(0.1))
    shorter = step(make_update(direction=direction), problem)
    full = step(make_update(direction=direction, radius=KLRadius(target_kl=DELTA, is_damped=False)), problem)
    kl = [0.5 * s @ problem.metric @ s for s in (shorter, full)]
    damped = problem.metric + 0.1 * np.eye(len(shorter))
    assert 0.5 * shorter @ damped @ shorter == pytest.approx(DELTA, rel=1e-9)
    assert kl[0] < DELTA
    assert kl[1] == pytest.approx(DELTA, rel=1e-6)
    np.testing.assert_allclose(shorter / np.linalg.norm(shorter), full / np.linalg.norm(full), rtol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_fletchers_damping_does_not_depend_on_the_scale_of_a_parameter(seed: int, scale: float) -> None:
    problem = random_problem(seed)
    units = np.ones(6)
    units[2] = scale
    rescaled = replace(
        problem,
        params=problem.params / units,
        gradient=problem.gradient * units,
        metric=problem.metric * np.outer(units, units),
    )
    solver = ConjugateGradient(max_iterations=400)
    direction = NaturalGradient(solver=solver, damping=FixedDamping(0.5), damping_metric="diag")
    update = make_update(direction=direction)
    np.testing.assert_allclose(step(update, rescaled) * units, step(update, problem), rtol=1e-4, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, terms=st.integers(1, 7))
def test_divergence_per_dimension_is_a_larger_radius_and_more_damping(seed: int, terms: int) -> None:
    """sb3-contrib's averaging over D action dimensions: radius D delta, damping D lambda."""
    problem = replace(random_problem(seed), kl_terms=terms)
    direction = replace(EXACT, damping=FixedDamping(0.1))
    s = step(make_update(direction=direction, proximity=KLNewOld(is_per_dimension=True)), problem)
    other = make_update(
        direction=replace(EXACT, damping=FixedDamping(0.1 * terms)), radius=KLRadius(target_kl=DELTA * terms)
    )
    np.testing.assert_allclose(s, step(other, problem), rtol=1e-9)


@pytest.mark.parametrize("solver", ["cholesky", "woodbury"])
def test_direct_solvers(solver: Any) -> None:
    problem = random_problem(3)
    direct = step(make_update(direction=replace(EXACT, solver=solver)), problem)
    np.testing.assert_allclose(direct, step(make_update(), problem), rtol=1e-8)
    assert problem.calls[solver] == 1


def test_gradient_direction() -> None:
    problem = random_problem(0)
    params = move(make_update(direction=Gradient(), radius=FixedStep(0.5)), problem).params
    np.testing.assert_array_equal(params, problem.params + 0.5 * problem.gradient)


# --- acceptance -----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seed=seeds, delta=st.floats(1e-5, 100.0), ratio=st.sampled_from([0.0, 0.1, 0.5]))
def test_trpo_stays_in_its_ball_and_never_lowers_the_surrogate(seed: int, delta: float, ratio: float) -> None:
    problem = random_problem(seed, is_bent=True)
    update = make_update(radius=KLRadius(target_kl=delta), acceptance=Backtracking(accept_ratio=ratio))
    found = move(update, problem)
    if found.params is None:
        assert found.status is UpdateStatus.NO_ACCEPTABLE_STEP
        return
    reached = problem.evaluate(found.params)
    assert reached.kl_old_new < delta
    assert reached.surrogate > 0.0
    assert found.predicted is not None
    assert reached.surrogate >= ratio * found.predicted


def test_a_rejected_search_costs_forward_passes_only() -> None:
    problem = random_problem(1)
    problem.bend = 1e9 * np.eye(6)
    before = problem.params.copy()
    found = move(make_update(acceptance=Backtracking(max_iterations=7)), problem)
    assert found.status is UpdateStatus.NO_ACCEPTABLE_STEP
    assert problem.calls == {"gradient": 1, "fisher_exact": 1, "solve": 1, "evaluate": 7}
    np.testing.assert_array_equal(problem.params, before)
    assert found.search is not None
    assert found.search.n_backtracks == 7


def test_line_search_on_the_divergence_alone() -> None:
    """KL only: a step that lowers the surrogate is taken."""
    problem = replace(random_problem(2), bend=1e6 * np.eye(6))
    found = move(make_update(acceptance=Backtracking(is_improvement_checked=False)), problem)
    assert found.status is UpdateStatus.IMPROVED
    assert found.actual is not None
    assert found.actual < 0.0


def test_equal_surrogate_is_accepted_only_without_strictness() -> None:
    problem = random_problem(2)
    flat = replace(problem, gradient=problem.gradient.copy())
    flat._surrogate = lambda step: 0.0  # type: ignore[method-assign]
    small = KLRadius(target_kl=DELTA)
    assert move(make_update(radius=small, acceptance=Backtracking()), flat).params is None
    assert move(make_update(radius=small, acceptance=Backtracking(is_strict=False)), flat).params is not None


@pytest.mark.parametrize("factor", [1.0, 50.0, 1e6])
def test_constraint_on_the_largest_divergence(factor: float) -> None:
    """The first candidate measures how much larger than the mean it is, so that few more are needed."""
    problem = replace(random_problem(4), max_over_mean=factor)
    found = move(make_update(proximity=KLOldNew(statistic="max"), acceptance=Backtracking()), problem)
    assert found.search is not None
    assert found.params is not None
    assert problem.evaluate(found.params).kl_old_new_max < DELTA
    assert problem.evaluate(found.params).kl_old_new_max > 0.4 * DELTA
    assert found.search.n_backtracks <= 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("acceptance", [Backtracking(max_iterations=3), AcceptFinite()])
@pytest.mark.parametrize("name", ["kl_old_new", "surrogate"])
def test_not_finite_is_not_acceptable(acceptance: Any, bad: float, name: str) -> None:
    problem = random_problem(5)
    evaluate = problem.evaluate

    def broken(params: np.ndarray) -> Any:
        evaluation = evaluate(params)
        setattr(evaluation, name, bad)
        return evaluation

    problem.evaluate = broken  # type: ignore[method-assign]
    is_harmless = bad == math.inf and name == "surrogate" and isinstance(acceptance, Backtracking)
    found = move(make_update(acceptance=acceptance), problem)
    if not is_harmless:
        assert found.status is UpdateStatus.NO_ACCEPTABLE_STEP
        assert found.scalars["n_line_search_failures"] == 1.0


# --- adaptation -----------------------------------------------------------------------------------------------------


def adaptive(**changes: Any) -> AdaptiveRadius:
    return AdaptiveRadius(target_kl=DELTA, controller=RadiusController(minimum=1e-4, maximum=1.0, **changes))


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_adaptive_radius_that_never_changes_is_trpo_with_ratio_acceptance(seed: int) -> None:
    problem = random_problem(seed, is_bent=True)
    acceptance = Backtracking(accept_ratio=0.1)
    frozen = move(make_update(radius=adaptive(shrink=1.0, expand=1.0), acceptance=acceptance), problem)
    fixed = move(make_update(acceptance=acceptance), problem)
    assert frozen.status is fixed.status
    if fixed.params is not None:
        np.testing.assert_array_equal(frozen.params, fixed.params)
    assert frozen.scalars.get("trust_radius") == DELTA


def test_radius_expands_after_good_steps_and_is_used() -> None:
    problem = random_problem(0)
    update = make_update(radius=adaptive())
    found = move(update, problem)
    assert found.scalars["trust_radius"] == 2 * DELTA
    s = step(update, problem, **found.scalars)
    assert 0.5 * s @ problem.metric @ s == pytest.approx(2 * DELTA)


def test_radius_shrinks_where_the_model_is_bad_and_after_a_failure() -> None:
    problem = replace(random_problem(0), bend=1e3 * np.eye(6))
    assert move(make_update(radius=adaptive()), problem).scalars["trust_radius"] == DELTA / 2
    failing = make_update(radius=adaptive(), acceptance=Backtracking(max_iterations=1))
    found = move(failing, problem)
    assert found.params is None
    assert found.scalars["trust_radius"] == DELTA / 2


def test_radius_expands_only_at_the_boundary() -> None:
    problem = replace(random_problem(0), max_over_mean=4.0)
    update = make_update(radius=adaptive(), acceptance=Backtracking(), proximity=KLOldNew(statistic="max"))
    found = move(update, problem)
    assert found.search is not None
    assert found.search.n_backtracks > 0
    assert found.scalars["trust_radius"] == DELTA


@pytest.mark.parametrize(("bend", "factor"), [(0.0, 1 / 1.5), (1e3, 1.5)])
def test_damping_follows_the_ratio(bend: float, factor: float) -> None:
    problem = replace(random_problem(0), bend=bend * np.eye(6))
    direction = replace(EXACT, damping=MarquardtDamping(initial=0.1))
    found = move(make_update(direction=direction), problem)
    assert found.scalars["damping"] == pytest.approx(0.1 * factor)
    assert found.ray is not None
    assert found.ray.damping == 0.1
    again = move(make_update(direction=direction), problem, **found.scalars)
    assert again.ray is not None
    assert again.ray.damping == found.scalars["damping"]


def test_damping_stays_within_its_bounds() -> None:
    rule = MarquardtDamping(initial=1.0)
    assert rule.adapted(1e-8, actual=1.0, predicted=1.0) == {"damping": 1e-8}
    assert rule.adapted(1e2, actual=math.nan, predicted=1.0) == {"damping": 1e2}
    assert rule.adapted(1.0, actual=0.5, predicted=1.0) == {"damping": 1.0}


def test_quadratic_prediction() -> None:
    problem = random_problem(0)
    update = make_update(direction=replace(EXACT, is_quadratic=True), radius=FixedStep(1.0))
    found = move(update, problem)
    # at s = F^-1 g the quadratic model g's - 1/2 s'Fs has gained half of g's
    assert found.predicted == pytest.approx(0.5 * problem.gradient @ step(update, problem))


def test_a_model_that_predicts_a_loss_is_a_bad_one() -> None:
    """Three times the maximiser of the quadratic model is below its start, whatever the surrogate says."""
    problem = random_problem(0)
    direction = replace(EXACT, is_quadratic=True, damping=MarquardtDamping(initial=1e-6))
    found = move(make_update(direction=direction, radius=FixedStep(3.0)), problem)
    assert found.predicted is not None
    assert found.actual is not None
    assert found.predicted < 0.0 < found.actual
    assert found.scalars["damping"] == pytest.approx(1.5e-6)


# --- conjugate gradient: start, iterates ----------------------------------------------------------------------------


def test_warm_start_goes_on_from_the_last_solution() -> None:
    problem = random_problem(0, condition=30.0)
    solver = ConjugateGradient(max_iterations=3, warm_start=1.0)
    update = make_update(direction=replace(EXACT, solver=solver))
    state = state_of(problem)
    exact = np.linalg.solve(problem.metric, problem.gradient)
    errors = []
    for _ in range(6):
        found = update.move(problem, state)
        assert found.ray is not None
        error = found.ray.vector - exact
        errors.append(error @ problem.metric @ error)  # what conjugate gradient minimises
        state = state.remember(found.scalars, found.ray.memory)
    assert errors[-1] < 0.25 * errors[0]
    cold = update.move(problem, state_of(problem)).ray
    assert cold is not None
    np.testing.assert_array_equal(cold.memory["cg_start"], cold.vector)


def test_best_iterate_of_conjugate_gradient() -> None:
    """Where the surrogate bends against the later iterates, an earlier one is taken; without bend the last."""
    problem = random_problem(7, n=20, condition=1e4)
    solver = ConjugateGradient(max_iterations=20, spacing=1.3)
    update = make_update(direction=replace(EXACT, solver=solver))
    plain = make_update(direction=replace(EXACT, solver=ConjugateGradient(max_iterations=20)))
    np.testing.assert_allclose(step(update, problem), step(plain, problem), rtol=1e-6)
    bent = replace(problem, bend=np.linalg.inv(problem.metric))
    best, last = step(update, bent), step(plain, bent)
    assert bent.evaluate(bent.params + best).surrogate > bent.evaluate(bent.params + last).surrogate
    assert 0.5 * best @ bent.metric @ best == pytest.approx(DELTA)


# --- failures -------------------------------------------------------------------------------------------------------


def test_zero_gradient() -> None:
    problem = replace(random_problem(0), gradient=np.zeros(6))
    found = move(make_update(radius=adaptive()), problem, n_zero_gradients=4.0)
    assert found.status is UpdateStatus.ZERO_GRADIENT
    assert found.params is None
    assert found.scalars == {"n_zero_gradients": 5.0}
    assert problem.calls == {"gradient": 1}


def test_gradient_that_is_not_finite_is_an_error() -> None:
    problem = replace(random_problem(0), gradient=np.full(6, np.nan))
    with pytest.raises(NumericsError, match=r"gradient: expected finite numbers.*Nothing was committed.*Fix: lower"):
        move(make_update(), problem)


@pytest.mark.parametrize("metric", [-np.eye(6), np.zeros((6, 6)), np.full((6, 6), np.nan)])
@pytest.mark.parametrize("acceptance", [AcceptFinite(), Backtracking()])
def test_no_positive_curvature(metric: np.ndarray, acceptance: Any) -> None:
    problem = replace(random_problem(0), metric=metric)
    found = move(make_update(acceptance=acceptance), problem, n_cg_breakdowns=1.0)
    assert found.status is UpdateStatus.CG_BREAKDOWN
    assert found.params is None
    assert found.scalars["n_cg_breakdowns"] == 2.0
    assert problem.calls["evaluate"] == 0


def test_breakdown_on_the_way_uses_what_was_found_and_is_counted() -> None:
    metric = np.diag([1.0, 0.5, 0.25, 0.1, 0.05, -0.2])
    problem = replace(random_problem(0), metric=metric)
    found = move(make_update(radius=KLRadius(target_kl=DELTA)), problem)
    assert found.ray is not None
    assert found.ray.has_broken_down
    assert found.scalars["n_cg_breakdowns"] == 1.0
    if found.ray.curvature > 0.0:
        assert found.status is UpdateStatus.IMPROVED


def test_stagnation_uses_the_best_iterate_and_is_counted() -> None:
    """A matrix that changes with every product: conjugate gradient makes no progress."""

    class Restless(Matrix):
        def solve(self, gradient: Array, **options: Any) -> Any:
            rng = np.random.default_rng(3)
            options = {name: value for name, value in options.items() if not name.startswith("damping")}
            return conjugate_gradient(lambda v: (0.1 + rng.exponential(size=len(v)) ** 3) * v, gradient, **options)

    class RestlessProblem(QuadraticProblem):
        def fisher(self, kind: str = "exact") -> Matrix:
            return Restless(self.metric, self.calls)

    problem = RestlessProblem(**vars(random_problem(0)))
    found = move(make_update(radius=KLRadius(target_kl=DELTA)), problem, n_cg_stagnations=1.0)
    assert found.ray is not None
    assert found.ray.has_stagnated
    assert found.ray.iterations < 50
    assert found.scalars["n_cg_stagnations"] == 2.0
    assert "n_cg_breakdowns" not in found.scalars
    assert found.status is UpdateStatus.IMPROVED


def test_singular_metric_without_damping() -> None:
    """Directions without divergence and without gradient (dead units) do not disturb the others."""
    problem = random_problem(0)
    metric, gradient = problem.metric.copy(), problem.gradient.copy()
    metric[2, :] = metric[:, 2] = 0.0
    gradient[2] = 0.0
    s = step(make_update(), replace(problem, metric=metric, gradient=gradient))
    assert s[2] == 0.0
    assert 0.5 * s @ metric @ s == pytest.approx(DELTA)


def test_statuses_of_the_solver_are_the_kernels() -> None:
    assert CGStatus["BREAKDOWN"].name == "BREAKDOWN"
