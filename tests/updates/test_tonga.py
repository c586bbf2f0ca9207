"""TONGA against the dense formula on small nets, and its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpg.kernels.layout import HeadLayout, MLPLayout, PolicyLayout
from fastpg.updates.tonga import Block, Tonga, parameter_blocks

LAYOUT = PolicyLayout(MLPLayout((3, 5, 2), "tanh"), HeadLayout("gaussian", (1, 1)))
N_PARAMS = LAYOUT.n_params


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(27)


def tonga(**changes: Any) -> Tonga:
    defaults: dict[str, Any] = {"rank": 32, "n_minibatches": 4, "decay": 0.9, "damping": 0.3, "block": "neuron"}
    return Tonga(**{**defaults, **changes})


def dense(rule: Tonga, history: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The direction of the last update of ``history`` from the whole covariance, block-diagonal by a mask."""
    mask = np.zeros((N_PARAMS, N_PARAMS))
    blocks = [row for index in parameter_blocks(LAYOUT, rule.block) for row in index]
    for row in blocks:
        mask[np.ix_(row, row)] = 1.0
    ages = np.arange(len(history))[::-1]
    total = sum(rule.decay**age for age in ages)
    covariance = sum(
        rule.decay**age / total * np.einsum("i,ip,iq->pq", weights, gradients, gradients)
        for age, (gradients, weights) in zip(ages, history, strict=True)
    )
    gradients, weights = history[-1]
    damping = rule.damping * np.trace(covariance) / len(blocks)
    identity = np.eye(N_PARAMS)
    return damping * np.linalg.solve(damping * identity + covariance * mask, weights @ gradients)


def draw(rng: np.random.Generator, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    weights = rng.uniform(0.5, 1.5, n)
    return rng.standard_normal((n, N_PARAMS)), weights / weights.sum()


@pytest.mark.parametrize("block", ["neuron", "layer"])
def test_equals_the_dense_formula_while_the_rank_suffices(rng: np.random.Generator, block: Block) -> None:
    rule = tonga(block=block)
    history, factors = [], None
    for update in range(1, 6):
        history.append(draw(rng))
        result = rule.direction(*history[-1], factors, update=update, layout=LAYOUT)
        factors = result.factors
        np.testing.assert_allclose(result.direction, dense(rule, history), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("block", ["neuron", "layer"])
def test_every_parameter_is_in_one_block(block: Block) -> None:
    indices = np.concatenate([index.ravel() for index in parameter_blocks(LAYOUT, block)])
    assert sorted(indices) == list(range(N_PARAMS))


def test_block_of_a_neuron_is_its_incoming_weights_and_bias() -> None:
    (weight, bias), _ = LAYOUT.policy.views(np.arange(LAYOUT.policy.n_params))
    assert parameter_blocks(LAYOUT, "neuron")[0][2].tolist() == [*weight[:, 2], bias[2]]


def test_truncation_keeps_the_leading_eigenvectors(rng: np.random.Generator) -> None:
    gradients, weights = draw(rng, 8)
    full = tonga(block="layer").direction(gradients, weights, None, update=1, layout=LAYOUT).factors
    kept = tonga(block="layer", rank=2).direction(gradients, weights, None, update=1, layout=LAYOUT).factors
    np.testing.assert_array_equal(kept, full[:2])
    block = parameter_blocks(LAYOUT, "layer")[0][0]
    covariance = np.einsum("i,ip,iq->pq", weights, gradients[:, block], gradients[:, block])
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(np.sum(kept[:, block] ** 2, axis=1), eigenvalues[:2], rtol=1e-9)


def test_large_damping_gives_the_plain_gradient(rng: np.random.Generator) -> None:
    gradients, weights = draw(rng)
    result = tonga(damping=1e12).direction(gradients, weights, None, update=1, layout=LAYOUT)
    np.testing.assert_allclose(result.direction, weights @ gradients, rtol=1e-9)


def test_direction_scales_with_the_gradients(rng: np.random.Generator) -> None:
    gradients, weights = draw(rng)
    one, many = (
        tonga().direction(scale * gradients, weights, None, update=1, layout=LAYOUT).direction for scale in (1, 1e3)
    )
    np.testing.assert_allclose(many, 1e3 * one, rtol=1e-9)


def test_direction_ascends(rng: np.random.Generator) -> None:
    for damping in (1e-3, 1.0):
        gradients, weights = draw(rng)
        result = tonga(damping=damping).direction(gradients, weights, None, update=1, layout=LAYOUT)
        assert result.direction @ (weights @ gradients) > 0.0


def test_zero_gradients_give_zero() -> None:
    result = tonga().direction(np.zeros((4, N_PARAMS)), np.full(4, 0.25), None, update=1, layout=LAYOUT)
    assert not result.direction.any()
    assert not result.factors.any()


def test_a_single_gradient_and_single_precision(rng: np.random.Generator) -> None:
    gradient = rng.standard_normal((1, N_PARAMS)).astype(np.float32)
    result = tonga(n_minibatches=1).direction(gradient, np.ones(1), None, update=1, layout=LAYOUT)
    assert result.factors.dtype == np.float32
    assert np.isfinite(result.direction).all()
