"""One PPO update equals stable-baselines3's, from the same parameters, rollout and minibatches.

The references were computed by stable-baselines3 itself in float64 from float32 inputs
(``tests/references/make_sb3_references.py``), so they carry no rounding of their own. Bounds:

- the parameters agree to 1e-5 relative to their norm, in float32 and float64;
- float64 differs from the reference by rounding alone: 1e-11 relative to the norm of the *change* of the parameters;
- float32 strays from it, again relative to the change, at most twice as far as torch's own float32 run did
  (the order of sums differs between libraries, and Adam divides by small numbers).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpg.kernels import backends
from fastpg.kernels.philox import STREAM_SHUFFLE, permutation
from fastpg.kernels.ppo_update import ppo_update
from tests.references.stored import FOLDER, layout_of, read

REFERENCES = sorted(FOLDER.glob("sb3_ppo_*.npz"))
ROLLOUT = ("observations", "actions", "old_log_probs", "advantages", "returns", "old_values")
STATISTICS = (
    "policy_gradient_loss",
    "value_loss",
    "entropy_loss",
    "clip_fraction",
    "approx_kl",
    "loss",
    "gradient_norm",
)
FLOAT32_SLACK = 2.0


class Reference:
    """One .npz file: arrays in the dtype asked for, and the description beside them."""

    def __init__(self, path: Path, dtype: type) -> None:
        self.description, arrays = read(path)
        self.layout = layout_of(self.description)
        floats = {name: array.astype(dtype) for name, array in arrays.items() if array.dtype.kind == "f"}
        floats["actions"] = arrays["actions"].astype(self.layout.head.action_dtype(np.dtype(dtype)))
        self.rollout = [floats[name] for name in ROLLOUT]
        self.initial = floats["initial_params"]
        self.final = arrays["final_params"]
        self.moments = arrays["final_first_moment"], arrays["final_second_moment"]
        self.first_permutation = arrays["first_permutation"]

    def run(self, backend: str) -> Any:
        """All updates of the reference, one after the other; the result of the last."""
        zeros = np.zeros_like(self.initial)
        params, first, second, steps = self.initial, zeros, zeros, 0
        for update_index in range(self.description["n_updates"]):
            result = ppo_update(
                params,
                first,
                second,
                *self.rollout,
                layout=self.layout,
                adam_step=steps,
                seed=self.description["seed"],
                update_index=update_index,
                backend=backend,
                **self.description["arguments"],
            )
            params, first, second = result.params, result.first_moment, result.second_moment
            steps = result.adam_step
        return result


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(a, np.float64) - b))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_update_equals_stable_baselines3(path: Path, backend: str, dtype: type) -> None:
    reference = Reference(path, dtype)
    result = reference.run(backend)

    error = distance(result.params, reference.final)
    change = distance(reference.final, reference.initial)
    assert change > 1e-3 * np.linalg.norm(reference.final), "the reference hardly moved: it would prove nothing"
    assert error <= 1e-5 * np.linalg.norm(reference.final)
    limit = 1e-11 if dtype is np.float64 else FLOAT32_SLACK * reference.description["float32_error"]
    assert error <= limit * change

    for moment, expected in zip((result.first_moment, result.second_moment), reference.moments, strict=True):
        assert distance(moment, expected) <= 1e-5 * np.linalg.norm(expected)
    assert_statistics_equal(result.stats, reference.description["stats"], rtol=1e-5 if dtype is np.float32 else 1e-7)


def assert_statistics_equal(stats: Any, expected: dict[str, float], rtol: float) -> None:
    """Losses are means of terms of order one that cancel, hence an absolute tolerance of the same size."""
    got = {name: getattr(stats, name) for name in STATISTICS}
    assert got == pytest.approx({name: expected[name] for name in STATISTICS}, rel=rtol, abs=rtol)
    assert stats.n_epochs_run == expected["n_epochs_run"]
    assert stats.n_optimizer_steps == expected["n_optimizer_steps"]


@pytest.mark.parametrize("backend", backends.available())
def test_permutation_equals_the_one_of_the_references(backend: str) -> None:
    """The script has its own Philox in plain Python integers: two authors of one formula agree."""
    reference = Reference(REFERENCES[0], np.float64)
    order = np.empty(len(reference.first_permutation), np.int64)
    permutation(reference.description["seed"], STREAM_SHUFFLE, 0, out=order, backend=backend)
    np.testing.assert_array_equal(order, reference.first_permutation)


def test_references_cover_what_they_should() -> None:
    """Every head, both activations, value clipping, early stop, a short last minibatch: none got lost."""
    descriptions = [Reference(path, np.float64).description for path in REFERENCES]
    arguments = [description["arguments"] for description in descriptions]
    heads = {(d["head"]["kind"], len(d["head"]["sizes"]) > 1) for d in descriptions}
    assert heads == {("categorical", False), ("categorical", True), ("bernoulli", True), ("gaussian", True)}
    assert {d["activation"] for d in descriptions} == {"tanh", "relu"}
    assert any(a["clip_range_vf"] is not None for a in arguments)
    assert any(a["ent_coef"] > 0 for a in arguments)
    assert any(not a["normalize_advantage"] for a in arguments)
    stopped = [d for d in descriptions if d["stats"]["n_epochs_run"] < d["arguments"]["n_epochs"]]
    assert stopped
    assert all(d["stats"]["n_optimizer_steps"] > 0 for d in stopped)
