"""NPG and TRPO as users train them: every option runs, a checkpoint goes on bit for bit, threads change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.errors import ConfigError
from fastpg.training.logging import Logger, Sink
from tests.envs import ContinuousTargetProbe, ObservationRewardProbe

SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_critic_updates": 2, "policy_kwargs": {"net_arch": [8]}}


def make(algorithm: Any = fastpg.TRPO, env: Any = ObservationRewardProbe, **arguments: Any) -> Any:
    return algorithm("MlpPolicy", [env, env], seed=0, **{**SMALL, **arguments})


@pytest.mark.parametrize("algorithm", [fastpg.TRPO, fastpg.NPG])
@pytest.mark.parametrize("env", [ObservationRewardProbe, ContinuousTargetProbe])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adaptive_radius": "surrogate", "damping": "adaptive"},
        {"adaptive_radius": "return"},
        {"adaptive_radius": "signal", "cg_warm_start": 0.95},
        {"damping": "signal"},
        {"solver": "cholesky", "damping_metric": "diag"},
        {"solver": "woodbury", "fisher": "empirical"},
        {"cg_warm_start": 0.95, "cg_backtracking": True, "prediction": "quadratic", "damped_scale": False},
        {"sub_sampling_factor": 2, "ent_coef": 0.01, "normalize_advantage": False},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
def test_every_option_trains(algorithm: Any, env: Any, options: dict[str, Any]) -> None:
    model = make(algorithm, env, **options)
    before = model.policy.params.copy()
    model.learn(3 * 64, log_interval=None)
    assert np.isfinite(model.policy.params).all()
    assert not np.array_equal(model.policy.params, before)
    assert model.n_updates == 3 - int(model._state.optimizer.scalars.get("n_steps_taken_back", 0))


@pytest.mark.parametrize("options", [{"constraint": "max_kl"}, {"check_improvement": False}, {"accept_ratio": 0.1}])
def test_every_option_of_trpo_trains(options: dict[str, Any]) -> None:
    make(**options).learn(2 * 64, log_interval=None)


def test_fixed_steps_train() -> None:
    make(fastpg.NPG, step_rule="fixed", step_size=0.1).learn(2 * 64, log_interval=None)


@pytest.mark.parametrize("mode", ["signal", "surrogate", "return"])
def test_adapted_state_is_in_the_checkpoint(mode: str, tmp_path: Path) -> None:
    """2 iterations, saved and loaded, and 2 more are those of a model that was not saved."""
    options = {"adaptive_radius": mode, "damping": "adaptive", "cg_warm_start": 0.9}
    model = make(**options)
    model.learn(2 * 64, log_interval=None)
    model.save(tmp_path / "model.fastpg")
    loaded = fastpg.load(tmp_path / "model.fastpg", [ObservationRewardProbe] * 2)
    saved, again = model._state.optimizer, loaded._state.optimizer
    assert dict(again.scalars) == dict(saved.scalars)
    assert {"trust_radius", "damping"} <= set(saved.scalars) or mode == "return"
    for name, array in saved.memory.items():
        np.testing.assert_array_equal(again.memory[name], array)
    model.set_env([ObservationRewardProbe] * 2)
    for one in (model, loaded):
        one.learn(2 * 64, log_interval=None, reset_num_timesteps=False)
    np.testing.assert_array_equal(loaded.policy.params, model.policy.params)


@pytest.mark.filterwarnings("ignore:n_threads=2 is more than the 1 ")
def test_threads_change_nothing() -> None:
    results = [make(n_threads=n).learn(3 * 64, log_interval=None).policy.params for n in (1, 2)]
    np.testing.assert_array_equal(*results)


def test_diagnostics_are_logged() -> None:
    rows: list[dict[str, Any]] = []
    model = make(fastpg.TRPO, adaptive_radius="surrogate", damping="adaptive")
    model.set_logger(Logger([Rows(rows)]))
    model.learn(2 * 64)
    expected = {
        "kl_old_new",
        "kl_old_new_max",
        "kl_before_search",
        "predicted_improvement",
        "actual_improvement",
        "improvement_ratio",
        "trust_radius",
        "damping",
        "cg_iterations",
        "cg_residual",
        "n_backtracks",
        "is_line_search_success",
        "step_norm",
        "explained_variance",
        "value_loss",
        "policy_objective",
        "surrogate_before",
        "n_zero_gradients",
        "n_cg_breakdowns",
        "n_cg_stagnations",
        "n_line_search_failures",
    }
    assert len(rows) == 2
    assert {f"train/{name}" for name in expected} <= set(rows[-1])
    assert all(np.isfinite(rows[-1][f"train/{name}"]) for name in expected)


def test_signal_is_logged_where_it_is_measured() -> None:
    rows: list[dict[str, Any]] = []
    for kind in ("signal", "surrogate"):
        model = make(fastpg.TRPO, adaptive_radius=kind, damping="fixed")
        model.set_logger(Logger([Rows(rows)]))
        model.learn(64)
    assert rows[0]["train/gradient_signal"] < 1.0
    assert "train/gradient_signal" not in rows[1]


class Rows(Sink):
    """Keeps the rows of the log."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def write(self, values: Mapping[str, Any], step: int) -> None:
        """Keep a row."""
        self.rows.append(dict(values))


@pytest.mark.parametrize("solver", ["cholesky", "woodbury"])
def test_a_direct_solver_for_a_large_problem_is_an_error_that_names_the_argument(solver: str) -> None:
    with pytest.raises(ConfigError, match=rf"solver='{solver}' does not suit .*expected at most 3000"):
        fastpg.TRPO("MlpPolicy", "CartPole-v1", solver=solver, seed=0)
