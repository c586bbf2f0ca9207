"""Initial parameters: orthogonality, gains, PyTorch's default, and that nothing but the seed decides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpg.kernels.layout import HeadLayout
from fastpg.policies import ActorCritic
from fastpg.policies.architecture import actor_critic_layout
from fastpg.policies.initialization import initial_params, orthogonal


def layers(params, layout):
    policy, log_std, value = layout.split(params)
    return layout.policy.views(policy), log_std, layout.value.views(value)


LAYOUT = actor_critic_layout(6, HeadLayout("gaussian", (1, 1, 1)), net_arch={"pi": [16, 12], "vf": [10]})


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 4), (4, 1), (1, 1)])
def test_orthogonal(shape):
    matrix = orthogonal(*shape, np.random.default_rng(0))
    assert matrix.shape == shape
    product = matrix.T @ matrix if shape[0] >= shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)


def test_orthogonal_is_uniformly_distributed():
    """Every column of a Haar matrix has mean 0; QR without the sign of R would not."""
    rng = np.random.default_rng(0)
    mean = np.mean([orthogonal(3, 3, rng) for _ in range(3000)], axis=0)
    assert np.abs(mean).max() < 5 * math.sqrt(1 / 3 / 3000)


def test_gains_of_orthogonal_initialisation():
    policy, log_std, value = layers(initial_params(LAYOUT, seed=0, log_std_init=-0.5), LAYOUT)
    gains = [[np.linalg.norm(weight, 2) for weight, _ in net] for net in (policy, value)]
    np.testing.assert_allclose(gains[0], [math.sqrt(2), math.sqrt(2), 0.01], rtol=1e-5)
    np.testing.assert_allclose(gains[1], [math.sqrt(2), 1.0], rtol=1e-5)
    assert all((bias == 0).all() for net in (policy, value) for _, bias in net)
    np.testing.assert_array_equal(log_std, np.float32(-0.5))


def test_default_initialisation_of_pytorch():
    layout = actor_critic_layout(100, HeadLayout("categorical", (2,)), net_arch=[400])
    policy, _, value = layers(initial_params(layout, seed=0, ortho_init=False), layout)
    for weight, bias in (*policy, *value):
        bound = 1 / math.sqrt(weight.shape[0])
        assert np.abs(weight).max() <= bound
        assert np.abs(bias).max() <= bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert policy[0][1].std() > 0


def test_only_the_seed_decides():
    np.random.seed(0)  # noqa: NPY002 - the global generator must play no role
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = initial_params(LAYOUT, seed=3)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.testing.assert_array_equal(first, initial_params(LAYOUT, seed=3))
    assert not np.array_equal(first, initial_params(LAYOUT, seed=4))
    assert first.dtype == np.float32


def test_a_large_seed():
    ActorCritic.create(2, HeadLayout("categorical", (2,)), seed=2**64 - 1)
