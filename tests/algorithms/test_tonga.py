"""TONGA as a direction of NPG: the covariance of the gradients decides where, the KL divergence how far."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.algorithms.npg import NPGConfig, npg
from fastpg.errors import ConfigError
from fastpg.updates.gradient_step import FACTORS, TongaDirection
from tests.envs import MatchingProbe
from tests.updates.samples import make_data

SETTINGS: dict[str, Any] = {"n_steps": 32, "seed": 0, "policy_kwargs": {"net_arch": [16]}, "gamma": 0.9}


def test_preset_composes_a_measured_direction() -> None:
    update = npg(NPGConfig.from_arguments({"preset": "tonga", "tonga_rank": 3}))
    assert isinstance(update.direction, TongaDirection)
    assert update.direction.is_measured
    assert update.direction.tonga.rank == 3


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"tonga_rank": 3}, {"tonga_rank", "direction"}),
        ({"direction": "tonga", "n_steps": 4}, {"tonga_n_minibatches", "n_steps"}),
        ({"direction": "tonga", "cg_warm_start": 0.9}, {"cg_warm_start", "direction"}),
        ({"direction": "tonga", "damping": "adaptive"}, {"damping", "direction"}),
        ({"direction": "tonga", "fisher": "empirical"}, {"fisher", "direction"}),
    ],
)
def test_contradiction_names_both_arguments(arguments: dict[str, Any], names: set[str]) -> None:
    with pytest.raises(ConfigError) as info:
        NPGConfig(**arguments)
    assert all(re.search(rf"\b{name}\b", str(info.value)) for name in names), str(info.value)


def test_step_has_the_divergence_of_the_radius() -> None:
    state, data = make_data(3, n_samples=200)
    update = npg(NPGConfig.from_arguments({"preset": "tonga", "target_kl": 1e-6, "damped_scale": False}))
    new, report = update(state, data, progress_remaining=1.0, seed=0, update_index=0)
    assert report.kl_old_new == pytest.approx(1e-6, rel=0.02)
    assert new.memory[FACTORS].shape == (8, data.layout.actor.n_params)


def test_damping_of_the_metric_shortens_the_step() -> None:
    state, data = make_data(3, n_samples=200)
    norms = []
    for arguments in ({"cg_damping": 0.1}, {"cg_damping": 0.01}, {"cg_damping": 0.1, "damped_scale": False}):
        update = npg(NPGConfig.from_arguments({"preset": "tonga", "target_kl": 1e-6, **arguments}))
        norms.append(update(state, data, progress_remaining=1.0, seed=0, update_index=0)[1].step_norm)
    assert norms == sorted(norms)
    assert len(set(norms)) == 3


def test_it_learns_which_action_matches() -> None:
    model = fastpg.NPG("MlpPolicy", [MatchingProbe] * 4, **SETTINGS, preset="tonga").learn(8_000)
    actions, _ = model.predict(np.array([[-1.0], [1.0]], np.float32), deterministic=True)
    assert actions.tolist() == [0, 1]
