"""The normaliser: statistics against NumPy, edge cases, snapshots and states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.errors import ConfigError
from fastpg.rollout import Normalizer


def batches(n=6, size=3, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(5.0, [1.0, 10.0, 0.1], (4, size)).astype(np.float32) for _ in range(n)]


@settings(deadline=None)  # the first example may compile the kernels
@given(n=st.integers(1, 10), seed=st.integers(0, 100))
def test_observation_statistics_do_not_depend_on_the_batches(n, seed):
    normalizer = Normalizer(3)
    rows = batches(n, seed=seed)
    for batch in rows:
        normalizer.update_observations(batch)
    moments = normalizer.observation_moments
    everything = np.concatenate(rows).astype(np.float64)
    np.testing.assert_allclose(moments.mean, everything.mean(axis=0), rtol=1e-3, atol=1e-3)
    assert moments.count == pytest.approx(4 * n + 1e-4)
    whole = Normalizer(3)
    whole.update_observations(np.concatenate(rows))
    np.testing.assert_allclose(moments.variance, whole.observation_moments.variance, rtol=1e-9)


def test_normalised_observations():
    normalizer = Normalizer(3, clip_observation=1.5)
    rows = np.concatenate(batches())
    normalizer.update_observations(rows)
    normalised = normalizer.normalize_observations(rows)
    moments = normalizer.observation_moments
    expected = np.clip((rows - moments.mean) / np.sqrt(moments.variance + 1e-8), -1.5, 1.5)
    np.testing.assert_allclose(normalised, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(normalised).max() == 1.5
    copy = rows.copy()
    assert normalizer.normalize_observations(copy, out=copy) is copy
    np.testing.assert_array_equal(copy, normalised)


def test_constant_observations_become_zero():
    normalizer = Normalizer(2)
    for _ in range(1000):
        normalizer.update_observations(np.full((8, 2), 3.0, np.float32))
    assert np.abs(normalizer.normalize_observations(np.full((1, 2), 3.0, np.float32))).max() < 1e-2


def test_rewards_are_scaled_not_centred():
    normalizer = Normalizer(1, gamma=0.5)
    normalizer.start(2)
    returns, seen = np.zeros(2), []
    rng = np.random.default_rng(0)
    for _ in range(50):
        rewards, ended = rng.normal(3.0, 2.0, 2), rng.random(2) < 0.2
        returns = returns * 0.5 + rewards
        seen.append(returns.copy())
        deviation = np.sqrt(np.var(seen) + 1e-8)
        normalised = normalizer.step_rewards(rewards, ended)
        if len(seen) > 10:
            np.testing.assert_allclose(normalised, np.clip(rewards / deviation, -10, 10), rtol=1e-3)
        returns = returns * ~ended


def test_rewards_of_steps_that_only_reset_do_not_count():
    normalizer = Normalizer(1)
    normalizer.start(2)
    normalizer.step_rewards(np.array([1.0, 0.0]), np.zeros(2, bool), np.array([True, False]))
    assert normalizer.return_moments.count == pytest.approx(1.0001)
    normalizer.step_rewards(np.array([0.0, 0.0]), np.zeros(2, bool), np.array([False, False]))
    assert normalizer.return_moments.count == pytest.approx(1.0001)


def test_parts_can_be_left_out():
    normalizer = Normalizer(1, normalize_observations=False, normalize_rewards=False)
    normalizer.start(1)
    observations = np.array([[4.0]], np.float32)
    normalizer.update_observations(observations)
    np.testing.assert_array_equal(normalizer.normalize_observations(observations), observations)
    assert normalizer.step_rewards(np.array([7.0]), np.array([False]))[0] == 7.0
    assert normalizer.observation_moments.count == normalizer.return_moments.count == 1e-4


def test_statistics_are_frozen_for_evaluation():
    normalizer = Normalizer(3)
    normalizer.start(4)
    normalizer.update_observations(batches()[0])
    before = normalizer.state_dict()
    normalizer.training = False
    normalizer.update_observations(batches()[1])
    normalizer.step_rewards(np.ones(4), np.zeros(4, bool))
    for name, array in normalizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_restore_goes_back_to_the_snapshot():
    normalizer = Normalizer(3, gamma=0.9)
    normalizer.start(4)

    def advance():
        normalizer.update_observations(batches()[2])
        return normalizer.step_rewards(np.arange(4.0), np.zeros(4, bool))

    advance()
    snapshot = normalizer.snapshot()
    first, state = advance(), normalizer.state_dict()
    normalizer.restore(snapshot)
    np.testing.assert_array_equal(advance(), first)
    for name, array in normalizer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_state_goes_into_another_normaliser():
    normalizer, other = Normalizer(3), Normalizer(3)
    normalizer.start(4)
    normalizer.update_observations(batches()[0])
    normalizer.step_rewards(np.arange(4.0), np.zeros(4, bool))
    other.load_state_dict(normalizer.state_dict())
    for name, array in normalizer.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])
        assert array.dtype == np.float64


def test_a_state_that_does_not_fit():
    with pytest.raises(ConfigError, match=r"expected shape \(2,\) for observation_mean, got \(3,\)"):
        Normalizer(2).load_state_dict(Normalizer(3).state_dict())
    with pytest.raises(ConfigError, match="got none of"):
        Normalizer(2).load_state_dict({})
