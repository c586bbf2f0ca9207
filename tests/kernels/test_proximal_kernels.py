"""Surrogates beside the clipped ratio, KL penalties and the gradient of KL: finite differences, limits, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout
from tests.kernels.case import HEADS, Inputs, actor_critic, random_actor_critic_params, random_samples
from tests.kernels.cases_proximal import old_policy
from tests.kernels.test_gradients import finite_differences
from tests.kernels.test_ppo_update import update_inputs

Array = NDArray[Any]
PLAIN: dict[str, Any] = {"vf_coef": 0.0, "ent_coef": 0.0, "normalize_advantage": False}
TERMS: dict[str, dict[str, Any]] = {
    "dual_clip": {"dual_clip": 1.3},
    "ratio": {"surrogate": "ratio"},
    "barrier": {"surrogate": "barrier", "constraint_coef": 0.05},
    "penalty": {"surrogate": "penalty", "constraint_coef": 1.7},
    "tsallis": {"surrogate": "tsallis", "constraint_coef": 0.8, "tsallis_q": 1.7},
}


def small_problem(head: HeadLayout, n_samples: int = 11) -> tuple[ActorCriticLayout, Array, Inputs, Inputs]:
    """(layout, parameters, samples, another policy's head inputs and log_std) in float64."""
    layout = actor_critic(head, observation_size=2, hidden=(4,))
    rng = np.random.default_rng(8)
    params = random_actor_critic_params(layout, np.float64, rng)
    samples = random_samples(layout, params, n_samples, rng)
    return layout, params, samples, old_policy(layout, n_samples, np.float64, rng)


def head_inputs(layout: ActorCriticLayout, params: Array, samples: Inputs) -> tuple[Array, Array]:
    policy, log_std, _ = layout.split(params)
    inputs = kernels.mlp_forward(policy, samples["observations"], layout=layout.policy, backend="reference")
    return inputs, log_std


def exact_kl(layout: ActorCriticLayout, params: Array, samples: Inputs, old: Inputs, direction: str) -> Array:
    new = head_inputs(layout, params, samples)
    pair = (*old.values(), *new) if direction == "old_new" else (*new, *old.values())
    return kernels.kl_old_new(*pair, head=layout.head, backend="reference")


@pytest.mark.parametrize("head", ["multi_categorical", "gaussian"])
@pytest.mark.parametrize("terms", TERMS)
def test_gradient_of_every_surrogate(backend: str, terms: str, head: str) -> None:
    layout, params, samples, _ = small_problem(HEADS[head])
    options = {**PLAIN, **TERMS[terms], "layout": layout, "clip_range": 0.25, "backend": backend}

    def loss(theta: Array) -> float:
        return kernels.clipped_loss_gradient(theta, **samples, **options)[1].loss

    gradient, stats = kernels.clipped_loss_gradient(params, **samples, **options)
    assert 0 < stats.clip_fraction < 1
    # STEP^2 / 6 times a third derivative, which grows with the curvature of the surrogate as the gradient does
    tolerance = 1e-7 * max(1.0, np.abs(gradient).max())
    np.testing.assert_allclose(gradient, finite_differences(loss, params), rtol=0, atol=tolerance)


@pytest.mark.parametrize("direction", ["old_new", "new_old"])
@pytest.mark.parametrize("head", HEADS)
def test_gradient_of_the_kl_penalty(backend: str, head: str, direction: str) -> None:
    """In the loss, and alone: the one is the mean of the other."""
    layout, params, samples, old = small_problem(HEADS[head])
    options = {**PLAIN, **TERMS["ratio"], "layout": layout, "clip_range": 0.2, "backend": backend}
    penalty: dict[str, Any] = {"kl_coef": 0.6, "kl_direction": direction, **old}

    def loss(theta: Array) -> float:
        return kernels.clipped_loss_gradient(theta, **samples, **options, **penalty)[1].loss

    gradient, stats = kernels.clipped_loss_gradient(params, **samples, **options, **penalty)
    assert stats.kl == pytest.approx(exact_kl(layout, params, samples, old, direction).mean(), rel=1e-12)
    np.testing.assert_allclose(gradient, finite_differences(loss, params), rtol=0, atol=3e-8)

    actor = params[: layout.actor.n_params]
    share = np.full(len(samples["advantages"]), 1 / len(samples["advantages"]))
    alone = kernels.kl_gradient(
        actor,
        samples["observations"],
        *old.values(),
        share,
        layout=layout.actor,
        direction=direction,
        backend=backend,  # type: ignore[arg-type]  # a parameter
    )
    without, _ = kernels.clipped_loss_gradient(params, **samples, **options)
    np.testing.assert_allclose((gradient - without)[: len(actor)], 0.6 * alone, rtol=0, atol=1e-13)


@pytest.mark.parametrize("direction", ["old_new", "new_old"])
def test_the_gradient_of_kl_vanishes_at_the_old_policy(backend: str, direction: Any) -> None:
    layout, params, samples, _ = small_problem(HEADS["gaussian"])
    inputs, log_std = head_inputs(layout, params, samples)
    weights = np.ones(len(inputs))
    gradient = kernels.kl_gradient(
        params[: layout.actor.n_params],
        samples["observations"],
        inputs,
        log_std.copy(),
        weights,
        layout=layout.actor,
        direction=direction,
        backend=backend,
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-13)


def test_a_penalty_of_the_size_of_the_advantages_is_the_clipped_ratio(backend: str) -> None:
    """For |A| = c: r A - c max(sign(A) (r - 1) - eps, 0) = min(r A, clip(r) A), value and gradient."""
    layout, params, samples, _ = small_problem(HEADS["gaussian"])
    samples["advantages"] = 1.5 * np.sign(samples["advantages"])
    results = [
        kernels.clipped_loss_gradient(
            params, **samples, **PLAIN, **terms, layout=layout, clip_range=0.2, backend=backend
        )
        for terms in ({}, {"surrogate": "penalty", "constraint_coef": 1.5})
    ]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=0, atol=1e-14)
    assert results[0][1].loss == pytest.approx(results[1][1].loss, rel=1e-13)


def test_masking_the_violators_is_the_clipped_gradient(backend: str) -> None:
    """sign(A) (r - 1) > eps: such a sample takes no part. Clipping does exactly that."""
    layout, params, samples, _ = small_problem(HEADS["categorical"])
    log_probs = kernels.log_prob(
        *head_inputs(layout, params, samples), samples["actions"], head=layout.head, backend="reference"
    )
    ratio = np.exp(log_probs - samples["old_log_probs"])
    is_violator = np.sign(samples["advantages"]) * (ratio - 1) > 0.2
    assert 0 < is_violator.sum() < len(ratio)
    options = {**PLAIN, "layout": layout, "clip_range": 0.2, "backend": backend}
    masked = {**samples, "advantages": np.where(is_violator, 0.0, samples["advantages"])}
    by_mask, _ = kernels.clipped_loss_gradient(params, **masked, **options, surrogate="ratio")
    by_clip, _ = kernels.clipped_loss_gradient(params, **samples, **options)
    np.testing.assert_allclose(by_mask, by_clip, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("q", "is_kl_new_old"), [(1 + 1e-5, True), (1e-5, False)])
def test_tsallis_becomes_the_estimate_of_kl(backend: str, q: float, is_kl_new_old: bool) -> None:
    """q to 1: mean(r log r - r + 1) estimates KL(new || old); q to 0: mean(r - 1 - log r) estimates KL(old || new)."""
    layout, params, samples, _ = small_problem(HEADS["categorical"])
    options = {**PLAIN, "layout": layout, "clip_range": 0.2, "backend": backend}
    plain = kernels.clipped_loss_gradient(params, **samples, **options, surrogate="ratio")[1].loss
    tsallis = {"surrogate": "tsallis", "constraint_coef": 1.0, "tsallis_q": q}
    divergence = kernels.clipped_loss_gradient(params, **samples, **options, **tsallis)[1].loss - plain
    log_probs = kernels.log_prob(
        *head_inputs(layout, params, samples), samples["actions"], head=layout.head, backend="reference"
    )
    log_ratio = log_probs - samples["old_log_probs"]
    r = np.exp(log_ratio)
    expected = (r * log_ratio - r + 1) if is_kl_new_old else (r - 1 - log_ratio)
    assert divergence == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kl_coef": 0.7, "kl_direction": "new_old", "surrogate": "ratio"},
        {"surrogate": "barrier", "constraint_coef": 0.02},
    ],
)
def test_updates_of_one_epoch_add_up_to_one_update(backend: str, options: dict[str, Any]) -> None:
    inputs = update_inputs("gaussian_wide", 49, np.float32, **options)
    whole = kernels.ppo_update(**inputs, backend=backend)
    state = [inputs.pop(name) for name in ("params", "first_moment", "second_moment")]
    old_params = state[0]
    for epoch in range(inputs.pop("n_epochs")):
        part = kernels.ppo_update(
            *state, **inputs, n_epochs=1, first_epoch=epoch, old_params=old_params, backend=backend
        )
        state, inputs["adam_step"] = list(part[:3]), part.adam_step
    for ours, theirs in zip(state, whole[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert inputs["adam_step"] == whole.adam_step


def test_a_heavy_kl_penalty_keeps_the_policy(backend: str) -> None:
    inputs = update_inputs("cartpole", 64, np.float32, n_epochs=8, learning_rate=3e-3, max_grad_norm=np.inf)
    inputs["old_log_probs"] = kernels.log_prob(
        *head_inputs(inputs["layout"], inputs["params"], inputs),
        inputs["actions"],
        head=inputs["layout"].head,
        backend="reference",
    )
    free, bound = (
        kernels.ppo_update(**inputs, surrogate="ratio", kl_coef=kl_coef, backend=backend).stats.approx_kl
        for kl_coef in (0.0, 30.0)
    )
    assert bound < 0.1 * free


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"surrogate": "clipped"}, "surrogate: expected one of 'clip', 'ratio'.*, got 'clipped'"),
        ({"kl_direction": "both"}, "kl_direction: expected one of 'old_new', 'new_old', got 'both'"),
        ({"dual_clip": 1.0}, "dual_clip: expected None, or a number > 1 with surrogate='clip', got 1.0"),
        ({"dual_clip": 3.0, "surrogate": "ratio"}, "dual_clip: .* got 3.0 with surrogate='ratio'"),
        ({"surrogate": "tsallis"}, "tsallis_q: expected a number > 0 other than 1"),
        ({"surrogate": "tsallis", "tsallis_q": 1.0}, "tsallis_q: expected a number > 0 other than 1"),
        ({"tsallis_q": 2.0}, "tsallis_q: .* else None, got 2.0 with surrogate='clip'"),
        ({"surrogate": "barrier", "clip_range": 0.0}, "clip_range: expected a number > 0 with surrogate='barrier'"),
        ({"constraint_coef": -1.0}, "constraint_coef: expected a number in"),
        ({"kl_coef": np.nan}, "kl_coef: expected a finite number"),
        ({"first_epoch": 2**16 - 3}, "first_epoch: expected an integer in"),
        ({"old_params": np.zeros(3, np.float32), "kl_coef": 1.0}, "old_params: expected shape"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], text: str) -> None:
    inputs = update_inputs("cartpole", 8, np.float32, **options)
    with pytest.raises(ValueError, match=text):
        kernels.ppo_update(**inputs, backend="reference")


def test_a_penalty_needs_the_old_policy() -> None:
    layout, params, samples, _ = small_problem(HEADS["gaussian"])
    with pytest.raises(TypeError, match="old_head_inputs: expected a NumPy array of float64, got NoneType"):
        kernels.clipped_loss_gradient(
            params, **samples, **PLAIN, layout=layout, clip_range=0.2, kl_coef=1.0, backend="reference"
        )


@pytest.mark.parametrize("direction", ["old_new", "new_old"])
@pytest.mark.parametrize("head", ["categorical", "gaussian"])
def test_a_heavy_kl_penalty_lands_on_the_natural_gradient(backend: str, head: str, direction: Any) -> None:
    """The maximiser of g's - beta mean KL tends to F^-1 g / beta, in either direction: both have the Hessian F.

    At that step the gradient of the penalty balances g up to terms of the size of the step, that is of 1 / beta.
    """
    layout = actor_critic(HEADS[head], observation_size=2, hidden=())
    rng = np.random.default_rng(3)
    actor = random_actor_critic_params(layout, np.float64, rng)[: layout.actor.n_params]
    observations = rng.standard_normal((20, 2))
    network, log_std = layout.actor.split(actor)
    inputs = kernels.mlp_forward(network, observations, layout=layout.policy, backend=backend)
    factors = kernels.fisher_factors(actor, observations, layout=layout.actor, backend=backend)
    fisher = factors.T @ factors / len(observations)
    g = fisher @ rng.standard_normal(len(actor))  # in the range of F, which is singular for a softmax
    share = np.full(len(observations), 1 / len(observations))
    residuals = []
    for beta in (1e2, 1e3):
        step = np.linalg.pinv(fisher, rcond=1e-10) @ g / beta
        slope = kernels.kl_gradient(
            actor + step,
            observations,
            inputs,
            log_std.copy(),
            share,
            layout=layout.actor,
            direction=direction,
            backend=backend,
        )
        residuals.append(np.linalg.norm(g - beta * slope) / np.linalg.norm(g))
    assert residuals[0] < 0.05
    assert residuals[1] < 0.2 * residuals[0]
