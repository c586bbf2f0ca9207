"""Every kernel as a case: inputs, sizes, tolerance, cost. Conformance, contract tests and benchmarks are made from it.

A case knows nothing of the implementation. To add a kernel, add its case here or in a ``cases_<family>`` that this
module gathers; to add an implementation, add nothing. ``case`` has what the cases share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from tests.kernels.case import (
    BATCH_SIZES,
    BERNOULLI,
    GAUSSIAN,
    HEADS,
    LAYOUTS,
    MULTI_CATEGORICAL,
    VECTOR_SIZES,
    WHY_HEAD,
    WHY_KL,
    WHY_NETWORK,
    Inputs,
    KernelCase,
    actor_critic,
    loss_flops,
    mlp_flops,
    random_actions,
    random_actor_critic_params,
    random_head,
    random_params,
    random_samples,
)
from tests.kernels.cases_fisher import CHOLESKY, FISHER
from tests.kernels.cases_proximal import KL_GRADIENTS, LOSSES, UPDATES
from tests.kernels.cases_surrogate import SURROGATES

__all__ = [
    "BATCH_SIZES",
    "BERNOULLI",
    "CASES",
    "GAUSSIAN",
    "HEADS",
    "LAYOUTS",
    "MULTI_CATEGORICAL",
    "VECTOR_SIZES",
    "Inputs",
    "KernelCase",
    "actor_critic",
    "loss_flops",
    "mlp_flops",
    "random_actions",
    "random_actor_critic_params",
    "random_head",
    "random_params",
    "random_samples",
]

Array = NDArray[Any]

# --- philox ---------------------------------------------------------------------------------------------------------


def _philox_inputs(n_columns: int) -> Callable[[int, Any, np.random.Generator], Inputs]:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        seed, step = int(rng.integers(2**63)) * 2 + 1, int(rng.integers(2**55))
        return {"seed": seed, "stream": 3, "step": step, "out": np.empty((size, n_columns), dtype)}

    return make


def _permutation_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    return {"seed": 2**64 - 5, "stream": 2, "step": (7 << 16) | 3, "out": np.empty(size, np.int64)}


PHILOX = [
    KernelCase(
        name="uniform",
        family="philox",
        function=kernels.uniform,
        make_inputs=_philox_inputs(6),
        n_out=0,
        units=0,
        why="integers and one exact scaling",
    ),
    KernelCase(
        name="normal",
        family="philox",
        function=kernels.normal,
        make_inputs=_philox_inputs(5),
        n_out=0,
        units=8,
        why="in float32: log, a square root and ten multiply-adds, of which the largest result has the most",
        single=True,
    ),
    KernelCase(
        name="permutation",
        family="philox",
        function=kernels.permutation,
        make_inputs=_permutation_inputs,
        n_out=0,
        sizes=(*BATCH_SIZES, 1000),
        units=0,
        why="integers",
    ),
]

# --- gae ------------------------------------------------------------------------------------------------------------


def _gae_inputs(n_envs: int) -> Callable[[int, Any, np.random.Generator], Inputs]:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        shape = (size, n_envs)
        arrays = {name: rng.standard_normal(shape).astype(dtype) for name in ("rewards", "values", "next_values")}
        flags = {name: rng.random(shape) < 0.15 for name in ("terminated", "truncated")}
        return {**arrays, **flags, "gamma": 0.99, "gae_lambda": 0.95}

    return make


def _gae_case(n_envs: int) -> KernelCase:
    return KernelCase(
        name=f"gae_{n_envs}_envs",
        family="gae",
        function=kernels.gae,
        make_inputs=_gae_inputs(n_envs),
        sizes=(0, 1, 2, 7, 40),
        bench_sizes=(128, 2048) if n_envs < 1000 else (128,),
        units=16,
        why="five roundings per step, damped by gamma lambda = 0.94: at most 5 / (1 - 0.94) / sqrt(...) epsilon",
        has_threads=True,
        flops=lambda size: 7 * size * n_envs,
        bytes=lambda size, itemsize: size * n_envs * (4 * itemsize + 2),
    )


GAE = [_gae_case(n_envs) for n_envs in (1, 3, 17, 1024)]

# --- mlp ------------------------------------------------------------------------------------------------------------

NETWORKS = {
    "4_64_64_2_tanh": MLPLayout((4, 64, 64, 2), "tanh"),
    "17_64_64_6_tanh": MLPLayout((17, 64, 64, 6), "tanh"),
    "5_3": MLPLayout((5, 3), "tanh"),
    "1_1_1_relu": MLPLayout((1, 1, 1), "relu"),
    "3_33_18_40_7_relu": MLPLayout((3, 33, 18, 40, 7), "relu"),
}


def _forward_inputs(layout: MLPLayout) -> Callable[[int, Any, np.random.Generator], Inputs]:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        inputs = rng.standard_normal((size, layout.sizes[0])).astype(dtype)
        return {"params": random_params(layout, dtype, rng), "inputs": inputs, "layout": layout}

    return make


def _backward_inputs(layout: MLPLayout) -> Callable[[int, Any, np.random.Generator], Inputs]:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        output_gradient = rng.standard_normal((size, layout.sizes[-1])).astype(dtype)
        return {**_forward_inputs(layout)(size, dtype, rng), "output_gradient": output_gradient}

    return make


MLP = [
    KernelCase(
        name=f"mlp_{direction}_{name}",
        family="mlp",
        function=kernels.mlp_backward if direction == "backward" else kernels.mlp_forward,
        make_inputs=(_backward_inputs if direction == "backward" else _forward_inputs)(layout),
        units=64,
        why=WHY_NETWORK,
        has_threads=True,
        flops=mlp_flops(layout, backward=direction == "backward"),
        bytes=lambda size, itemsize, layout=layout: itemsize * (size * layout.sizes[0] + layout.n_params),  # type: ignore[misc]
    )
    for direction in ("forward", "backward")
    for name, layout in NETWORKS.items()
]

# --- heads ----------------------------------------------------------------------------------------------------------


def _head_case(kernel: str, name: str, make: Callable[[int, Any, np.random.Generator], Inputs]) -> KernelCase:
    return KernelCase(
        name=f"{kernel}_{name}",
        family="heads",
        function=getattr(kernels, kernel),
        make_inputs=make,
        units=32,
        why=WHY_KL if kernel == "kl_old_new" else WHY_HEAD,
        single=kernel == "sample",
    )


def _head_cases(name: str, head: HeadLayout) -> list[KernelCase]:
    def distribution(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        inputs, log_std = random_head(head, size, dtype, rng)
        return {"head_inputs": inputs, "log_std": log_std, "head": head}

    def with_actions(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        return {**distribution(size, dtype, rng), "actions": random_actions(head, size, dtype, rng)}

    def pair(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        old, new = (random_head(head, size, dtype, rng) for _ in range(2))
        names = ("old_head_inputs", "old_log_std", "new_head_inputs", "new_log_std")
        return {**dict(zip(names, (*old, *new), strict=True)), "head": head}

    def with_counter(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        return {**distribution(size, dtype, rng), "seed": 11, "stream": 1, "step": 2**33 + 5}

    makers = {"log_prob": with_actions, "entropy": distribution, "kl_old_new": pair, "sample": with_counter}
    return [_head_case(kernel, name, make) for kernel, make in {**makers, "mode": distribution}.items()]


HEAD_CASES = [case for name, head in HEADS.items() for case in _head_cases(name, head)]

# --- losses and updates -----------------------------------------------------------------------------------------------


def _vector_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    return {"gradient": rng.standard_normal(size).astype(dtype), "max_norm": 0.5}


def _adam_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    arrays = {name: rng.standard_normal(size).astype(dtype) for name in ("params", "gradient", "first_moment")}
    second_moment = rng.random(size).astype(dtype)
    numbers = {"step": 3, "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-5}
    return {**arrays, "second_moment": second_moment, **numbers}


VECTORS = [
    KernelCase(
        name="clip_global_norm",
        family="gradient_norm",
        function=kernels.clip_global_norm,
        make_inputs=_vector_inputs,
        outputs=lambda result: (result[0], np.array(result[1])),
        in_place=("gradient",),
        sizes=VECTOR_SIZES,
        bench_sizes=(9155,),
        units=4,
        why="a sum in float64, three roundings",
        bytes=lambda size, itemsize: 3 * size * itemsize,
    ),
    KernelCase(
        name="adam_step",
        family="adam",
        function=kernels.adam_step,
        make_inputs=_adam_inputs,
        outputs=tuple,
        n_out=3,
        in_place=("params", "first_moment", "second_moment"),
        sizes=VECTOR_SIZES,
        bench_sizes=(9155,),
        units=8,
        why="eight roundings per element",
        flops=lambda size: 13 * size,
        bytes=lambda size, itemsize: 7 * size * itemsize,
    ),
]


def _moments_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    mean, variance = rng.standard_normal(5), rng.random(5)
    return {
        "mean": mean,
        "variance": variance,
        "count": 37.5,
        "batch": (3 + rng.standard_normal((size, 5))).astype(dtype),
    }


def _normalize_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    inputs = (3.0 * rng.standard_normal((size, 5))).astype(dtype)
    return {
        "inputs": inputs,
        "mean": rng.standard_normal(5),
        "variance": np.array([0.0, 1.0, 2.0, 0.5, 4.0]),
        "epsilon": 1e-8,
        "clip": 5.0,
    }


MOMENTS = [
    KernelCase(
        name="update_moments",
        family="running_moments",
        function=kernels.update_moments,
        make_inputs=_moments_inputs,
        outputs=lambda result: (result[0], result[1], np.array(result[2])),
        n_out=2,
        in_place=("mean", "variance"),
        units=2,
        why="sums in float64; for float64 inputs their order matters in the last digits",
        bytes=lambda size, itemsize: 5 * size * itemsize,
    ),
    KernelCase(
        name="normalize",
        family="running_moments",
        function=kernels.normalize,
        make_inputs=_normalize_inputs,
        in_place=("inputs",),
        units=4,
        why="a square root, a difference and a quotient in float64, then one rounding",
        bytes=lambda size, itemsize: 10 * size * itemsize,
    ),
]


def act_on_buffers(
    params: Array, observations: Array, *, layout: ActorCriticLayout, backend: str, deterministic: bool = False
) -> tuple[Array, Array, Array]:
    """Bind an actor to new buffers, act once on every row; returns actions, log-probabilities and values."""
    dtype, rows = observations.dtype, observations.shape[:2]
    actions = np.zeros((*rows, layout.head.n_actions), layout.head.action_dtype(dtype))
    log_probs, values = np.zeros(rows, dtype), np.zeros(rows, dtype)
    actor = kernels.bind_actor(
        observations, actions, log_probs, values, layout=layout, seed=2**63 + 1, stream=1, backend=backend
    )
    actor.set_parameters(params)
    for t in range(len(observations)):
        if deterministic:
            actor.act_deterministic(t)
        else:
            actor.act(t, 2**32 + t)
    return actions, log_probs, values


def _actor_case(name: str, **options: Any) -> KernelCase:
    layout = LAYOUTS[name]

    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        observations = rng.standard_normal((3, size, layout.observation_size)).astype(dtype)
        params = random_actor_critic_params(layout, dtype, rng)
        return {"params": params, "observations": observations, "layout": layout, **options}

    return KernelCase(
        name=f"actor_{name}" + ("_deterministic" if options else ""),
        family="actor",
        function=act_on_buffers,
        make_inputs=make,
        outputs=tuple,
        n_out=0,
        bench_sizes=(1, 8),
        units=256,
        why=f"{WHY_NETWORK}, then {WHY_HEAD}; normal numbers are those of float32",
        single=layout.head.kind == "gaussian",
    )


ACTORS = [*(_actor_case(name) for name in LAYOUTS), _actor_case("cartpole", deterministic=True)]

CASES = [
    *PHILOX,
    *GAE,
    *MLP,
    *HEAD_CASES,
    *LOSSES,
    *KL_GRADIENTS,
    *VECTORS,
    *MOMENTS,
    *UPDATES,
    *ACTORS,
    *SURROGATES,
    *FISHER,
    *CHOLESKY,
]
