"""MDPO's proximity: schedules of t_k, critic apart from the policy, and the limits that tie it to other members."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastpg.kernels.adam import adam_step
from fastpg.kernels.clipped_loss import clipped_loss_gradient
from fastpg.updates.critic import AdamCritic, NoCritic
from fastpg.updates.inner_loop import MinibatchAdam
from fastpg.updates.kl_penalty import KLPenalty
from fastpg.updates.mirror_descent import ConstantSteps, LinearSteps, MirrorStep, ShaniSteps
from fastpg.updates.proximal import ClippedRatio, ValueAndEntropy
from tests.updates.test_proximal import LAYOUT, make_batch, make_update, run, state

__all__ = ["state"]
LOOP = MinibatchAdam(
    learning_rate=1e-3, n_epochs=4, batch_size=None, max_grad_norm=0.5, beta1=0.9, beta2=0.999, epsilon=1e-5
)
FREE = ClippedRatio(clip_range=math.inf, normalize_advantage=True, is_clipped=False)
NO_VALUE = ValueAndEntropy(vf_coef=0.0, ent_coef=0.0, clip_range_vf=None)
CRITIC = AdamCritic(learning_rate=1e-3, n_epochs=2, batch_size=8)


def mirrored(**changes: Any) -> Any:
    parts = {"surrogate": FREE, "penalty": NO_VALUE, "inner_loop": LOOP, "critic": CRITIC}
    return make_update(**{**parts, "proximity": MirrorStep(steps=ConstantSteps(start=0.5)), **changes})


def test_linear_steps_go_from_the_start_to_one_kth(state: Any) -> None:
    steps, n_updates, now, found = LinearSteps(start=2.0), 4, state, []
    for k in range(n_updates):
        progress = 1 - (k + 1) / n_updates  # at the end of the rollout that this update uses
        found.append(steps(now, progress_remaining=progress, update_index=k))
        now = now.remember({"progress_remaining": progress})
    assert found == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert steps(now, progress_remaining=0.75, update_index=n_updates) == 2.0, "a second run begins again"


def test_steps_of_shani(state: Any) -> None:
    free, regularised = ShaniSteps(start=3.0, entropy_weight=0.0), ShaniSteps(start=3.0, entropy_weight=0.1)
    for k in (0, 1, 8):
        assert free(state, progress_remaining=0.5, update_index=k) == pytest.approx(3.0 / math.sqrt(k + 1))
        assert regularised(state, progress_remaining=0.5, update_index=k) == pytest.approx(10 / (k + 2))


def test_the_weight_of_the_divergence_is_one_over_t(state: Any) -> None:
    batch = make_batch(np.random.default_rng(0))
    moment = {"progress_remaining": 0.5, "update_index": 0}
    step = MirrorStep(steps=ConstantSteps(start=0.25))
    assert step.arguments(state, batch, **moment) == {"kl_coef": 4.0, "kl_direction": "new_old"}
    scaled = replace(step, is_in_reward_units=True).arguments(state, batch, **moment)
    assert scaled["kl_coef"] == pytest.approx(4.0 / batch.advantages.std(dtype=np.float64))
    tsallis = replace(step, tsallis_q=2.0).arguments(state, batch, **moment)
    assert tsallis == {"surrogate": "tsallis", "constraint_coef": 4.0, "tsallis_q": 2.0}


def test_the_critic_is_apart_from_the_policy(state: Any) -> None:
    """The policy does not depend on the critic, nor the critic on the policy; each counts its own steps."""
    batch = make_batch(np.random.default_rng(0))
    n_policy = LAYOUT.actor.n_params
    new, report = run(mirrored(), state, batch)
    alone, _ = run(mirrored(critic=NoCritic()), state, batch)
    np.testing.assert_array_equal(new.params[:n_policy], alone.params[:n_policy])
    np.testing.assert_array_equal(alone.params[n_policy:], state.params[n_policy:])
    np.testing.assert_array_equal(alone.second_moment[n_policy:], state.second_moment[n_policy:])
    assert not np.array_equal(new.params[n_policy:], state.params[n_policy:])
    assert new.scalars["policy_step"] == report.n_optimizer_steps == 4
    assert new.step == 8
    second, _ = run(mirrored(), new, batch, update_index=1)
    assert (second.scalars["policy_step"], second.step) == (8, 16)


def test_policy_steps_do_not_restart_adam(state: Any) -> None:
    """Two updates of two steps each move the policy as one of four would, if both are relative to the same policy."""
    batch = make_batch(np.random.default_rng(0))
    far = MirrorStep(steps=ConstantSteps(start=1e12))
    one, _ = run(mirrored(proximity=far, critic=NoCritic()), state, batch)
    half = replace(LOOP, n_epochs=2)
    two = state
    for _ in range(2):
        two, _ = run(mirrored(proximity=far, inner_loop=half, critic=NoCritic()), two, batch)
    np.testing.assert_allclose(two.params, one.params, rtol=0, atol=1e-7)


def test_mirror_descent_is_ppo_with_a_reversed_penalty(state: Any) -> None:
    """The same steps as PPO's KL penalty with beta = 1 / t, once the critic is left out."""
    batch = make_batch(np.random.default_rng(0))
    penalty = KLPenalty(coefficient=2.0, direction="new_old")
    by_penalty, _ = run(mirrored(proximity=penalty, critic=None), state, batch)
    by_mirror, _ = run(mirrored(critic=None), state, batch)
    np.testing.assert_array_equal(by_penalty.params, by_mirror.params)


def test_one_unclipped_epoch_is_vanilla_policy_gradient(state: Any) -> None:
    """One step on the whole batch with an infinite clip range: Adam on -grad mean(A log pi), whatever the proximity."""
    batch = make_batch(np.random.default_rng(0))
    one_step = replace(LOOP, n_epochs=1, max_grad_norm=math.inf)
    new, _ = run(mirrored(inner_loop=one_step, critic=None), state, batch)
    gradient, _ = clipped_loss_gradient(
        state.params,
        *(getattr(batch, name) for name in ("observations", "actions", "old_log_probs", "advantages")),
        batch.returns,
        batch.old_values,
        layout=LAYOUT,
        clip_range=math.inf,
        vf_coef=0.0,
        ent_coef=0.0,
        normalize_advantage=True,
        backend="reference",
    )
    expected = adam_step(
        state.params, gradient, state.first_moment, state.second_moment, step=1, learning_rate=1e-3, backend="reference"
    )
    np.testing.assert_allclose(new.params, expected.params, rtol=0, atol=1e-6)


@pytest.mark.parametrize("q", [0.5, 2.0])
def test_tsallis_keeps_the_policy_near(state: Any, q: float) -> None:
    batch = make_batch(np.random.default_rng(0))
    many = replace(LOOP, n_epochs=60)
    near, far = (
        run(mirrored(inner_loop=many, proximity=MirrorStep(steps=ConstantSteps(start=t), tsallis_q=q)), state, batch)[
            1
        ].kl_old_new
        for t in (0.05, 50.0)
    )
    assert near < 0.5 * far
