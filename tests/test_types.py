"""Rollout and Batch: shapes, compaction of steps that are no transitions."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.types import Batch, Rollout


def rollout_of(valid):
    count = np.arange(valid.size, dtype=np.float32).reshape(valid.shape)
    no = np.zeros_like(valid)
    return Rollout(
        observations=np.stack([count, -count], axis=2),
        actions=count[..., None].astype(np.int32),
        rewards=count,
        terminated=no,
        truncated=no,
        values=count + 100,
        next_values=count,
        log_probs=-count,
        valid=valid,
    )


def test_flatten_keeps_time_major_order():
    batch = rollout_of(np.ones((3, 2), bool)).flatten(np.ones((3, 2), np.float32))
    assert len(batch) == 6
    np.testing.assert_array_equal(batch.observations, np.stack([np.arange(6), -np.arange(6)], axis=1))
    np.testing.assert_array_equal(batch.returns, np.arange(6) + 101)
    np.testing.assert_array_equal(batch.old_values, np.arange(6) + 100)
    np.testing.assert_array_equal(batch.old_log_probs, -np.arange(6))
    np.testing.assert_array_equal(batch.actions, np.arange(6)[:, None])


def test_flatten_drops_what_is_not_valid():
    valid = np.array([[True, False], [True, True], [False, True]])
    batch = rollout_of(valid).flatten(np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(batch.old_log_probs, -np.flatnonzero(valid))
    assert batch.actions.flags.c_contiguous
    assert batch.observations.shape == (4, 2)


def test_a_batch_has_one_length():
    fields = dict.fromkeys(("observations", "actions", "old_log_probs", "advantages", "returns"), np.zeros(3))
    with pytest.raises(ValueError, match="expected one number of samples in every field"):
        Batch(**fields, old_values=np.zeros(2))
