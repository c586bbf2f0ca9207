"""The comparisons of natural-gradient and trust-region methods: Fisher products, solves, updates, whole trainings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.contenders import fastpg_contenders, jax, relative_error, sb3_contrib
from benchmarks.harness import Run, Workload
from fastpg import kernels
from fastpg.policies.problem import SampledProblem
from fastpg.types import Batch
from fastpg.updates.acceptance import Backtracking
from fastpg.updates.critic import AdamCritic
from fastpg.updates.damping import FixedDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.proximity import KLNewOld
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import KLRadius
from tests.kernels.cases import LAYOUTS, mlp_flops


def fisher_flops(layout: str) -> Callable[[int], int]:
    """Of one product: J v costs A dW in each layer and dA W in all but the first, J' u a backward pass."""
    policy = LAYOUTS[layout].policy
    forward, both = mlp_flops(policy, backward=False), mlp_flops(policy, backward=True)
    n_first = 2 * policy.sizes[0] * policy.sizes[1]
    return lambda size: both(size) + forward(size) - size * n_first


def fisher_product(title: str, layout: str, n_samples: int) -> Workload:
    """F v with activations cached where the contender can."""
    problem = partial(data.fisher_problem, layout, n_samples)

    def prepare(backend: str, dtype: type = np.float32) -> Run:
        params, observations, vector = (
            array.astype(dtype) for array in (problem().params, problem().observations, problem().vector)
        )
        fisher = kernels.bind_fisher(params, observations, layout=problem().layout, backend=backend)
        out = np.empty_like(vector)
        return lambda: fisher.product(vector, out=out)

    def check(product: np.ndarray) -> None:
        assert relative_error(product, prepare("reference", np.float64)()) < 1e-5

    peers = sb3_contrib("product", problem), jax("product", problem, module="jax_fisher")
    contenders = (*fastpg_contenders(prepare, "native", "jit"), *peers)
    flops = fisher_flops(layout)(n_samples)
    return Workload(f"fisher_product-{layout}-{n_samples}", title, "product", 1, contenders, check, flops)


def conjugate_gradient(title: str, layout: str, n_samples: int, n_iterations: int) -> Workload:
    """(F + 0.1) x = g by a fixed number of iterations from zero, forward pass included where it is not cached."""
    problem = partial(data.fisher_problem, layout, n_samples)

    def prepare(backend: str, dtype: type = np.float32) -> Run:
        params, observations, gradient = (
            array.astype(dtype) for array in (problem().params, problem().observations, problem().gradient)
        )
        fisher = kernels.bind_fisher(params, observations, layout=problem().layout, backend=backend)
        limits = {"max_iterations": n_iterations, "relative_tolerance": 0.0, "absolute_tolerance": 0.0}
        return lambda: fisher.solve(gradient, damping=problem().damping, **limits).solution

    def check(solution: np.ndarray) -> None:
        assert relative_error(solution, prepare("reference", np.float64)()) < 1e-3

    peers = (
        sb3_contrib("conjugate_gradient", problem, n_iterations),
        jax("conjugate_gradient", problem, n_iterations, module="jax_fisher"),
    )
    contenders = (*fastpg_contenders(prepare, "native", "jit"), *peers)
    name = f"conjugate_gradient-{layout}-{n_samples}-{n_iterations}"
    flops = n_iterations * fisher_flops(layout)(n_samples)
    return Workload(name, title, "solve", 1, contenders, check, flops)


def trpo_update(title: str, layout: str, n_samples: int) -> Workload:
    """One update of policy and critic on a batch, with sb3-contrib's defaults and its measure of the divergence."""
    problem = partial(data.trust_region_problem, layout, n_samples)

    def prepare(backend: str, dtype: type = np.float32) -> Run:
        rollout = {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in problem().rollout.items()}
        samples = SampledProblem(batch=Batch(**rollout), layout=problem().policy.layout, backend=backend)
        state = OptimizerState.start(problem().policy.params.astype(dtype))
        update = _update(problem().arguments)
        return lambda: update(state, samples, progress_remaining=1.0, seed=data.SEED, update_index=0)[0].params

    def check(params: np.ndarray) -> None:
        expected, old = prepare("reference", np.float64)(), problem().policy.params
        n_actor = problem().policy.layout.actor.n_params
        for part in (slice(None, n_actor), slice(n_actor, None)):
            assert relative_error(params[part], expected[part], scale=expected[part] - old[part]) < 1e-3

    contenders = (*fastpg_contenders(prepare, "native", "jit"), sb3_contrib("update", problem))
    return Workload(f"trpo_update-{layout}-{n_samples}", title, "update", 1, contenders, check, rounds=15)


def _update(arguments: dict[str, Any]) -> LocalModelUpdate:
    """TRPO as sb3-contrib measures divergences, so that the result can be compared."""
    cg = ConjugateGradient(max_iterations=arguments["cg_max_steps"], absolute_tolerance=1e-5)
    return LocalModelUpdate(
        surrogate=Ratio(normalize_advantage=arguments["normalize_advantage"]),
        proximity=KLNewOld(is_per_dimension=True),
        direction=NaturalGradient(solver=cg, damping=FixedDamping(arguments["cg_damping"])),
        radius=KLRadius(target_kl=arguments["target_kl"], is_damped=True),
        acceptance=Backtracking(
            shrinking_factor=arguments["line_search_shrinking_factor"],
            max_iterations=arguments["line_search_max_iter"],
        ),
        critic=AdamCritic(
            learning_rate=arguments["learning_rate"],
            n_epochs=arguments["n_critic_updates"],
            batch_size=arguments["batch_size"],
        ),
    )


def comparisons() -> tuple[Workload, ...]:
    """In the order of the table."""
    small, large = "2048 samples, obs 4, 2 actions", "2048 samples, obs 17, 6 Gaussian actions"
    return (
        fisher_product(f"Fisher-vector product, {small}", "cartpole", 2048),
        fisher_product(f"Fisher-vector product, {large}", "halfcheetah", 2048),
        conjugate_gradient(f"Conjugate gradient, 10 steps, {large}", "halfcheetah", 2048, 10),
        conjugate_gradient(f"Conjugate gradient, 15 steps, {large}", "halfcheetah", 2048, 15),
        trpo_update(f"TRPO update, {small}", "cartpole", 2048),
        trpo_update(f"TRPO update, {large}", "halfcheetah", 2048),
    )
