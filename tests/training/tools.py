"""Small models for the tests of training, and fingerprints of what they know."""

from __future__ import annotations

import hashlib
import json
import warnings
from typing import Any

import numpy as np

import fastpg

SMALL = {"n_steps": 8, "batch_size": 8, "n_epochs": 2, "policy_kwargs": {"net_arch": [8]}, "seed": 0}
N_ENVS = 2
N_SAMPLES = SMALL["n_steps"] * N_ENVS


def small_model(env: Any = "CartPole-v1", **changes: Any) -> fastpg.PPO:
    """A PPO model whose iterations take milliseconds on any backend."""
    arguments = {"backend": "reference", **SMALL, **changes}
    if isinstance(env, str):
        arguments.setdefault("n_envs", N_ENVS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="batch_size=.* does not divide")
        return fastpg.PPO("MlpPolicy", env, **arguments)


def fingerprint(model: fastpg.PPO) -> str:
    """A digest of every bit that a checkpoint of ``model`` would hold, but for the goal of the last ``learn``."""
    arrays, meta = model.state_dict()
    del meta["progress"]["total_timesteps"]
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def check_consistent(model: fastpg.PPO) -> None:
    """What acts, normalises and counts is what the committed state says."""
    state = model._state
    np.testing.assert_array_equal(model.policy.params, state.optimizer.params)
    assert np.isfinite(model.policy.params).all()
    assert model.collector.state_dict() == state.collector
    assert model.num_timesteps == state.num_timesteps
    for normalizer in (model.normalizer, model.collector.normalizer):
        assert (normalizer is None) == (state.normalizer is None)
        if normalizer is not None:
            for live, kept in zip(normalizer.snapshot()[:2], state.normalizer[:2], strict=True):
                assert live is kept
