"""Gradients against central finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import Activation, HeadLayout, MLPLayout
from tests.kernels.cases import HEADS, actor_critic, random_actor_critic_params, random_params, random_samples

Array = NDArray[Any]
#: (machine epsilon)^(1/3): balances the truncation error h^2 against the cancellation epsilon / h.
STEP = 6e-6
ACTIVATIONS: list[Activation] = ["tanh", "relu"]


def finite_differences(function: Callable[[Array], float], params: Array) -> Array:
    gradient = np.zeros_like(params)
    for i in range(len(params)):
        shifted = params.copy()
        shifted[i] = params[i] + STEP
        above = function(shifted)
        shifted[i] = params[i] - STEP
        gradient[i] = (above - function(shifted)) / (2 * STEP)
    return gradient


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 2), (2, 4, 3, 1)])
def test_mlp_backward(backend: str, sizes: tuple[int, ...], activation: Activation) -> None:
    layout = MLPLayout(sizes, activation)
    rng = np.random.default_rng(1)
    params = random_params(layout, np.float64, rng)
    inputs = rng.standard_normal((6, sizes[0]))
    output_gradient = rng.standard_normal((6, sizes[-1]))

    def objective(theta: Array) -> float:
        outputs = kernels.mlp_forward(theta, inputs, layout=layout, backend=backend)
        return float((outputs * output_gradient).sum())

    gradient = kernels.mlp_backward(params, inputs, output_gradient, layout=layout, backend=backend)
    np.testing.assert_allclose(gradient, finite_differences(objective, params), rtol=0, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("clip_range_vf", [None, 0.2])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_clipped_loss_gradient(
    backend: str, head: HeadLayout, clip_range_vf: float | None, activation: Activation
) -> None:
    """Of the whole loss, entropy and clipped values included; the loss is the first of the statistics."""
    layout = actor_critic(head, observation_size=2, hidden=(4, 3), activation=activation)
    rng = np.random.default_rng(3)
    params = random_actor_critic_params(layout, np.float64, rng)
    samples = random_samples(layout, params, 9, rng)
    options: dict[str, Any] = {
        "layout": layout,
        "clip_range": 0.3,
        "clip_range_vf": clip_range_vf,
        "vf_coef": 0.7,
        "ent_coef": 0.2,
        "normalize_advantage": True,
        "backend": backend,
    }

    def loss(theta: Array) -> float:
        return kernels.clipped_loss_gradient(theta, **samples, **options)[1].loss

    gradient, stats = kernels.clipped_loss_gradient(params, **samples, **options)
    assert 0 < stats.clip_fraction < 1, "both branches of the surrogate must be tested"
    np.testing.assert_allclose(gradient, finite_differences(loss, params), rtol=0, atol=2e-8)


def test_a_clipped_sample_has_no_gradient(backend: str) -> None:
    """A > 0 and ratio above 1 + clip_range: only the entropy and the value move."""
    layout = actor_critic(HEADS["gaussian"], observation_size=2, hidden=(3,))
    rng = np.random.default_rng(0)
    params = random_actor_critic_params(layout, np.float64, rng)
    samples = random_samples(layout, params, 1, rng)
    for advantage, shift, is_zero in ((1.0, -1.0, True), (-1.0, -1.0, False), (1.0, 1.0, False), (-1.0, 1.0, True)):
        samples["advantages"][:] = advantage
        moved = {**samples, "old_log_probs": samples["old_log_probs"] + 2 * shift}
        gradient, stats = kernels.clipped_loss_gradient(
            params,
            **moved,
            layout=layout,
            clip_range=0.2,
            vf_coef=0.0,
            ent_coef=0.0,
            normalize_advantage=False,
            backend=backend,
        )
        assert stats.clip_fraction == 1
        assert (np.abs(gradient).max() == 0) == is_zero


def test_the_gradient_at_the_old_policy_is_that_of_vanilla_policy_gradient(backend: str) -> None:
    """Ratio 1, infinite clip range: the gradient is -mean(A grad log pi), whatever the clip range."""
    layout = actor_critic(HEADS["categorical"], observation_size=3, hidden=(5,))
    rng = np.random.default_rng(4)
    params = random_actor_critic_params(layout, np.float64, rng)
    samples = random_samples(layout, params, 12, rng)
    policy, log_std, _ = layout.split(params)

    def mean_weighted_log_prob(theta: Array) -> float:
        inputs = kernels.mlp_forward(theta, samples["observations"], layout=layout.policy, backend=backend)
        log_probs = kernels.log_prob(inputs, log_std, samples["actions"], head=layout.head, backend=backend)
        return float((log_probs * samples["advantages"]).mean())

    head_inputs = kernels.mlp_forward(policy, samples["observations"], layout=layout.policy, backend=backend)
    samples["old_log_probs"] = kernels.log_prob(
        head_inputs, log_std, samples["actions"], head=layout.head, backend=backend
    )
    expected = -finite_differences(mean_weighted_log_prob, policy.copy())
    for clip_range in (0.2, np.inf):
        gradient, stats = kernels.clipped_loss_gradient(
            params,
            **samples,
            layout=layout,
            clip_range=clip_range,
            vf_coef=0.0,
            ent_coef=0.0,
            normalize_advantage=False,
            backend=backend,
        )
        np.testing.assert_allclose(layout.split(gradient)[0], expected, rtol=0, atol=1e-8)
        assert stats.approx_kl == pytest.approx(0, abs=1e-15)
        assert stats.clip_fraction == 0
