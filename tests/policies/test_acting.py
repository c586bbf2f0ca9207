"""BoundPolicy acts as the policy does, with the parameters of the moment."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.kernels.layout import HeadLayout
from fastpg.policies import ActorCritic
from fastpg.policies.acting import BoundPolicy

HEADS = [
    HeadLayout("categorical", (3, 2)),
    HeadLayout("gaussian", (1, 1)),
    HeadLayout("bernoulli", (1, 1, 1)),
]


def policy_of(head, **arguments):
    return ActorCritic.create(4, head, net_arch=[8], seed=1, **arguments)


def observations(n):
    return np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("n_rows", [1, 5, 70])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_same_actions_as_the_policy(head, n_rows, backend):
    policy = policy_of(head, backend=backend)
    bound = BoundPolicy(policy, n_rows, seed=7)
    bound.observations[...] = observations(n_rows)
    for step in (1, 2, 2**40):
        expected = policy.act(observations(n_rows), seed=7, step=step)
        np.testing.assert_array_equal(bound.act(deterministic=False, step=step), expected)
    expected = policy.act(observations(n_rows), deterministic=True)
    np.testing.assert_array_equal(bound.act(deterministic=True, step=3), expected)


def test_follows_the_parameters():
    policy = policy_of(HEADS[1])
    bound = BoundPolicy(policy, 2, seed=0)
    bound.observations[...] = observations(2)
    before = bound.act(deterministic=True, step=0).copy()
    policy.set_params(2 * policy.params)
    after = bound.act(deterministic=True, step=0)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, policy.act(observations(2), deterministic=True))
