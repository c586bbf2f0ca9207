"""Cases of surrogate, value_update and rmsprop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout, MLPLayout
from tests.kernels import case as common

Array = NDArray[Any]
Inputs = common.Inputs
MakeInputs = Callable[[int, Any, np.random.Generator], Inputs]


def random_policy_sample(layout: ActorCriticLayout, size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    """Parameters of a policy, samples and an old policy not far from it; ratios in (0.5, 2)."""
    params = common.random_actor_critic_params(layout, dtype, rng)
    samples = common.random_samples(layout, params, size, rng)
    actor = layout.actor
    theta = params[: actor.n_params]
    old = theta + (0.05 * rng.standard_normal(actor.n_params)).astype(dtype)
    network, log_std = actor.split(old)
    head_inputs = kernels.mlp_forward(network, samples["observations"], layout=actor.policy, backend="reference")
    names = ("observations", "actions", "old_log_probs", "advantages")
    return {
        "params": theta,
        **{name: samples[name] for name in names},
        "old_head_inputs": head_inputs,
        "old_log_std": log_std.copy(),
        "layout": actor,
    }


def _surrogate_inputs(name: str, *, is_gradient: bool, **options: Any) -> MakeInputs:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        inputs = random_policy_sample(common.LAYOUTS[name], size, dtype, rng)
        if is_gradient:
            del inputs["old_head_inputs"], inputs["old_log_std"]
        return {**inputs, **options}

    return make


def _stats(value: Any) -> Array:
    return np.array(list(vars(value).values()), np.float64)


def _gradient_case(name: str, **options: Any) -> common.KernelCase:
    return common.KernelCase(
        name=f"surrogate_gradient_{name}",
        family="surrogate",
        function=kernels.surrogate_gradient,
        make_inputs=_surrogate_inputs(name, is_gradient=True, **options),
        outputs=lambda result: (result[0], _stats(result[1])),
        units=256,
        why=f"{common.WHY_NETWORK}; ratios up to 2 times advantages up to 6, over the mean",
        has_threads=True,
        flops=common.mlp_flops(common.LAYOUTS[name].policy, backward=True),
    )


def _evaluate_case(name: str, **options: Any) -> common.KernelCase:
    return common.KernelCase(
        name=f"surrogate_evaluate_{name}",
        family="surrogate",
        function=kernels.surrogate_evaluate,
        make_inputs=_surrogate_inputs(name, is_gradient=False, **options),
        outputs=lambda result: (_stats(result),),
        n_out=0,
        units=256,
        why=f"{common.WHY_NETWORK}; divergences are differences of logarithms of order 1",
        has_threads=True,
        flops=common.mlp_flops(common.LAYOUTS[name].policy, backward=False),
    )


def _hessian_case(name: str, **options: Any) -> common.KernelCase:
    make_gradient_inputs = _surrogate_inputs(name, is_gradient=True, **options)

    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        inputs = make_gradient_inputs(size, dtype, rng)
        return {**inputs, "vector": rng.standard_normal(len(inputs["params"])).astype(dtype)}

    flops = common.mlp_flops(common.LAYOUTS[name].policy, backward=True)
    return common.KernelCase(
        name=f"surrogate_hessian_vector_product_{name}",
        family="surrogate",
        function=kernels.surrogate_hessian_vector_product,
        make_inputs=make,
        units=512,
        why=f"{common.WHY_NETWORK}, twice; ratios times advantages up to 12 times R of 10, over the mean",
        has_threads=True,
        flops=lambda size: 3 * flops(size),
    )


def _value_inputs(layout: MLPLayout, **options: Any) -> MakeInputs:
    defaults: Inputs = {
        "n_epochs": 2,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "adam_step": 5,
        "seed": 2**40 + 3,
        "update_index": 9,
    }

    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        params = common.random_params(layout, dtype, rng)
        observations = rng.standard_normal((size, layout.sizes[0])).astype(dtype)
        values = kernels.mlp_forward(params, observations, layout=layout, backend="reference")[:, 0]
        return {
            "params": params,
            "first_moment": (1e-3 * rng.standard_normal(layout.n_params)).astype(dtype),
            "second_moment": (1e-4 * (1 + rng.random(layout.n_params))).astype(dtype),
            "observations": observations,
            "returns": (values + rng.standard_normal(size)).astype(dtype),
            "old_values": (values + 0.3 * rng.standard_normal(size)).astype(dtype),
            "layout": layout,
            **defaults,
            **options,
        }

    return make


def _value_outputs(result: Any) -> tuple[Array, ...]:
    return result.params, result.first_moment, result.second_moment, _stats(result.stats), np.array(result.adam_step)


def _value_case(name: str, layout: MLPLayout, **options: Any) -> common.KernelCase:
    flops = common.mlp_flops(layout, backward=True)
    return common.KernelCase(
        name=f"value_update_{name}",
        family="value_update",
        function=kernels.value_update,
        make_inputs=_value_inputs(layout, **options),
        outputs=_value_outputs,
        n_out=3,
        sizes=(1, 2, 7, 65, 130, 200),
        bench_sizes=(2048,),
        units=2000,
        why="the gradient's error, divided by sqrt(second moment) about 1e-2, times the rate 1e-3, over the steps",
        has_threads=True,
        flops=lambda size: options.get("n_epochs", 2) * flops(size),
    )


def _rmsprop_inputs(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    arrays = {name: rng.standard_normal(size).astype(dtype) for name in ("params", "gradient")}
    square_average = rng.random(size).astype(dtype)
    return {**arrays, "square_average": square_average, "learning_rate": 1e-2, "alpha": 0.9, "epsilon": 1e-5}


SURROGATES = [
    _gradient_case("cartpole", ent_coef=0.01),
    _gradient_case("halfcheetah"),
    _gradient_case("multi_categorical_relu", ent_coef=-0.3),
    _gradient_case("bernoulli_linear", ent_coef=0.1),
    _gradient_case("gaussian_wide", ent_coef=0.2),
    *(_evaluate_case(name, ent_coef=0.1) for name in common.LAYOUTS),
    _hessian_case("cartpole", ent_coef=0.1),
    _hessian_case("halfcheetah"),
    _hessian_case("multi_categorical_relu", ent_coef=0.3),
    _hessian_case("bernoulli_linear", ent_coef=-0.2),
    _hessian_case("gaussian_wide", ent_coef=0.2),
    _value_case("cartpole", common.LAYOUTS["cartpole"].value),
    _value_case("halfcheetah", common.LAYOUTS["halfcheetah"].value, max_grad_norm=0.5),
    _value_case("clipped", common.LAYOUTS["gaussian_wide"].value, batch_size=11, clip_range_vf=0.2, n_epochs=3),
    _value_case("linear", common.LAYOUTS["bernoulli_linear"].value, batch_size=200, clip_range_vf=0.0),
    common.KernelCase(
        name="rmsprop_step",
        family="rmsprop",
        function=kernels.rmsprop_step,
        make_inputs=_rmsprop_inputs,
        outputs=tuple,
        n_out=2,
        in_place=("params", "square_average"),
        sizes=common.VECTOR_SIZES,
        bench_sizes=(9155,),
        units=8,
        why="six roundings per element",
        flops=lambda size: 8 * size,
        bytes=lambda size, itemsize: 5 * size * itemsize,
    ),
]
