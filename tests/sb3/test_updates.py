"""The updates that the arguments of stable-baselines3 mean are its own: from the same parameters and rollout.

The references are those of ``tests/updates``. TRPO's conjugate gradient starts at random numbers there and at 0 here,
and both end at a residual of 1e-5: hence a bound of 1e-3 on the difference, relative to the change of the parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpg.policies.problem import SampledProblem
from fastpg.sb3 import config as described
from fastpg.types import Batch
from fastpg.updates.state import OptimizerState
from tests.updates import test_sb3_a2c_reference as a2c_reference
from tests.updates import test_sb3_reference as ppo_reference
from tests.updates import test_trust_region_reference as trpo_reference

TRPO_BOUND = 1e-3


def relative_error(params: Any, reference: Any, initial: Any) -> float:
    """Distance from the reference, in units of the change."""
    return float(np.linalg.norm(np.asarray(params, np.float64) - reference) / np.linalg.norm(reference - initial))


@pytest.mark.parametrize("path", trpo_reference.TRPO_REFERENCES, ids=lambda path: path.stem)
def test_trpo(path: Path) -> None:
    reference = trpo_reference.Reference(path, np.float64)
    config = described.DropInTRPOConfig(**reference.arguments)
    state = OptimizerState.start(reference.initial)
    for index in range(reference.description["n_updates"]):
        state, report = described.trpo_update(config)(
            state,
            reference.problem("reference"),
            progress_remaining=1.0,
            seed=reference.description["seed"],
            update_index=index,
        )
    assert relative_error(state.params, reference.final, reference.initial) < TRPO_BOUND
    stats = reference.description["stats"]
    assert report.is_line_search_success == stats["is_line_search_success"]
    assert report.step_distance == pytest.approx(stats["kl_divergence_loss"], rel=1e-3)
    assert report.policy_objective == pytest.approx(stats["policy_objective"], rel=1e-3)


@pytest.mark.filterwarnings("ignore:batch_size=.* does not divide")
@pytest.mark.parametrize("path", ppo_reference.REFERENCES, ids=lambda path: path.stem)
def test_ppo(path: Path) -> None:
    reference = ppo_reference.Reference(path, np.float64)
    rollout = dict(zip(ppo_reference.ROLLOUT, reference.rollout, strict=True))
    problem = SampledProblem(batch=Batch(**rollout), layout=reference.layout, backend="reference")
    n_samples = len(rollout["returns"])
    arguments = {**reference.description["arguments"], "n_steps": n_samples}
    update = described.ppo_update(described.DropInPPOConfig.from_arguments(arguments))
    state = OptimizerState.start(reference.initial)
    for index in range(reference.description["n_updates"]):
        state, report = update(
            state, problem, progress_remaining=1.0, seed=reference.description["seed"], update_index=index
        )
    assert relative_error(state.params, reference.final, reference.initial) < 1e-10
    assert report.n_epochs == reference.description["stats"]["n_epochs_run"]


@pytest.mark.parametrize("path", a2c_reference.REFERENCES, ids=lambda path: path.stem)
def test_a2c(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, arrays = a2c_reference.read(path)
    config = described.translate(described.DropInA2CConfig, arguments["arguments"], n_envs=1)
    monkeypatch.setattr(a2c_reference, "a2c", lambda _: described.a2c_update(config))
    state, _ = a2c_reference.run(arguments, arrays, np.float64, "reference")
    assert relative_error(state.params, arrays["final_params"], arrays["initial_params"]) < 1e-10
