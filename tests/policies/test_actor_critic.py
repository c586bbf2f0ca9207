"""ActorCritic: what it computes, what it refuses, how its parameters are named."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.errors import NumericsError
from fastpg.kernels.layout import HeadLayout
from fastpg.policies import ActorCritic

CATEGORICAL = HeadLayout("categorical", (3, 2))
GAUSSIAN = HeadLayout("gaussian", (1, 1))
BERNOULLI = HeadLayout("bernoulli", (1, 1, 1))


def policy_of(head, **arguments):
    return ActorCritic.create(4, head, net_arch=arguments.pop("net_arch", [8]), seed=1, **arguments)


def observations(n=5):
    return np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_computes_its_networks(activation):
    policy = policy_of(CATEGORICAL, activation=activation, ortho_init=False)
    named = policy.named_parameters()
    rows = observations()
    function = np.tanh if activation == "tanh" else lambda x: np.maximum(x, 0)

    def network(name):
        hidden = function(rows @ named[f"{name}/0/weight"] + named[f"{name}/0/bias"])
        return hidden @ named[f"{name}/1/weight"] + named[f"{name}/1/bias"]

    np.testing.assert_allclose(policy.head_inputs(rows), network("policy"), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(policy.values(rows), network("value")[:, 0], rtol=1e-5, atol=1e-6)


def test_named_parameters_are_read_only_views_of_everything():
    policy = policy_of(GAUSSIAN, net_arch={"pi": [8], "vf": []})
    named = policy.named_parameters()
    assert list(named) == [
        "policy/0/weight",
        "policy/0/bias",
        "policy/1/weight",
        "policy/1/bias",
        "log_std",
        "value/0/weight",
        "value/0/bias",
    ]
    assert sum(view.size for view in named.values()) == policy.layout.n_params
    assert named["policy/0/weight"].shape == (4, 8)
    for view in (*named.values(), policy.params):
        assert np.shares_memory(view, policy.params)
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    assert "log_std" not in policy_of(CATEGORICAL).named_parameters()


@pytest.mark.parametrize("head", [CATEGORICAL, GAUSSIAN, BERNOULLI], ids=lambda head: head.kind)
def test_actions(head):
    policy = policy_of(head)
    rows = observations(50)
    sampled = policy.act(rows, seed=3, step=1)
    assert sampled.shape == (50, head.n_actions)
    assert sampled.dtype == (np.float32 if head.kind == "gaussian" else np.int32)
    np.testing.assert_array_equal(sampled, policy.act(rows, seed=3, step=1))
    assert not np.array_equal(sampled, policy.act(rows, seed=3, step=2))
    assert not np.array_equal(sampled, policy.act(rows, seed=4, step=1))
    likeliest = policy.act(rows, deterministic=True)
    np.testing.assert_array_equal(likeliest, policy.act(rows, deterministic=True, seed=9, step=9))
    if head.kind == "gaussian":
        np.testing.assert_array_equal(likeliest, policy.head_inputs(rows))


def test_set_params_copies():
    policy = policy_of(CATEGORICAL)
    params = np.arange(policy.layout.n_params, dtype=np.float64)
    policy.set_params(params)
    params[:] = 0
    assert policy.params[-1] == policy.layout.n_params - 1
    assert policy.params.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_refused_by_name(value):
    policy = policy_of(GAUSSIAN)
    before = policy.params.copy()
    params = before.copy()
    params[policy.layout.policy.n_params + 1] = value
    with pytest.raises(NumericsError, match=rf"got {value} at index \d+ \(log_std\). The parameters are unchanged"):
        policy.set_params(params)
    np.testing.assert_array_equal(policy.params, before)


def test_parameters_of_another_length_are_refused():
    policy = policy_of(GAUSSIAN)
    with pytest.raises(ValueError, match=r"params: expected shape \(\d+,\), got \(3,\)"):
        policy.set_params(np.zeros(3))
