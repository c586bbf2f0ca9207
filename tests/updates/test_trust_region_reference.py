"""One TRPO update equals sb3-contrib's and one NPG step equals tianshou's, from the same parameters and rollout.

The references were computed by the peers themselves in float64 from float32 inputs (``make_trpo_references.py`` and
``make_tianshou_references.py`` in ``tests/references`` say what their conventions are), so they carry no rounding of
their own. Bounds, for policy and value network each on its own:

- 1e-4 of the norm of the parameters;
- of the norm of their change, 1e-8 in float64, where conjugate gradient alone amplifies rounding, and 1e-4 in float32,
  but for one case (``OF_CHANGE``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastpg import kernels
from fastpg.kernels import backends
from fastpg.policies.problem import SampledProblem
from fastpg.types import Batch
from fastpg.updates.acceptance import AcceptFinite, Backtracking
from fastpg.updates.critic import AdamCritic
from fastpg.updates.damping import FixedDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.proximity import KLNewOld, KLOldNew
from fastpg.updates.report import UpdateReport
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import FixedStep, KLRadius
from tests.references.stored import FOLDER, layout_of, read

TRPO_REFERENCES = sorted(FOLDER.glob("trpo_*.npz"))
NPG_REFERENCES = sorted(FOLDER.glob("tianshou_npg_*.npz"))
PEERS_ABSOLUTE_TOLERANCE = 1e-5  # both stop at 1e-10 for the squared residual
NOISE_OF_START = 1e-4  # sb3-contrib
RTOL = {np.float64: 1e-8, np.float32: 1e-4}
#: Of the change of the parameters, where it is not ``RTOL``. In float32 the residual passes the tolerance a step or
#: two later, by rounding alone, and the solutions differ by that tolerance times the condition number: 1.5e-4 here.
OF_CHANGE = {("trpo_no_normalisation", np.float32): 2e-4}


class Reference:
    """One .npz file: arrays in the dtype asked for, and the description beside them."""

    def __init__(self, path: Path, dtype: type) -> None:
        self.description, self.arrays = read(path)
        self.name, self.dtype = path.stem, dtype
        self.arguments = self.description["arguments"]
        self.layout = layout_of(self.description)
        self.initial = self.arrays["initial_params"].astype(dtype)
        self.final = self.arrays["final_params"]

    def problem(self, backend: str) -> SampledProblem:
        """The rollout; what the file does not hold does not matter or follows from theta_old."""
        floats = {name: a.astype(self.dtype) for name, a in self.arrays.items() if a.dtype.kind == "f"}
        actions = self.arrays["actions"].astype(self.layout.head.action_dtype(np.dtype(self.dtype)))
        batch = Batch(
            observations=floats["observations"],
            actions=actions,
            old_log_probs=floats.get("old_log_probs", self._log_probs(floats["observations"], actions)),
            advantages=self._advantages(floats["advantages"]),
            returns=floats["returns"],
            old_values=floats.get("old_values", np.zeros_like(floats["returns"])),
        )
        return SampledProblem(batch=batch, layout=self.layout, backend=backend)

    def _advantages(self, advantages: np.ndarray) -> np.ndarray:
        """As tianshou standardises them, without an epsilon; sb3-contrib's as they are."""
        if "tianshou" not in self.description["made_with"]:
            return advantages
        exact = self.arrays["advantages"].astype(np.float64)
        return ((exact - exact.mean()) / exact.std(ddof=1)).astype(self.dtype)

    def _log_probs(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        policy, log_std, _ = self.layout.split(self.initial)
        inputs = kernels.mlp_forward(policy, observations, layout=self.layout.policy)
        return kernels.log_prob(inputs, log_std, actions, head=self.layout.head)

    def assert_equal(self, params: np.ndarray) -> None:
        """Policy and value network agree with the reference."""
        n_actor = self.layout.actor.n_params
        for part in (slice(None, n_actor), slice(n_actor, None)):
            error = np.linalg.norm(params[part].astype(np.float64) - self.final[part])
            change = np.linalg.norm(self.final[part] - self.initial[part])
            assert error <= 1e-4 * np.linalg.norm(self.final[part])
            assert error <= OF_CHANGE.get((self.name, self.dtype), RTOL[self.dtype]) * change


def trpo_of_sb3_contrib(reference: Reference, update_index: int) -> LocalModelUpdate:
    """TRPO with sb3-contrib's conventions."""
    arguments = reference.arguments
    proximity = KLNewOld(is_per_dimension=True)
    # ours solves for the average times the number of dimensions
    scale = 1.0 if reference.layout.head.kind == "categorical" else 1.0 / reference.layout.head.n_actions
    noise = reference.arrays["cg_noise"][update_index]
    cg = ConjugateGradient(
        max_iterations=arguments["cg_max_steps"],
        absolute_tolerance=PEERS_ABSOLUTE_TOLERANCE,
        start=(scale * NOISE_OF_START * noise).astype(reference.dtype),
    )
    return LocalModelUpdate(
        surrogate=Ratio(normalize_advantage=arguments["normalize_advantage"]),
        proximity=proximity,
        direction=NaturalGradient(solver=cg, damping=FixedDamping(arguments["cg_damping"])),
        radius=KLRadius(target_kl=arguments["target_kl"], is_damped=True),
        acceptance=Backtracking(
            shrinking_factor=arguments["line_search_shrinking_factor"],
            max_iterations=arguments["line_search_max_iter"],
        ),
        critic=AdamCritic(
            learning_rate=arguments["learning_rate"],
            n_epochs=arguments["n_critic_updates"],
            batch_size=arguments["batch_size"],
        ),
    )


def run(reference: Reference, backend: str) -> tuple[OptimizerState, UpdateReport]:
    """All updates of the reference, one after the other; the report of the last."""
    state = OptimizerState.start(reference.initial)
    seed = reference.description["seed"]
    for update_index in range(reference.description["n_updates"]):
        update = trpo_of_sb3_contrib(reference, update_index)
        problem = reference.problem(backend)
        state, report = update(state, problem, progress_remaining=1.0, seed=seed, update_index=update_index)
    return state, report


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("path", TRPO_REFERENCES, ids=lambda path: path.stem)
def test_trpo_update_equals_sb3_contrib(path: Path, backend: str, dtype: type) -> None:
    reference = Reference(path, dtype)
    state, report = run(reference, backend)
    reference.assert_equal(state.params)

    stats = reference.description["stats"]
    assert report.is_line_search_success == stats["is_line_search_success"]
    assert report.n_backtracks == stats["n_backtracks"]
    rtol = 1e-4 if dtype is np.float32 else 1e-8
    assert report.value_loss == pytest.approx(stats["value_loss"], rel=rtol)
    assert report.policy_objective == pytest.approx(stats["policy_objective"], rel=rtol, abs=rtol)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("path", TRPO_REFERENCES, ids=lambda path: path.stem)
def test_gradient_and_solution_equal_sb3_contrib(path: Path, dtype: type) -> None:
    reference = Reference(path, dtype)
    if reference.description["n_updates"] > 1:
        pytest.skip("the file holds those of its last update")
    update = trpo_of_sb3_contrib(reference, 0)
    policy = update.surrogate.problem(reference.problem("reference"), reference.initial, seed=0, update_index=0)
    gradient, _ = policy.surrogate_gradient()
    ray = update.move(policy, OptimizerState.start(reference.initial)).ray
    for got, name in ((gradient, "gradient"), (ray.vector, "solution")):
        expected = reference.arrays[name]
        assert np.linalg.norm(got - expected) <= RTOL[dtype] * np.linalg.norm(expected)
    assert ray.curvature == pytest.approx(reference.description["stats"]["curvature"], rel=RTOL[dtype])


def test_trpo_references_cover_what_they_should() -> None:
    """Every head, both activations, a rejected candidate, a failed search, two updates: none got lost."""
    descriptions = [Reference(path, np.float64).description for path in TRPO_REFERENCES]
    heads = {(d["head"]["kind"], len(d["head"]["sizes"]) > 1) for d in descriptions}
    assert heads == {("categorical", False), ("categorical", True), ("bernoulli", True), ("gaussian", True)}
    assert {d["activation"] for d in descriptions} == {"tanh", "relu"}
    assert any(d["n_updates"] > 1 for d in descriptions)
    searches = {(d["stats"]["is_line_search_success"], d["stats"]["n_backtracks"] > 0) for d in descriptions}
    assert searches == {(1.0, False), (1.0, True), (0.0, True)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("path", NPG_REFERENCES, ids=lambda path: path.stem)
def test_npg_step_equals_tianshou(path: Path, backend: str, dtype: type) -> None:
    """Its Fisher matrix is that of KL(old || new) summed over action dimensions, as ours."""
    reference = Reference(path, dtype)
    arguments = reference.arguments
    cg = ConjugateGradient(max_iterations=arguments["cg_max_steps"], absolute_tolerance=PEERS_ABSOLUTE_TOLERANCE)
    update = LocalModelUpdate(
        surrogate=Ratio(normalize_advantage=False),
        proximity=KLOldNew(),
        direction=NaturalGradient(solver=cg, damping=FixedDamping(arguments["cg_damping"])),
        radius=FixedStep(arguments["step_size"]),
        acceptance=AcceptFinite(),
        critic=AdamCritic(
            learning_rate=arguments["learning_rate"],
            n_epochs=arguments["n_critic_updates"],
            batch_size=len(reference.arrays["returns"]),
        ),
    )
    state, report = update(
        OptimizerState.start(reference.initial),
        reference.problem(backend),
        progress_remaining=1.0,
        seed=0,
        update_index=0,
    )
    reference.assert_equal(state.params)
    assert report.kl_old_new == pytest.approx(reference.description["stats"]["kl_old_new"], rel=RTOL[dtype])
