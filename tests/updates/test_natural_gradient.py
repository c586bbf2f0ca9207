"""NPG and TRPO on policies and samples: the kernels' numbers in the rules of the trust region."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.algorithms.npg import NPGConfig, npg
from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.kernels.heads import log_prob
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.kernels.mlp import mlp_forward
from fastpg.policies import problem as problem_module
from fastpg.policies.problem import SampledProblem, standardised
from fastpg.types import Batch
from fastpg.updates.directions import ConjugateGradient
from fastpg.updates.local_model import LocalModelUpdate, Move
from fastpg.updates.report import UpdateReport, UpdateStatus
from fastpg.updates.state import OptimizerState

HEADS = {
    "discrete": HeadLayout("categorical", (3,)),
    "multidiscrete": HeadLayout("categorical", (2, 3)),
    "multibinary": HeadLayout("bernoulli", (1, 1)),
    "box": HeadLayout("gaussian", (1, 1)),
}
BACKEND = "reference"
SMALL = {"n_steps": 48, "batch_size": 16, "n_critic_updates": 2}


def make_problem(
    head: str = "discrete", seed: int = 0, *, n_samples: int = 48, dtype: Any = np.float64, scale: float = 0.5
) -> tuple[SampledProblem, OptimizerState]:
    """Samples of a random policy; the parameters have standard deviation ``scale``."""
    rng = np.random.default_rng(seed)
    layout = ActorCriticLayout(
        MLPLayout((3, 6, HEADS[head].n_inputs), "tanh"), MLPLayout((3, 6, 1), "tanh"), HEADS[head]
    )
    params = (scale * rng.standard_normal(layout.n_params)).astype(dtype)
    observations = rng.standard_normal((n_samples, 3)).astype(dtype)
    network, log_std, _ = layout.split(params)
    inputs = mlp_forward(network, observations, layout=layout.policy, backend=BACKEND)
    if layout.head.kind == "gaussian":
        actions = inputs + np.exp(log_std) * rng.standard_normal(inputs.shape).astype(dtype)
    else:
        sizes = layout.head.sizes if layout.head.kind == "categorical" else (2,) * layout.head.n_actions
        actions = np.stack([rng.integers(0, size, n_samples) for size in sizes], axis=1).astype(np.int32)
    batch = Batch(
        observations=observations,
        actions=actions,
        old_log_probs=log_prob(inputs, log_std, actions, head=layout.head, backend=BACKEND),
        advantages=rng.standard_normal(n_samples).astype(dtype),
        returns=rng.standard_normal(n_samples).astype(dtype),
        old_values=np.zeros(n_samples, dtype),
    )
    return SampledProblem(batch=batch, layout=layout, backend=BACKEND), OptimizerState.start(params)


def run(
    update: LocalModelUpdate, problem: SampledProblem, state: OptimizerState
) -> tuple[OptimizerState, UpdateReport]:
    return update(state, problem, progress_remaining=1.0, seed=0, update_index=0)


def move(update: LocalModelUpdate, problem: SampledProblem, state: OptimizerState) -> Move:
    return update.move(update.surrogate.problem(problem, state.params, seed=0, update_index=0), state)


@pytest.mark.parametrize("head", HEADS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), delta=st.sampled_from([1e-4, 0.01, 0.3, 5.0]), scale=st.sampled_from([0.1, 1.0]))
def test_trpo_stays_in_its_ball_and_never_lowers_the_surrogate(
    head: str, seed: int, delta: float, scale: float
) -> None:
    problem, state = make_problem(head, seed, scale=scale)
    new, report = run(trpo(TRPOConfig(target_kl=delta, cg_damping=1e-3, **SMALL)), problem, state)
    n_actor = problem.layout.actor.n_params
    if report.status is not UpdateStatus.IMPROVED:
        np.testing.assert_array_equal(new.params[:n_actor], state.params[:n_actor])
        return
    policy = problem.policy_problem(state.params, normalize_advantage=True)
    reached = policy.evaluate(new.params[:n_actor])
    assert 0.0 < reached.kl_old_new < delta
    assert reached.surrogate > policy.surrogate_gradient()[1].surrogate
    assert report.kl_old_new == pytest.approx(reached.kl_old_new)
    assert report.policy_objective == pytest.approx(reached.surrogate)


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
@pytest.mark.parametrize("head", HEADS)
def test_step_of_npg_is_on_the_boundary(head: str, solver: str) -> None:
    """1/2 s'Fs = delta to rounding, the divergence to second order; damping for what the samples leave open."""
    problem, state = make_problem(head)
    limits = {"cg_max_steps": 500, "cg_tolerance": 1e-12} if solver == "cg" else {}
    config = NPGConfig(solver=solver, target_kl=1e-5, cg_damping=1e-3, damped_scale=False, **limits, **SMALL)
    found = move(npg(config), problem, state)
    policy = problem.policy_problem(state.params, normalize_advantage=True)
    assert found.params is not None
    s = found.params - policy.params
    assert 0.5 * s @ policy.fisher().product(s) == pytest.approx(1e-5, rel=1e-6)
    assert policy.evaluate(found.params).kl_old_new == pytest.approx(1e-5, rel=0.05)


@pytest.mark.parametrize(("head", "damped_scale"), [("box", True), ("multidiscrete", False)])
def test_npg_is_trpo_when_the_first_candidate_is_accepted(head: str, damped_scale: bool) -> None:
    problem, state = make_problem(head)
    options = {"damped_scale": damped_scale, **SMALL}
    one, report = run(trpo(TRPOConfig(**options)), problem, state)
    other, _ = run(npg(NPGConfig(**options)), problem, state)
    assert report.n_backtracks == 0
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_array_equal(one.second_moment, other.second_moment)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("certainty", [6.0, 9.0, 12.0])
def test_trpo_uses_its_radius_where_the_policy_is_nearly_deterministic(certainty: float, dtype: Any) -> None:
    """There the damping outweighs F: with ``damped_scale`` the step is tiny, without it the line search bounds it."""
    problem, state = make_problem("discrete", dtype=dtype)
    params = state.params.copy()
    params[problem.layout.actor.n_params - 3] += certainty  # the bias of the first action
    state = OptimizerState.start(params)
    update = {scaled: trpo(TRPOConfig(damped_scale=scaled, **SMALL)) for scaled in (False, True)}
    assert 0.002 < run(update[False], problem, state)[1].kl_old_new < 0.01
    assert 0.0 < run(update[True], problem, state)[1].kl_old_new < 0.001


@pytest.mark.parametrize("solver", ["cholesky", "woodbury"])
@pytest.mark.parametrize("fisher", ["exact", "empirical"])
@pytest.mark.parametrize("head", HEADS)
def test_direct_solvers_find_what_conjugate_gradient_finds(head: str, fisher: str, solver: str) -> None:
    problem, state = make_problem(head)
    options = {"fisher": fisher, "cg_damping": 0.01, **SMALL}
    cg = move(npg(NPGConfig(cg_max_steps=300, cg_tolerance=1e-12, **options)), problem, state)
    direct = move(npg(NPGConfig(solver=solver, **options)), problem, state)
    assert cg.params is not None
    assert direct.params is not None
    np.testing.assert_allclose(direct.params, cg.params, rtol=1e-6, atol=1e-9)
    assert direct.ray is not None
    assert direct.ray.residual is not None
    assert direct.ray.residual < 1e-6


@pytest.mark.parametrize("adaptive_radius", [None, "signal", "surrogate"])
def test_a_rejected_search_costs_forward_passes_only(adaptive_radius: str | None) -> None:
    problem, state = make_problem()
    options = {"target_kl": 50.0, "cg_damping": 1e-3, "line_search_max_iter": 4, "line_search_shrinking_factor": 0.99}
    update = trpo(TRPOConfig(adaptive_radius=adaptive_radius, **options, **SMALL))
    counted = ("surrogate_gradient", "surrogate_evaluate", "bind_fisher")
    with mock.patch.multiple(
        problem_module, **{name: mock.Mock(wraps=getattr(problem_module, name)) for name in counted}
    ):
        found = move(update, problem, state)
        calls = {name: getattr(problem_module, name).call_count for name in counted}
    assert found.status is UpdateStatus.NO_ACCEPTABLE_STEP
    assert calls == {"surrogate_gradient": 1, "surrogate_evaluate": 4, "bind_fisher": 1}


@pytest.mark.parametrize("fisher", ["exact", "empirical"])
def test_noise_is_solved_for_with_the_activations_of_the_step(fisher: str) -> None:
    problem, state = make_problem()
    update = trpo(TRPOConfig(damping="signal", fisher=fisher, **SMALL))
    counted = ("surrogate_gradient", "bind_fisher")
    with mock.patch.multiple(
        problem_module, **{name: mock.Mock(wraps=getattr(problem_module, name)) for name in counted}
    ):
        found = move(update, problem, state)
        calls = {name: getattr(problem_module, name).call_count for name in counted}
    assert found.signal is not None
    assert calls == {"surrogate_gradient": 2, "bind_fisher": 1}


def test_failed_search_leaves_the_policy_bit_for_bit_and_trains_the_critic() -> None:
    problem, state = make_problem(dtype=np.float32)
    options = {"target_kl": 50.0, "radius_max": 50.0, "cg_damping": 1e-3, "line_search_max_iter": 1}
    update = trpo(TRPOConfig(adaptive_radius="surrogate", **options, **SMALL))
    n_actor = problem.layout.actor.n_params
    new, report = run(update, problem, state.remember({"n_line_search_failures": 2.0}))
    assert report.status is UpdateStatus.NO_ACCEPTABLE_STEP
    np.testing.assert_array_equal(new.params[:n_actor], state.params[:n_actor])
    assert not np.array_equal(new.params[n_actor:], state.params[n_actor:])
    assert (report.n_line_search_failures, report.is_line_search_success) == (3, 0.0)
    assert (report.kl_old_new, report.step_norm, report.approx_kl) == (0.0, 0.0, 0.0)
    assert report.policy_objective == report.surrogate_before
    assert new.scalars["trust_radius"] == 25.0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3.7e8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_advantages_without_variance_are_a_zero_gradient(value: float, dtype: Any) -> None:
    problem, state = make_problem(dtype=dtype)
    constant = np.full(48, value, dtype)
    constant[::2] = np.nextafter(dtype(value), dtype(np.inf)) if value else 0.0  # what rounding leaves of a constant
    flat = replace(problem, batch=replace(problem.batch, advantages=constant))
    new, report = run(trpo(TRPOConfig(**SMALL)), flat, state)
    assert report.status is UpdateStatus.ZERO_GRADIENT
    assert (report.n_zero_gradients, report.n_cg_breakdowns, report.cg_iterations) == (1, 0, None)
    n_actor = problem.layout.actor.n_params
    np.testing.assert_array_equal(new.params[:n_actor], state.params[:n_actor])


def test_one_sample() -> None:
    problem, state = make_problem(n_samples=1)
    for update in (trpo(TRPOConfig(**SMALL)), npg(NPGConfig(**SMALL))):
        new, report = run(update, problem, state)
        assert report.status is UpdateStatus.IMPROVED
        assert np.isfinite(new.params).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("damping", [0.0, 1e-8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_singular_fisher_matrix(head: str, damping: float, dtype: Any) -> None:
    """Dead inputs, duplicate features and fewer samples than parameters."""
    problem, state = make_problem(head, n_samples=5, dtype=dtype)
    observations = problem.batch.observations.copy()
    observations[:, 0] = 0.0
    observations[:, 2] = observations[:, 1]
    problem = replace(problem, batch=replace(problem.batch, observations=observations))
    with nullcontext() if damping else pytest.warns(UserWarning, match="cg_damping=0 leaves the Fisher matrix"):
        config = TRPOConfig(cg_damping=damping, cg_max_steps=100, **SMALL)
    new, report = run(trpo(config), problem, state)
    assert np.isfinite(new.params).all()
    assert report.kl_old_new is not None
    assert report.kl_old_new < 0.01
    assert report.status in {UpdateStatus.IMPROVED, UpdateStatus.NO_ACCEPTABLE_STEP, UpdateStatus.CG_BREAKDOWN}
    if report.status is not UpdateStatus.IMPROVED:
        n_actor = problem.layout.actor.n_params
        np.testing.assert_array_equal(new.params[:n_actor], state.params[:n_actor])
        assert report.n_line_search_failures + report.n_cg_breakdowns > 0


@pytest.mark.parametrize("solver", ["cg", "cholesky", "woodbury"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dead_input_has_no_scale_and_does_not_move(solver: str, dtype: Any) -> None:
    problem, state = make_problem(dtype=dtype)
    observations = problem.batch.observations.copy()
    observations[:, 0] = 0.0
    problem = replace(problem, batch=replace(problem.batch, observations=observations))
    new, report = run(trpo(TRPOConfig(solver=solver, damping_metric="diag", **SMALL)), problem, state)
    assert report.status is UpdateStatus.IMPROVED
    assert report.n_cg_breakdowns == 0
    changed = (new.params != state.params)[: problem.layout.actor.n_params]
    weights = problem.layout.policy.views(changed[: problem.layout.policy.n_params])[0][0]
    assert not weights[0].any()
    assert weights[1:].all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_exploding_ratios_are_rejected() -> None:
    """A fixed step so long that the policy's outputs overflow: nothing is taken."""
    problem, state = make_problem("box", dtype=np.float32)
    new, report = run(npg(NPGConfig(step_rule="fixed", step_size=1e30, **SMALL)), problem, state)
    assert report.status is UpdateStatus.NO_ACCEPTABLE_STEP
    assert (report.n_line_search_failures, report.kl_before_search) == (1, None)
    n_actor = problem.layout.actor.n_params
    np.testing.assert_array_equal(new.params[:n_actor], state.params[:n_actor])


def test_sub_sampling_uses_other_samples_each_time_and_all_for_the_critic() -> None:
    problem, state = make_problem()
    ratio = trpo(TRPOConfig(sub_sampling_factor=3, **SMALL)).surrogate
    first, second = (ratio.problem(problem, state.params, seed=0, update_index=i) for i in (0, 1))
    assert first.n_samples == second.n_samples == 16
    one, two = first.surrogate_gradient()[0], second.surrogate_gradient()[0]
    assert not np.allclose(one, two)
    assert run(trpo(TRPOConfig(sub_sampling_factor=3, **SMALL)), problem, state)[1].n_optimizer_steps == 6


def test_adapted_numbers_are_remembered_and_reported() -> None:
    problem, state = make_problem()
    options = {"adaptive_radius": "surrogate", "damping": "adaptive", "damped_scale": True, "cg_warm_start": 0.9}
    update = trpo(TRPOConfig(**options, **SMALL))
    new, first = run(update, problem, state)
    assert (first.trust_radius, first.damping) == (0.01, 0.1)
    assert new.scalars["trust_radius"] == 0.02
    assert new.scalars["damping"] == pytest.approx(0.1 / 1.5)
    assert new.memory["cg_start"].shape == (problem.layout.actor.n_params,)
    _, second = run(update, problem, new)
    assert (second.trust_radius, second.damping) == (0.02, new.scalars["damping"])


def test_conventions_of_others_are_parts_of_the_composition() -> None:
    """A start of conjugate gradient and an absolute tolerance can be given, as comparisons need."""
    problem, state = make_problem()
    update = trpo(TRPOConfig(**SMALL))
    start = np.random.default_rng(0).standard_normal(problem.layout.actor.n_params)
    solver = ConjugateGradient(max_iterations=2, absolute_tolerance=1e-5, start=start)
    other = replace(update, direction=replace(update.direction, solver=solver))  # type: ignore[type-var]
    assert not np.array_equal(run(update, problem, state)[0].params, run(other, problem, state)[0].params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardised(dtype: Any) -> None:
    advantages = np.random.default_rng(0).normal(3.0, 5.0, 100).astype(dtype)
    result = standardised(advantages)
    assert result.dtype == dtype
    assert result.mean() == pytest.approx(0.0, abs=1e-6)
    assert result.std(ddof=1) == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_array_equal(standardised(advantages[:1]), advantages[:1])
