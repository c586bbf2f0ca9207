"""The share of a gradient that is not noise, against its formula, and the radius that follows it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.updates.acceptance import AcceptFinite
from fastpg.updates.damping import FixedDamping, MarquardtDamping
from fastpg.updates.directions import ConjugateGradient, Context, NaturalGradient
from fastpg.updates.local_model import LocalModelUpdate, Move, Ratio
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.radius import RadiusController
from fastpg.updates.signal import half_of, signal_share
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import AdaptiveRadius, KLRadius
from tests.updates.quadratic import QuadraticProblem, random_problem

DELTA = 0.01
EXACT = NaturalGradient(solver=ConjugateGradient(max_iterations=50), damping=FixedDamping(0.0))


@dataclass
class Sampled(QuadraticProblem):
    """A quadratic whose gradient is the mean of the rows of ``gradients`` (B, P)."""

    gradients: Any = None

    def select(self, rows: np.ndarray) -> Sampled:
        return sampled(self, self.gradients[rows])


def sampled(problem: QuadraticProblem, gradients: np.ndarray) -> Sampled:
    return Sampled(
        params=problem.params,
        gradient=gradients.mean(axis=0),
        metric=problem.metric,
        n_samples=len(gradients),
        gradients=gradients,
    )


def noisy(seed: int, *, noise: float, n_samples: int = 64, signal: float = 1.0) -> Sampled:
    """Gradients of samples: that of a random quadratic times ``signal``, and noise around it."""
    problem = random_problem(seed)
    spread = np.random.default_rng(seed).standard_normal((n_samples, 6))
    return sampled(problem, signal * problem.gradient + noise * spread)


def torn(seed: int) -> Sampled:
    """One half of the samples says the opposite of the other, nearly."""
    problem = random_problem(seed)
    gradients = np.tile(-0.9 * problem.gradient, (64, 1))
    gradients[half_of(64)] = problem.gradient
    return sampled(problem, gradients)


def share(problem: Sampled) -> float:
    ray = EXACT(problem, problem.gradient, Context())
    return signal_share(problem, EXACT, problem.gradient, ray, Context())


@pytest.mark.parametrize("n_samples", range(20))
def test_halves_are_halves(n_samples: int) -> None:
    rows = half_of(n_samples)
    assert abs(2 * len(rows) - n_samples) <= 2
    assert np.array_equal(rows, np.unique(rows))
    assert 0 < len(rows) < n_samples or n_samples < 2


def test_halves_are_blocks_that_balance_a_trend() -> None:
    rows = half_of(800)
    others = np.setdiff1d(np.arange(800), rows)
    assert len(rows) == len(others) == 400
    assert np.flatnonzero(np.diff(rows) > 1).tolist() == [99, 199]  # blocks 0, 3, 5 and 6
    for power in (1, 2):
        assert np.mean(((rows + 0.5) / 800) ** power) == pytest.approx(np.mean(((others + 0.5) / 800) ** power))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_samples=st.integers(2, 70), noise=st.floats(0.01, 10.0))
def test_signal_is_what_the_halves_agree_on(seed: int, n_samples: int, noise: float) -> None:
    """1 - d'F^-1 d / g'F^-1 g; with equal halves g_a'F^-1 g_b / g'F^-1 g."""
    problem = noisy(seed, noise=noise, n_samples=n_samples)
    rows = half_of(n_samples)
    a = problem.gradients[rows].mean(axis=0)
    b = np.delete(problem.gradients, rows, axis=0).mean(axis=0)
    inverse, g = np.linalg.inv(problem.metric), problem.gradient
    d = (a - b) / 2
    assert share(problem) == pytest.approx(1 - d @ inverse @ d / (g @ inverse @ g), rel=1e-6, abs=1e-6)
    if 2 * len(rows) == n_samples:
        assert share(problem) == pytest.approx(a @ inverse @ b / (g @ inverse @ g), rel=1e-6, abs=1e-6)


def test_noise_has_no_signal_on_average_and_signal_stands_out() -> None:
    """The numerator of kappa has the expectation of the true gradient's squared norm: 0 for noise alone."""
    products = []
    for seed in range(400):
        problem = noisy(seed, noise=1.0, signal=0.0)
        inverse = np.linalg.inv(problem.metric)
        products.append(share(problem) * (problem.gradient @ inverse @ problem.gradient))
    assert abs(np.mean(products)) < 3 * np.std(products) / math.sqrt(len(products))
    assert min(share(noisy(seed, noise=0.01)) for seed in range(20)) > 0.99


def test_samples_that_agree_are_all_signal() -> None:
    assert share(noisy(0, noise=0.0)) == pytest.approx(1.0, abs=1e-12)


def test_one_sample_says_nothing() -> None:
    assert math.isnan(share(noisy(0, noise=1.0, n_samples=1)))


def test_a_solver_that_breaks_down_says_nothing() -> None:
    """The solution 0 of a system that could not be solved is no absence of noise."""
    problem = noisy(0, noise=1.0)
    ray = EXACT(problem, problem.gradient, Context())
    without_curvature = replace(problem, metric=-problem.metric)
    assert EXACT(without_curvature, problem.gradient, Context()).has_broken_down
    assert math.isnan(signal_share(without_curvature, EXACT, problem.gradient, ray, Context()))


def test_the_memory_of_the_solver_is_that_of_the_gradient_alone() -> None:
    """A warm start with the last gradient's solution would make the noise look like it."""
    problem = noisy(0, noise=1.0)
    direction = replace(EXACT, solver=ConjugateGradient(max_iterations=1, warm_start=1.0))
    ray = direction(problem, problem.gradient, Context())
    warm = Context(memory={"cg_start": np.full(6, 1e3)})
    shares = [signal_share(problem, direction, problem.gradient, ray, context) for context in (Context(), warm)]
    assert shares[0] == shares[1]


def test_no_earlier_iterate_is_made_for_the_noise() -> None:
    problem = noisy(0, noise=0.5)
    direction = replace(EXACT, solver=ConjugateGradient(max_iterations=5, spacing=1.3))
    ray = direction(problem, problem.gradient, Context())
    assert len(ray.alternatives) > 1
    signal_share(problem, direction, problem.gradient, ray, Context())
    assert problem.calls["product"] == 0


# --- the radius -----------------------------------------------------------------------------------------------------


def moved(
    problem: QuadraticProblem, *, is_measured: bool = True, direction: NaturalGradient = EXACT, **scalars: float
) -> Move:
    update = LocalModelUpdate(
        surrogate=Ratio(),
        proximity=KLOldNew(),
        direction=direction,
        radius=AdaptiveRadius(target_kl=DELTA, controller=RadiusController(minimum=DELTA / 10, maximum=4 * DELTA)),
        acceptance=AcceptFinite(),
        is_signal_measured=is_measured,
    )
    return update.move(problem, OptimizerState.start(problem.params).remember(scalars))


def test_radius_grows_with_signal() -> None:
    problem = noisy(0, noise=0.01)
    found = moved(problem)
    assert found.signal == share(problem)
    assert found.signal > 0.99
    assert found.scalars["trust_radius"] == 2 * DELTA


@pytest.mark.parametrize(("radius", "following"), [(4.0, 2.0), (2.0, 1.0), (1.5, 1.0), (1.0, 1.0)])
def test_noise_takes_the_radius_back_to_its_start_and_no_further(radius: float, following: float) -> None:
    problem = torn(0)
    assert share(problem) < 0.25
    found = moved(problem, trust_radius=radius * DELTA)
    assert found.is_accepted
    assert found.scalars["trust_radius"] == pytest.approx(following * DELTA)


def test_signal_is_that_of_the_whole_solve_where_the_step_goes_back_over_its_iterates() -> None:
    """An earlier iterate has a smaller slope; what it lacks is not noise."""
    problem = noisy(0, noise=0.5)
    flattest = np.linalg.eigh(problem.metric)[1][:, 0]  # later iterates have more of it, which the bend makes worse
    problem.bend = np.outer(flattest, flattest)
    direction = replace(EXACT, solver=ConjugateGradient(max_iterations=5, spacing=1.3))
    solved = direction(problem, problem.gradient, Context())
    found = moved(problem, direction=direction)
    assert found.ray is not None
    assert found.ray.slope < 0.9 * solved.slope
    assert found.signal == signal_share(problem, direction, problem.gradient, solved, Context())


def test_without_the_measurement_noise_counts_as_improvement() -> None:
    found = moved(torn(0), is_measured=False)
    assert found.signal is None
    assert found.scalars["trust_radius"] == 2 * DELTA


def test_a_bad_model_takes_the_radius_below_its_start() -> None:
    problem = noisy(0, noise=0.01)
    problem.bend = 1e3 * np.eye(6)
    radius = DELTA
    for following in (DELTA / 2, DELTA / 4):
        radius = moved(problem, trust_radius=radius).scalars["trust_radius"]
        assert radius == pytest.approx(following)
    assert moved(torn(0), trust_radius=DELTA / 4).scalars["trust_radius"] == pytest.approx(DELTA / 2)


# --- the damping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damping", "signal", "following"),
    [
        (0.1, 1.0, 0.1 / 1.5),
        (0.1, 0.5, 0.1),
        (0.1, 0.0, 0.1),
        (0.01, 1.0, 0.01 / 1.5),
        (0.01, 0.5, 0.01),
        (0.01, 0.0, 0.015),
        (0.08, -1.0, 0.1),
        (0.3, 0.0, 0.2),
        (0.01, math.nan, 0.015),
    ],
)
def test_noise_takes_the_damping_back_to_its_start_and_no_further(
    damping: float, signal: float, following: float
) -> None:
    rule = MarquardtDamping(initial=0.1, is_weighed=True)
    assert rule.adapted(damping, actual=1.0, predicted=1.0, signal=signal)["damping"] == pytest.approx(following)


@pytest.mark.parametrize("signal", [1.0, 0.0])
def test_a_bad_model_raises_the_damping_beyond_its_start(signal: float) -> None:
    rule = MarquardtDamping(initial=0.1, is_weighed=True)
    assert rule.adapted(0.1, actual=0.0, predicted=1.0, signal=signal)["damping"] == pytest.approx(0.15)


def test_damping_without_weights_ignores_the_signal() -> None:
    rule = MarquardtDamping(initial=0.1)
    assert rule.adapted(0.01, actual=1.0, predicted=1.0, signal=0.0)["damping"] == pytest.approx(0.01 / 1.5)


@pytest.mark.parametrize(("make_problem", "factor"), [(torn, 1.5), (lambda seed: noisy(seed, noise=0.01), 1 / 1.5)])
def test_damping_of_an_update_follows_its_signal(make_problem: Any, factor: float) -> None:
    update = LocalModelUpdate(
        surrogate=Ratio(),
        proximity=KLOldNew(),
        direction=replace(EXACT, damping=MarquardtDamping(initial=0.1, is_weighed=True)),
        radius=KLRadius(target_kl=DELTA),
        acceptance=AcceptFinite(),
        is_signal_measured=True,
    )
    problem = make_problem(0)
    found = update.move(problem, OptimizerState.start(problem.params).remember({"damping": 0.01}))
    assert found.scalars["damping"] == pytest.approx(0.01 * factor)
