"""Cases of the Fisher matrix and of the linear solves; part of the table in ``cases.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import HeadLayout, MLPLayout, PolicyLayout
from tests.kernels.case import (
    BERNOULLI,
    CATEGORICAL,
    GAUSSIAN,
    MULTI_CATEGORICAL,
    WHY_NETWORK,
    Inputs,
    KernelCase,
    random_actions,
    random_params,
)

Array = NDArray[Any]
Maker = Callable[[int, Any, np.random.Generator], Inputs]

#: name -> policy; the first two are those of the benchmarks.
POLICIES = {
    "cartpole": PolicyLayout(MLPLayout((4, 64, 64, 2), "tanh"), CATEGORICAL),
    "halfcheetah": PolicyLayout(MLPLayout((17, 64, 64, 6), "tanh"), HeadLayout("gaussian", (1,) * 6)),
    "multi_categorical_relu": PolicyLayout(MLPLayout((4, 7, 5, 10), "relu"), MULTI_CATEGORICAL),
    "bernoulli_linear": PolicyLayout(MLPLayout((4, 3), "tanh"), BERNOULLI),
    "gaussian_wide": PolicyLayout(MLPLayout((3, 33, 18, 40, 2), "relu"), GAUSSIAN),
}
WHY_FISHER = f"forward, derivative and backward pass, each as in the networks: {WHY_NETWORK}"


def random_policy_params(layout: PolicyLayout, dtype: Any, rng: np.random.Generator) -> Array:
    """As ``random_params``, with log standard deviations about -0.5."""
    log_std = -0.5 + 0.2 * rng.standard_normal(layout.head.n_log_std)
    return np.concatenate([random_params(layout.policy, dtype, rng), log_std.astype(dtype)])


def product_flops(layout: PolicyLayout) -> Callable[[int], int]:
    """Two products per weight forward along a vector (one in the first layer), two backward (one in the first)."""
    weights = [n_in * n_out for n_in, n_out in zip(layout.policy.sizes, layout.policy.sizes[1:], strict=False)]
    per_sample = 2 * (4 * sum(weights) - 2 * weights[0])
    return lambda size: size * per_sample


def fisher_product(
    vector: Array, *, damping: float, damping_scale: Array | None, out: Any = None, **bind: Any
) -> Array:
    """One product with a new operator."""
    return kernels.bind_fisher(**bind).product(vector, damping=damping, damping_scale=damping_scale, out=out)


def fisher_diagonal(*, out: Any = None, **bind: Any) -> Array:
    """The diagonal of a new operator."""
    return kernels.bind_fisher(**bind).diagonal(out=out)


def fisher_solve(gradient: Array, *, solver: Inputs, start: Any = None, damping_scale: Any = None, **bind: Any) -> Any:
    """One solve with a new operator."""
    options = {"start": start, "damping_scale": damping_scale, **solver}
    return kernels.bind_fisher(**bind).solve(gradient, **options)


def _policy_inputs(layout: PolicyLayout, *, is_empirical: bool) -> Maker:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        observations = rng.standard_normal((size, layout.observation_size)).astype(dtype)
        inputs = {"params": random_policy_params(layout, dtype, rng), "observations": observations, "layout": layout}
        return {**inputs, "actions": random_actions(layout.head, size, dtype, rng)} if is_empirical else inputs

    return make


def _with_vectors(make: Maker, n: int, names: tuple[str, ...], **options: Any) -> Maker:
    """Random vectors (n,) beside what ``make`` makes; ``damping_scale`` is positive."""

    def make_all(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        inputs = make(size, dtype, rng)
        for name in names:
            vector = rng.standard_normal(n)
            inputs[name] = (0.5 + np.abs(vector) if name == "damping_scale" else vector).astype(dtype)
        return {**inputs, **options}

    return make_all


def _product_case(
    policy: str, *, is_empirical: bool = False, is_scaled: bool = False, damping: float = 0.1
) -> KernelCase:
    layout = POLICIES[policy]
    names = ("vector", "damping_scale") if is_scaled else ("vector",)
    options = {"damping": damping} if is_scaled else {"damping": damping, "damping_scale": None}
    return KernelCase(
        name=f"fisher_product_{policy}" + "_empirical" * is_empirical + "_scaled" * is_scaled,
        family="fisher",
        function=fisher_product,
        make_inputs=_with_vectors(_policy_inputs(layout, is_empirical=is_empirical), layout.n_params, names, **options),
        units=256,
        why=WHY_FISHER,
        has_threads=True,
        flops=product_flops(layout),
    )


def _diagonal_case(policy: str, *, is_empirical: bool = False) -> KernelCase:
    return KernelCase(
        name=f"fisher_diagonal_{policy}" + "_empirical" * is_empirical,
        family="fisher",
        function=fisher_diagonal,
        make_inputs=_policy_inputs(POLICIES[policy], is_empirical=is_empirical),
        units=128,
        why=WHY_NETWORK,
        has_threads=True,
    )


def _factors_case(policy: str, *, is_empirical: bool = False) -> KernelCase:
    return KernelCase(
        name=f"fisher_factors_{policy}" + "_empirical" * is_empirical,
        family="fisher",
        function=kernels.fisher_factors,
        make_inputs=_policy_inputs(POLICIES[policy], is_empirical=is_empirical),
        sizes=(0, 1, 7, 65),
        bench_sizes=(64,),
        units=128,
        why=WHY_NETWORK,
    )


def _solve_outputs(solution: Any) -> tuple[Array, ...]:
    numbers = np.array([solution.status.value, solution.iterations])
    return (
        solution.solution,
        numbers,
        np.array([solution.residual, 1.0]),
        np.array(solution.curvature),
        solution.iterates,
    )


def _solve_case(
    name: str, policy: str, names: tuple[str, ...], *, is_empirical: bool = False, **solver: Any
) -> KernelCase:
    layout = POLICIES[policy]
    defaults = {"damping": 0.1, "max_iterations": 5, "relative_tolerance": 1e-3, "absolute_tolerance": 0.0}
    make = _policy_inputs(layout, is_empirical=is_empirical)
    return KernelCase(
        name=f"fisher_solve_{name}",
        family="fisher",
        function=fisher_solve,
        make_inputs=_with_vectors(make, layout.n_params, names, solver={**defaults, **solver}),
        outputs=_solve_outputs,
        n_out=0,
        units=4000,
        why=f"{WHY_FISHER}; five products, whose errors the condition number of about 30 multiplies",
        has_threads=True,
        flops=lambda size: solver.get("max_iterations", 5) * product_flops(layout)(size),
    )


def _cholesky_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    factors = rng.standard_normal((size, size)) / np.sqrt(max(size, 1))
    matrix = (factors @ factors.T).astype(dtype)
    return {"matrix": matrix, "rhs": rng.standard_normal(size).astype(dtype), "damping": 0.5}


FISHER = [
    *(_product_case(policy) for policy in POLICIES),
    _product_case("cartpole", is_empirical=True),
    _product_case("gaussian_wide", is_empirical=True, is_scaled=True),
    _product_case("multi_categorical_relu", is_scaled=True),
    *(_diagonal_case(policy) for policy in POLICIES),
    _diagonal_case("gaussian_wide", is_empirical=True),
    *(_factors_case(policy) for policy in POLICIES),
    _factors_case("gaussian_wide", is_empirical=True),
    _solve_case("cartpole", "cartpole", ("gradient",)),
    _solve_case("halfcheetah", "halfcheetah", ("gradient",), max_iterations=10, damping=1.0),
    _solve_case("started", "multi_categorical_relu", ("gradient", "start", "damping_scale"), spacing=1.5),
    _solve_case("empirical", "gaussian_wide", ("gradient",), is_empirical=True, damping=10.0),
]

CHOLESKY = [
    KernelCase(
        name="cholesky_solve",
        family="cholesky",
        function=kernels.cholesky_solve,
        make_inputs=_cholesky_inputs,
        outputs=lambda result: (result[0], np.array(result[1])),
        in_place=("rhs",),
        sizes=(0, 1, 2, 7, 16, 33, 130, 300),
        bench_sizes=(300, 1000),
        units=256,
        why="backward stable: error of a few epsilon times the condition number of at most (4 + 0.5) / 0.5",
        flops=lambda size: size**3 // 3,
        bytes=lambda size, itemsize: size * size * itemsize,
    )
]
