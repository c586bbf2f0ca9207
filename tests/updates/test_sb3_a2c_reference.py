"""One A2C update equals stable-baselines3's, from the same parameters and rollout.

The references were computed by stable-baselines3 itself in float64 from float32 inputs
(``tests/references/make_a2c_references.py``). float64 differs from them by rounding alone, 1e-11 relative to the norm
of the change of the parameters; float32 strays, again relative to the change, at most twice as far as torch's own
float32 run did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpg import kernels
from fastpg.algorithms.a2c import A2CConfig, a2c
from fastpg.kernels import backends
from fastpg.policies.problem import SampledProblem
from fastpg.types import Batch
from fastpg.updates.report import UpdateReport
from fastpg.updates.state import OptimizerState
from tests.references.stored import FOLDER, layout_of, read

REFERENCES = sorted(FOLDER.glob("sb3_a2c_*.npz"))
FLOAT32_SLACK = 2.0
Arrays = dict[str, Any]


def run(described: dict[str, Any], arrays: Arrays, dtype: Any, backend: str) -> tuple[OptimizerState, UpdateReport]:
    """All updates of the reference; each on the log-probabilities of the policy that it starts from, as in training."""
    layout = layout_of(described)
    rollout = {name: arrays[name].astype(dtype) for name in ("observations", "advantages", "returns", "old_values")}
    actions = arrays["actions"].astype(layout.head.action_dtype(np.dtype(dtype)))
    update = a2c(A2CConfig.from_arguments({"preset": "sb3", **described["arguments"]}))
    state = OptimizerState.start(arrays["initial_params"].astype(dtype))
    for update_index in range(described["n_updates"]):
        network, log_std, _ = layout.split(state.params)
        inputs = kernels.mlp_forward(network, rollout["observations"], layout=layout.policy, backend=backend)
        log_probs = kernels.log_prob(inputs, log_std, actions, head=layout.head, backend=backend)
        problem = SampledProblem(
            batch=Batch(**rollout, actions=actions, old_log_probs=log_probs), layout=layout, backend=backend
        )
        state, report = update(state, problem, progress_remaining=1.0, seed=0, update_index=update_index)
    return state, report


def distance(a: Any, b: Any) -> float:
    return float(np.linalg.norm(np.asarray(a, np.float64) - b))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_update_equals_stable_baselines3(path: Path, backend: str, dtype: Any) -> None:
    described, arrays = read(path)
    state, report = run(described, arrays, dtype, backend)
    change = distance(arrays["final_params"], arrays["initial_params"])
    assert change > 1e-3 * np.linalg.norm(arrays["final_params"]), "the reference hardly moved: it would prove nothing"
    error = distance(state.params, arrays["final_params"])
    limit = 1e-11 if dtype is np.float64 else FLOAT32_SLACK * described["float32_error"]
    assert error <= limit * change
    rtol = 1e-5 if dtype is np.float32 else 1e-10
    expected = arrays["final_second_moment"]
    assert distance(state.second_moment, expected) <= rtol * np.linalg.norm(expected)
    assert state.step == described["n_updates"]
    for name, value in described["stats"].items():
        assert getattr(report, name) == pytest.approx(value, rel=rtol, abs=rtol), name


def test_references_cover_what_they_should() -> None:
    """Every head, both activations and optimisers, standardised advantages, several updates: none got lost."""
    descriptions = [read(path)[0] for path in REFERENCES]
    assert {d["head"]["kind"] for d in descriptions} == {"categorical", "bernoulli", "gaussian"}
    assert {d["activation"] for d in descriptions} == {"tanh", "relu"}
    assert {d["arguments"].get("use_rms_prop", True) for d in descriptions} == {True, False}
    assert any(d["arguments"].get("normalize_advantage") for d in descriptions)
    assert any(d["n_updates"] > 1 for d in descriptions)
    assert any(d["stats"]["gradient_norm"] < 0.5 for d in descriptions) or any(
        d["arguments"].get("max_grad_norm", 0.5) > 1 for d in descriptions
    )
