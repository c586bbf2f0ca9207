"""Cases of the proximal side: PPO's loss and update with every surrogate and penalty, and the gradient of KL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout
from tests.kernels.case import (
    LAYOUTS,
    WHY_HEAD,
    WHY_NETWORK,
    Array,
    Inputs,
    KernelCase,
    loss_flops,
    mlp_flops,
    random_actor_critic_params,
    random_samples,
)


def old_policy(layout: ActorCriticLayout, size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
    """Head inputs and log_std of some policy near those that random parameters give."""
    head_inputs = 0.8 * rng.standard_normal((size, layout.head.n_inputs))
    log_std = -0.4 + 0.2 * rng.standard_normal(layout.head.n_log_std)
    return {"old_head_inputs": head_inputs.astype(dtype), "old_log_std": log_std.astype(dtype)}


def _loss_inputs(layout: ActorCriticLayout, **options: Any) -> Callable[[int, Any, np.random.Generator], Inputs]:
    coefficients = {"clip_range": 0.2, "vf_coef": 0.5, "ent_coef": 0.01, "normalize_advantage": True}

    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        params = random_actor_critic_params(layout, dtype, rng)
        samples = random_samples(layout, params, size, rng)
        old = old_policy(layout, size, dtype, rng) if "kl_coef" in options else {}
        return {"params": params, **samples, "layout": layout, **coefficients, **options, **old}

    return make


def _loss_outputs(result: Any) -> tuple[Array, ...]:
    gradient, stats = result
    return gradient, np.array(list(vars(stats).values()))


def _loss_case(name: str, layout: str, **options: Any) -> KernelCase:
    return KernelCase(
        name=f"clipped_loss_{name}",
        family="clipped_loss",
        function=kernels.clipped_loss_gradient,
        make_inputs=_loss_inputs(LAYOUTS[layout], **options),
        outputs=_loss_outputs,
        units=1024 if options.keys() & {"surrogate", "kl_coef"} else 256,
        why=f"{WHY_NETWORK}; ratios up to 2 times normalised advantages up to 3, over the mean; a barrier divides by "
        "slacks of 0.02, a KL cancels terms four times as large",
        has_threads=True,
        flops=loss_flops(LAYOUTS[layout]),
    )


LOSSES = [
    _loss_case("cartpole", "cartpole"),
    _loss_case("halfcheetah", "halfcheetah", ent_coef=0.0),
    _loss_case("multi_categorical", "multi_categorical_relu", clip_range_vf=0.2),
    _loss_case("bernoulli", "bernoulli_linear", normalize_advantage=False, vf_coef=0.0),
    _loss_case("gaussian_wide", "gaussian_wide", clip_range_vf=0.1, clip_range=np.inf),
    _loss_case("closed_clip_ranges", "cartpole", clip_range_vf=0.0, clip_range=0.0),
    _loss_case("dual_clip", "cartpole", dual_clip=1.5),
    _loss_case("ratio", "halfcheetah", surrogate="ratio"),
    _loss_case("barrier", "multi_categorical_relu", surrogate="barrier", constraint_coef=0.03),
    _loss_case("penalty", "gaussian_wide", surrogate="penalty", constraint_coef=1.3, clip_range=0.3),
    _loss_case("tsallis", "bernoulli_linear", surrogate="tsallis", constraint_coef=0.7, tsallis_q=1.5),
    *(
        _loss_case(f"kl_{direction}_{name}", name, kl_coef=0.7, kl_direction=direction)
        for name in ("multi_categorical_relu", "bernoulli_linear", "gaussian_wide")
        for direction in ("old_new", "new_old")
    ),
]


def _update_inputs(layout: ActorCriticLayout, **options: Any) -> Callable[[int, Any, np.random.Generator], Inputs]:
    defaults: Inputs = {
        "n_epochs": 2,
        "batch_size": 64,
        "max_grad_norm": 0.5,
        "learning_rate": 1e-3,
        "adam_step": 5,
        "seed": 2**40 + 3,
        "update_index": 9,
    }

    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        loss = _loss_inputs(layout)(size, dtype, rng)
        first_moment = (1e-3 * rng.standard_normal(layout.n_params)).astype(dtype)
        second_moment = (1e-4 * (1 + rng.random(layout.n_params))).astype(dtype)
        moments = {"first_moment": first_moment, "second_moment": second_moment}
        return {**loss, **moments, **defaults, **options}

    return make


def _update_outputs(result: Any) -> tuple[Array, ...]:
    stats = np.array(list(vars(result.stats).values()), np.float64)
    return result.params, result.first_moment, result.second_moment, stats, np.array(result.adam_step)


def _update_case(name: str, layout: str, **options: Any) -> KernelCase:
    return KernelCase(
        name=f"ppo_update_{name}",
        family="ppo_update",
        function=kernels.ppo_update,
        make_inputs=_update_inputs(LAYOUTS[layout], **options),
        outputs=_update_outputs,
        n_out=3,
        sizes=(1, 2, 7, 65, 130, 200),
        bench_sizes=(2048,),
        units=2000,
        why="the loss gradient's error, divided by sqrt(second moment) about 1e-2, times the rate 1e-3, over the steps",
        has_threads=True,
        flops=lambda size: options.get("n_epochs", 2) * loss_flops(LAYOUTS[layout])(size),
    )


UPDATES = [
    _update_case("cartpole", "cartpole"),
    _update_case("halfcheetah", "halfcheetah"),
    _update_case("ragged", "multi_categorical_relu", batch_size=11, clip_range_vf=0.2, n_epochs=3),
    _update_case("kl_stop", "gaussian_wide", batch_size=16, target_kl=0.02, n_epochs=4, learning_rate=3e-3),
    _update_case("plain", "bernoulli_linear", normalize_advantage=False, max_grad_norm=np.inf, ent_coef=-0.01),
]

# --- actor ----------------------------------------------------------------------------------------------------------

UPDATES += [
    _update_case("proximal_kl_categorical", "cartpole", kl_coef=0.5, first_epoch=3),
    _update_case(
        "proximal_kl_gaussian", "gaussian_wide", kl_coef=2.0, kl_direction="new_old", surrogate="ratio", batch_size=11
    ),
    _update_case("proximal_barrier", "halfcheetah", surrogate="barrier", constraint_coef=0.02),
    _update_case("proximal_tsallis", "bernoulli_linear", surrogate="tsallis", constraint_coef=1.0, tsallis_q=2.0),
]


def _kl_inputs(layout: ActorCriticLayout, direction: str) -> Callable[[int, Any, np.random.Generator], Inputs]:
    def make(size: int, dtype: Any, rng: np.random.Generator) -> Inputs:
        params = random_actor_critic_params(layout, dtype, rng)[: layout.actor.n_params]
        return {
            "params": params,
            "observations": rng.standard_normal((size, layout.observation_size)).astype(dtype),
            **old_policy(layout, size, dtype, rng),
            "weights": (0.3 + rng.random(size)).astype(dtype),
            "layout": layout.actor,
            "direction": direction,
        }

    return make


KL_GRADIENTS = [
    KernelCase(
        name=f"kl_gradient_{direction}_{name}",
        family="kl_gradient",
        function=kernels.kl_gradient,
        make_inputs=_kl_inputs(layout, direction),
        units=256,
        why=f"{WHY_NETWORK}; {WHY_HEAD}",
        has_threads=True,
        flops=mlp_flops(layout.policy, backward=True),
    )
    for name, layout in LAYOUTS.items()
    for direction in ("old_new", "new_old")
]
