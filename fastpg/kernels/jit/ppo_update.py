"""A whole PPO update, composed of the Numba kernels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpg.kernels._compose import composed_ppo_update
from fastpg.kernels.jit.actor import KERNELS
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]


def ppo_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    n_epochs: int,
    batch_size: int,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    max_grad_norm: float,
    normalize_advantage: bool,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
    old_params: Array | None,
    target_kl: float | None,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adam_step: int,
    seed: int,
    update_index: int,
    first_epoch: int,
    out: tuple[Array, Array, Array],
    stats: Array,
    n_threads: int,
) -> None:
    """Epochs of shuffled minibatches."""
    composed_ppo_update(
        KERNELS,
        (params, first_moment, second_moment),
        (observations, actions, old_log_probs, advantages, returns, old_values),
        loss_arguments={
            "layout": layout,
            "clip_range": clip_range,
            "clip_range_vf": clip_range_vf,
            "vf_coef": vf_coef,
            "ent_coef": ent_coef,
            "normalize_advantage": normalize_advantage,
            "surrogate": surrogate,
            "constraint_coef": constraint_coef,
            "dual_clip": dual_clip,
            "tsallis_q": tsallis_q,
            "kl_coef": kl_coef,
            "kl_direction": kl_direction,
            "n_threads": n_threads,
        },
        adam_arguments={"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon},
        n_epochs=n_epochs,
        batch_size=batch_size,
        max_grad_norm=max_grad_norm,
        target_kl=target_kl,
        adam_step=adam_step,
        seed=seed,
        update_index=update_index,
        first_epoch=first_epoch,
        old_params=old_params,
        out=out,
        stats=stats,
    )
