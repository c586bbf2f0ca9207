"""The Fisher matrix against definitions that share no code with it, in float64, and its solves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.dense_solve import MAX_MATRIX_ROWS
from fastpg.kernels.layout import Activation, HeadLayout, MLPLayout, PolicyLayout
from tests.kernels.case import HEADS, random_actions
from tests.kernels.cases_fisher import POLICIES, random_policy_params

Array = NDArray[Any]
#: (machine epsilon)^(1/4): for a second difference, balances the truncation error h^2 against epsilon / h^2.
STEP = 1.2e-4


def small_policy(head: HeadLayout, activation: Activation = "tanh") -> PolicyLayout:
    return PolicyLayout(MLPLayout((3, 5, 4, head.n_inputs), activation), head)


def sample(layout: PolicyLayout, size: int = 11, seed: int = 0) -> tuple[Array, Array]:
    """(params, observations) in float64."""
    rng = np.random.default_rng(seed)
    return random_policy_params(layout, np.float64, rng), rng.standard_normal((size, layout.observation_size))


def dense(params: Array, observations: Array, **bind: Any) -> Array:
    """F from products with unit vectors."""
    fisher = kernels.bind_fisher(params, observations, **bind)
    return np.array([fisher.product(unit) for unit in np.eye(len(params))])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_product_is_the_hessian_of_the_mean_divergence(backend: str, head: HeadLayout, activation: Activation) -> None:
    """v'Fv against the fourth-order second difference of mean kl_old_new, which is 0 with gradient 0 at theta_old."""
    layout = small_policy(head, activation)
    params, observations = sample(layout)

    def outputs(theta: Array) -> tuple[Array, Array]:
        network, log_std = layout.split(theta)
        return kernels.mlp_forward(network, observations, layout=layout.policy, backend="reference"), log_std

    old = outputs(params)

    def divergence(theta: Array) -> float:
        return float(kernels.kl_old_new(*old, *outputs(theta), head=head, backend="reference").mean())

    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    rng = np.random.default_rng(1)
    for _ in range(4):
        v = rng.standard_normal(layout.n_params)
        h = 20 * STEP / np.linalg.norm(v)
        near, far = (divergence(params + k * h * v) + divergence(params - k * h * v) for k in (1, 2))
        curvature = (16 * near - far) / (12 * h * h)
        assert v @ fisher.product(v) == pytest.approx(curvature, rel=1e-6)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("is_empirical", [False, True])
def test_product_diagonal_and_factors_agree(backend: str, head: HeadLayout, is_empirical: bool) -> None:
    layout = small_policy(head)
    params, observations = sample(layout)
    actions = random_actions(head, len(observations), np.float64, np.random.default_rng(2)) if is_empirical else None
    bind: Any = {"layout": layout, "actions": actions, "backend": backend}
    s = kernels.fisher_factors(params, observations, **bind)
    expected = s.T @ s / len(observations)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(dense(params, observations, **bind), expected, rtol=0, atol=1e-13 * scale)
    diagonal = kernels.bind_fisher(params, observations, **bind).diagonal()
    np.testing.assert_allclose(diagonal, np.diag(expected), rtol=0, atol=1e-13 * scale)


def test_empirical_factors_are_the_scores(backend: str) -> None:
    """Row i is the gradient of log pi(a_i | s_i), here of the loss kernel on that sample alone with A = -1."""
    layout = small_policy(HEADS["gaussian"])
    params, observations = sample(layout, size=3)
    actions = random_actions(layout.head, 3, np.float64, np.random.default_rng(3))
    scores = kernels.fisher_factors(params, observations, layout=layout, actions=actions, backend=backend)
    for i in range(3):
        one = slice(i, i + 1)
        log_prob = np.zeros(1)
        gradient, _ = kernels.surrogate_gradient(
            params, observations[one], actions[one], log_prob, np.ones(1), layout=layout, backend="reference"
        )
        network, log_std = layout.split(params)
        means = kernels.mlp_forward(network, observations[one], layout=layout.policy, backend="reference")
        ratio = np.exp(kernels.log_prob(means, log_std, actions[one], head=layout.head, backend="reference"))
        np.testing.assert_allclose(scores[i] * ratio, gradient, rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(sorted(HEADS)),
    st.integers(1, 70),
    st.sampled_from(["tanh", "relu"]),
    st.data(),
)
def test_product_is_symmetric_and_positive(seed: int, head: str, size: int, activation: Any, data: Any) -> None:
    """u'Fv = v'Fu and v'Fv >= 0, exact and empirical."""
    layout = small_policy(HEADS[head], activation)
    params, observations = sample(layout, size, seed)
    rng = np.random.default_rng(seed)
    actions = random_actions(layout.head, size, np.float64, rng) if data.draw(st.booleans()) else None
    fisher = kernels.bind_fisher(params, observations, layout=layout, actions=actions)
    u, v = rng.standard_normal((2, layout.n_params))
    f_u, f_v = fisher.product(u), fisher.product(v)
    scale = np.linalg.norm(u) * np.linalg.norm(f_v) + np.linalg.norm(v) * np.linalg.norm(f_u)
    assert abs(u @ f_v - v @ f_u) <= 1e-13 * scale
    assert v @ f_v >= -1e-14 * np.linalg.norm(v) * np.linalg.norm(f_v)


def test_damping_adds_its_diagonal(backend: str) -> None:
    layout = small_policy(HEADS["categorical"])
    params, observations = sample(layout)
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    v, scale = np.random.default_rng(4).random((2, layout.n_params))
    plain = fisher.product(v)
    np.testing.assert_allclose(fisher.product(v, damping=0.3), plain + 0.3 * v, rtol=1e-14)
    np.testing.assert_allclose(fisher.product(v, damping=0.3, damping_scale=scale), plain + 0.3 * scale * v, rtol=1e-14)


def test_the_operator_keeps_nothing_of_the_callers(backend: str) -> None:
    layout = small_policy(HEADS["gaussian"])
    params, observations = sample(layout)
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    v = np.random.default_rng(5).standard_normal(layout.n_params)
    before = fisher.product(v)
    params[:], observations[:] = 0, 0
    np.testing.assert_array_equal(fisher.product(v), before)


@pytest.mark.parametrize("is_empirical", [False, True])
def test_solvers_agree(backend: str, is_empirical: bool) -> None:
    """Conjugate gradient, Cholesky and Woodbury, with a damping that is not the identity."""
    layout = small_policy(HEADS["multi_categorical"])
    params, observations = sample(layout)
    rng = np.random.default_rng(6)
    actions = random_actions(layout.head, len(observations), np.float64, rng) if is_empirical else None
    gradient = rng.standard_normal(layout.n_params)
    options: Any = {"damping": 0.1, "damping_scale": 0.5 + rng.random(layout.n_params)}
    bind: Any = {"layout": layout, "actions": actions, "backend": backend}
    fisher = kernels.bind_fisher(params, observations, **bind)
    limits = {"max_iterations": 200, "relative_tolerance": 1e-13, "absolute_tolerance": 0.0}
    iterative = fisher.solve(gradient, **options, **limits)
    cholesky = kernels.solve_cholesky(params, observations, gradient, **bind, **options)
    woodbury = kernels.solve_woodbury(params, observations, gradient, **bind, **options)
    assert iterative.status is kernels.CGStatus.CONVERGED
    for solution in (cholesky, woodbury):
        assert solution.status is kernels.DenseStatus.SOLVED
        assert solution.residual < 1e-13
        np.testing.assert_allclose(solution.solution, iterative.solution, rtol=1e-9, atol=1e-11)
        assert solution.curvature == pytest.approx(iterative.curvature, rel=1e-10)
        assert solution.curvature == pytest.approx(solution.solution @ fisher.product(solution.solution, **options))


def test_a_solve_follows_the_generic_algorithm(backend: str) -> None:
    """Status, iterations and kept iterates are those of ``conjugate_gradient`` with the same operator."""
    layout = small_policy(HEADS["gaussian"])
    params, observations = sample(layout)
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    rng = np.random.default_rng(7)
    gradient, start = rng.standard_normal((2, layout.n_params))
    options: Any = {"max_iterations": 6, "relative_tolerance": 0.0, "absolute_tolerance": 0.0}
    options |= {"start": start, "spacing": 1.3}
    ours = fisher.solve(gradient, damping=0.05, **options)
    generic = kernels.conjugate_gradient(lambda v: fisher.product(v, damping=0.05), gradient, **options)
    assert (ours.status, ours.iterations) == (generic.status, generic.iterations)
    assert len(ours.iterates) == len(generic.iterates) >= 5
    np.testing.assert_allclose(ours.solution, generic.solution, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.iterates, generic.iterates, rtol=1e-9, atol=1e-9)
    image = fisher.product(ours.solution, damping=0.05)
    assert ours.residual == pytest.approx(np.linalg.norm(gradient - image) / np.linalg.norm(gradient), rel=1e-8)
    assert ours.curvature == pytest.approx(ours.solution @ image, rel=1e-10)


def test_a_zero_gradient_costs_nothing(backend: str) -> None:
    layout = small_policy(HEADS["categorical"])
    params, observations = sample(layout)
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    limits: Any = {"max_iterations": 10, "relative_tolerance": 0.0, "absolute_tolerance": 0.0}
    zero = np.zeros(layout.n_params)
    solution = fisher.solve(zero, start=np.ones(layout.n_params), **limits)
    assert (solution.status, solution.iterations) == (kernels.CGStatus.ZERO_RHS, 0)
    np.testing.assert_array_equal(solution.solution, zero)
    assert solution.residual == solution.curvature == 0
    dense_solution = kernels.solve_cholesky(params, observations, zero, layout=layout, damping=0.1, backend=backend)
    assert dense_solution.status is kernels.DenseStatus.ZERO_RHS


def test_a_singular_matrix_without_damping_ends_in_a_status(backend: str) -> None:
    """One sample: F has rank 1 of 36, the gradient is not in its range."""
    layout = small_policy(HEADS["categorical"])
    params, observations = sample(layout, size=1)
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    gradient = np.random.default_rng(8).standard_normal(layout.n_params)
    solution = fisher.solve(gradient, max_iterations=100, relative_tolerance=1e-10, absolute_tolerance=0.0)
    assert solution.status in {kernels.CGStatus.BREAKDOWN, kernels.CGStatus.STAGNATION}
    assert np.isfinite(solution.solution).all()
    direct = kernels.solve_cholesky(params, observations, gradient, layout=layout, backend=backend)
    assert direct.status is kernels.DenseStatus.NOT_POSITIVE_DEFINITE
    np.testing.assert_array_equal(direct.solution, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_a_breakdown(backend: str, value: float) -> None:
    layout = small_policy(HEADS["categorical"])
    params, observations = sample(layout)
    gradient = np.ones(layout.n_params)
    limits: Any = {"max_iterations": 10, "relative_tolerance": 0.0, "absolute_tolerance": 0.0}
    broken = observations.copy()
    broken[0, 0] = np.nan
    fisher = kernels.bind_fisher(params, broken, layout=layout, backend=backend)
    solution = fisher.solve(gradient, damping=0.1, **limits)
    assert (solution.status, solution.iterations) == (kernels.CGStatus.BREAKDOWN, 0)
    np.testing.assert_array_equal(solution.solution, 0)
    gradient[3] = value
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    assert fisher.solve(gradient, damping=0.1, **limits).status is kernels.CGStatus.BREAKDOWN


def test_an_empty_batch_has_no_curvature(backend: str) -> None:
    layout = small_policy(HEADS["gaussian"])
    params, observations = sample(layout, size=0)
    fisher = kernels.bind_fisher(params, observations, layout=layout, backend=backend)
    v = np.ones(layout.n_params)
    np.testing.assert_array_equal(fisher.product(v), 0)
    np.testing.assert_array_equal(fisher.diagonal(), 0)


def test_what_is_too_large_to_factorise_is_named() -> None:
    layout = POLICIES["halfcheetah"]
    params, observations = sample(layout, size=MAX_MATRIX_ROWS // 6 + 1)
    with pytest.raises(ValueError, match=r"layout: expected at most 3000 parameters, .* got 5708\. Fix: "):
        kernels.solve_cholesky(params, observations, params, layout=layout, damping=0.1)
    with pytest.raises(ValueError, match=r"observations: expected at most 3000 factors .* got 3012 of 5708\. Fix: "):
        kernels.solve_woodbury(params, observations, params, layout=layout, damping=0.1)


def test_woodbury_needs_damping() -> None:
    layout = small_policy(HEADS["categorical"])
    params, observations = sample(layout)
    with pytest.raises(ValueError, match=r"damping: expected .* > 0, because the identity divides by it, got .* Fix: "):
        kernels.solve_woodbury(params, observations, params, layout=layout, damping=0.0)


@pytest.mark.parametrize("is_empirical", [False, True])
@pytest.mark.parametrize("name", ["cartpole", "multi_categorical_relu", "gaussian_wide"])
def test_many_samples_on_many_threads(fast_backend: str, name: str, is_empirical: bool) -> None:
    """More than one chunk of rows: as the reference says, and the same bits for any number of threads."""
    layout = POLICIES[name]  # two outputs, whose derivatives are kept, and ten; with and without log_std
    params, observations = sample(layout, size=2 * 1024 + 65)
    rng = np.random.default_rng(6)
    actions = random_actions(layout.head, len(observations), np.float64, rng) if is_empirical else None
    vectors = rng.standard_normal((2, layout.n_params))

    def everything(backend: str, n_threads: int) -> tuple[Array, ...]:
        bind: Any = {"layout": layout, "actions": actions, "backend": backend, "n_threads": n_threads}
        fisher = kernels.bind_fisher(params, observations, **bind)
        products = [fisher.product(vector) for vector in vectors]  # the first may prepare what the second takes
        solve = fisher.solve(vectors[0], damping=1.0, max_iterations=5, relative_tolerance=0.0, absolute_tolerance=0.0)
        return *products, fisher.diagonal(), solve.solution

    one = everything(fast_backend, 1)
    for ours, expected in zip(one, everything("reference", 1), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    for ours, expected in zip(everything(fast_backend, 3), one, strict=True):
        np.testing.assert_array_equal(ours, expected)
