"""Algorithms that become one another at the ends of their parameters: PPO without its parts is the policy gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastpg.kernels.clipped_loss import clipped_loss_gradient
from fastpg.kernels.layout import HeadLayout
from fastpg.updates.acceptance import AcceptFinite
from fastpg.updates.directions import Direction, Gradient
from fastpg.updates.gradient_step import AdamDirection
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.proximal import ClippedRatio, KLStop, MinibatchAdam, ProximalUpdate, ValueAndEntropy
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.step_length import FixedStep
from tests.updates.samples import BACKEND, CATEGORICAL, GAUSSIAN, make_data

N_SAMPLES = 24
SCHEDULE: dict[str, Any] = {"progress_remaining": 1.0, "seed": 0, "update_index": 0}
HEADS = [CATEGORICAL, GAUSSIAN]
#: Adam with such an epsilon divides every gradient by it: plain steps of size learning_rate / epsilon.
HUGE = 1e10


def ppo(*, learning_rate: float, epsilon: float, clip_range: float) -> ProximalUpdate:
    """One epoch over the whole batch, no value loss, no bound on the gradient."""
    return ProximalUpdate(
        surrogate=ClippedRatio(clip_range=clip_range, normalize_advantage=True),
        penalty=ValueAndEntropy(vf_coef=0.0, ent_coef=0.01, clip_range_vf=None),
        inner_loop=MinibatchAdam(
            learning_rate=learning_rate,
            n_epochs=1,
            batch_size=N_SAMPLES,
            max_grad_norm=math.inf,
            beta1=0.9,
            beta2=0.999,
            epsilon=epsilon,
        ),
        stop=KLStop(target_kl=None),
    )


def policy_gradient(direction: Direction, step_size: float) -> LocalModelUpdate:
    return LocalModelUpdate(
        surrogate=Ratio(normalize_advantage=True, ent_coef=0.01),
        proximity=KLOldNew(),
        direction=direction,
        radius=FixedStep(step_size),
        acceptance=AcceptFinite(),
    )


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
@pytest.mark.parametrize("clip_range", [0.2, 1e9])
def test_ppo_with_one_plain_full_batch_step_is_vpg(head: HeadLayout, clip_range: float) -> None:
    """Whatever the clip range: at theta_old every ratio is 1."""
    state, data = make_data(9, head, N_SAMPLES)
    proximal, _ = ppo(learning_rate=0.1 * HUGE, epsilon=HUGE, clip_range=clip_range)(state, data, **SCHEDULE)
    local, report = policy_gradient(Gradient(), 0.1)(state, data, **SCHEDULE)
    assert report.step_norm > 1e-3
    np.testing.assert_allclose(proximal.params, local.params, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_ppo_with_one_full_batch_step_of_adam_is_vpg_with_adam(head: HeadLayout) -> None:
    """Adam works on each parameter alone, so the value network beside it changes nothing."""
    state, data = make_data(9, head, N_SAMPLES)
    proximal, _ = ppo(learning_rate=0.1, epsilon=1e-5, clip_range=0.2)(state, data, **SCHEDULE)
    adam = AdamDirection(beta1=0.9, beta2=0.999, epsilon=1e-5)
    local, _ = policy_gradient(adam, 0.1)(state, data, **SCHEDULE)
    np.testing.assert_allclose(proximal.params, local.params, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_unclipped_loss_is_minus_the_surrogate_everywhere(head: HeadLayout) -> None:
    state, data = make_data(9, head, N_SAMPLES)
    size = data.layout.actor.n_params
    away = state.params + 0.3 * np.random.default_rng(2).standard_normal(state.params.size)
    batch = data.batch
    loss, stats = clipped_loss_gradient(
        away,
        batch.observations,
        batch.actions,
        batch.old_log_probs,
        batch.advantages,
        batch.returns,
        batch.old_values,
        layout=data.layout,
        clip_range=math.inf,
        vf_coef=0.0,
        ent_coef=0.0,
        normalize_advantage=False,
        backend=BACKEND,
    )
    problem = data.policy_problem(state.params, normalize_advantage=False)
    gradient, value = problem.surrogate_gradient(away[:size])
    assert abs(stats.approx_kl) > 1e-3
    np.testing.assert_allclose(gradient, -loss[:size], rtol=1e-9, atol=1e-12)
    assert value.surrogate == pytest.approx(-stats.policy_gradient_loss, rel=1e-12)
