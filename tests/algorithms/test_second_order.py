"""Newton, Krylov, Hessian-free and the theoretical bound as a user meets them: arguments, runs, resumption."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.algorithms.directions import DEFAULT_KRYLOV_DIM
from fastpg.algorithms.npg import NPGConfig, npg
from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.errors import ConfigError
from fastpg.updates.damping import MarquardtDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.krylov import KrylovDescent
from fastpg.updates.minorant import MinorantDirection, penalty_constant
from fastpg.updates.newton import Newton
from fastpg.updates.report import UpdateStatus

SMALL = {
    "n_steps": 64,
    "n_envs": 2,
    "batch_size": 64,
    "n_critic_updates": 1,
    "policy_kwargs": {"net_arch": [8]},
    "seed": 0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "newton": {"direction": "newton"},
    "newton_hessian": {"direction": "newton", "metric": "hessian"},
    "ksd": {"direction": "ksd", "krylov_dim": 4},
    "theory": {"penalty": "theory"},
}


def make(algorithm: Any, env: str = "CartPole-v1", **arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="penalty='theory' takes tiny steps")
        return algorithm("MlpPolicy", env, **{**SMALL, **arguments})


def reports_of(model: Any, n_iterations: int) -> list[Any]:
    """The reports of as many iterations, in order."""
    reports: list[Any] = []
    update = model.update

    def recorded(batch: Any) -> Any:
        state, report = update(batch)
        reports.append(report)
        return state, report

    model.update = recorded
    model.learn(n_iterations * SMALL["n_steps"] * SMALL["n_envs"])
    del model.update
    return reports


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"metric": "hessian"}, ("metric", "direction")),
        ({"krylov_dim": 8}, ("krylov_dim", "direction")),
        ({"direction": "newton", "krylov_dim": 8}, ("krylov_dim", "direction")),
        ({"direction": "newton", "solver": "cholesky"}, ("solver", "direction")),
        ({"direction": "ksd", "cg_warm_start": 0.5}, ("cg_warm_start", "direction")),
        ({"direction": "ksd", "cg_backtracking": True}, ("cg_backtracking", "direction")),
        ({"direction": "ksd", "damping_metric": "diag"}, ("damping_metric", "direction")),
        ({"direction": "newton", "prediction": "quadratic"}, ("prediction", "direction")),
        ({"penalty": "theory", "gamma": 1.0}, ("gamma", "penalty")),
        ({"penalty": "theory", "target_kl": 0.1}, ("target_kl", "penalty")),
        ({"penalty": "theory", "constraint": "max_kl"}, ("constraint", "penalty")),
        ({"penalty": "theory", "adaptive_radius": "surrogate"}, ("adaptive_radius", "penalty")),
        ({"penalty": "theory", "direction": "newton"}, ("direction", "penalty")),
        ({"penalty": "theory", "ent_coef": 0.01}, ("ent_coef", "penalty")),
        ({"penalty": "theory", "line_search_max_iter": 3}, ("line_search_max_iter", "penalty")),
        ({"penalty": "theory", "cg_damping": 0.2}, ("cg_damping", "penalty")),
        ({"direction": "ksd", "cg_max_steps": 3}, ("cg_max_steps", "direction")),
    ],
)
def test_contradictions_name_both(arguments: dict[str, Any], names: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        TRPOConfig(**arguments)
    for name in names:
        assert name in str(error.value)
    assert "an argument is wrong" in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [{"direction": "gauss"}, {"metric": None}, {"krylov_dim": 0, "direction": "ksd"}, {"penalty": "kl"}],
)
def test_values_are_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"- {next(iter(arguments))}: expected "):
        TRPOConfig(**arguments)


def test_krylov_needs_the_kl_step_rule() -> None:
    with pytest.raises(ConfigError, match=r"direction: expected .* with step_rule='fixed'"):
        NPGConfig(direction="ksd", step_rule="fixed", step_size=1.0)


def test_compositions() -> None:
    assert isinstance(trpo(TRPOConfig()).direction, NaturalGradient)
    newton = npg(NPGConfig(direction="newton", metric="hessian", cg_max_steps=7)).direction
    assert isinstance(newton, Newton)
    assert (newton.metric, newton.max_iterations) == ("hessian", 7)
    krylov = trpo(TRPOConfig(direction="ksd", fisher="empirical")).direction
    assert isinstance(krylov, KrylovDescent)
    assert (krylov.dimension, krylov.fisher) == (DEFAULT_KRYLOV_DIM, "empirical")


def test_hessian_free_preset_and_what_wins_over_it() -> None:
    direction = npg(NPGConfig.from_arguments({"preset": "hessian_free"})).direction
    assert isinstance(direction, NaturalGradient)
    assert isinstance(direction.damping, MarquardtDamping)
    assert direction.solver == ConjugateGradient(
        max_iterations=50, relative_tolerance=1e-5, warm_start=0.95, spacing=1.3
    )
    changed = NPGConfig.from_arguments({"preset": "hessian_free", "cg_max_steps": 9})
    assert (changed.cg_max_steps, changed.damping) == (9, "adaptive")


def test_krylov_preset() -> None:
    config = NPGConfig.from_arguments({"preset": "krylov", "krylov_dim": 4})
    direction = npg(config).direction
    assert isinstance(direction, KrylovDescent)
    assert direction.dimension == 4


def test_theory_warns_that_steps_are_tiny() -> None:
    with pytest.warns(UserWarning, match="tiny steps"):
        config = TRPOConfig(penalty="theory")
    assert isinstance(trpo(config).direction, MinorantDirection)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_runs_within_its_bounds(variant: str, env: str) -> None:
    """Every accepted step of TRPO stays in the ball and raises the surrogate, whatever the direction."""
    for report in reports_of(make(fastpg.TRPO, env, **VARIANTS[variant]), 3):
        assert report.kl_old_new < 0.01
        if report.status is UpdateStatus.IMPROVED:
            assert report.actual_improvement > 0.0
            assert report.step_norm > 0.0
        else:
            assert report.step_norm == 0.0


@pytest.mark.parametrize("variant", ["newton", "ksd", "preset"])
def test_npg_takes_them_too(variant: str) -> None:
    arguments = {"preset": "hessian_free"} if variant == "preset" else VARIANTS[variant]
    reports = reports_of(make(fastpg.NPG, **arguments), 4)
    assert sum(report.status is UpdateStatus.IMPROVED for report in reports) >= 2


def test_hessian_free_adapts_its_damping() -> None:
    dampings = [report.damping for report in reports_of(make(fastpg.NPG, preset="hessian_free"), 6)]
    assert dampings[0] == 0.1
    assert len(set(dampings)) > 1


@pytest.mark.parametrize("metric", ["fisher", "hessian"])
def test_newton_says_whether_it_fell_back(metric: str) -> None:
    reports = reports_of(make(fastpg.TRPO, direction="newton", metric=metric), 4)
    n_fallbacks = 0
    for report in reports:
        n_fallbacks += report.is_fisher_fallback
        assert report.n_fisher_fallbacks == n_fallbacks
    assert metric == "hessian" or n_fallbacks == 0


def test_theory_reports_the_bound_that_holds() -> None:
    """M = L - C KLmax for the numbers that are reported; M > 0; the KL is far below any radius one would set."""
    gamma = 0.9
    for report in reports_of(make(fastpg.TRPO, penalty="theory", gamma=gamma), 3):
        assert report.status is UpdateStatus.IMPROVED
        assert 0.0 < report.minorant < report.minorant_surrogate
        recomputed = report.minorant_surrogate - report.kl_coef * report.kl_old_new_max
        # the report's divergence is that of the float32 kernels
        assert recomputed == pytest.approx(report.minorant, rel=0.2)
        assert report.kl_coef >= penalty_constant(1.0, gamma)
        assert report.kl_old_new < 1e-4


def test_krylov_resumes_from_a_checkpoint(tmp_path: Any) -> None:
    """Its last step is part of the state: 2 + 2 iterations are 4."""
    n_samples = SMALL["n_steps"] * SMALL["n_envs"]
    whole = make(fastpg.TRPO, direction="ksd", env_kwargs=None)
    whole.learn(2 * n_samples)
    whole.save(tmp_path / "half.fastpg")
    resumed = fastpg.load(tmp_path / "half.fastpg", "CartPole-v1")
    assert set(resumed.optimizer_state.memory) == set(whole.optimizer_state.memory) != set()
    for name, array in whole.optimizer_state.memory.items():
        np.testing.assert_array_equal(resumed.optimizer_state.memory[name], array)


@pytest.mark.filterwarnings("ignore:n_threads=2 is more than the 1 ")
@pytest.mark.parametrize("variant", VARIANTS)
def test_threads_do_not_change_a_bit(variant: str) -> None:
    one, two = (make(fastpg.TRPO, n_threads=n, **VARIANTS[variant]) for n in (1, 2))
    for model in (one, two):
        model.learn(2 * SMALL["n_steps"] * SMALL["n_envs"])
    np.testing.assert_array_equal(one.policy.params, two.policy.params)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_sample_and_constant_advantages_are_survived(variant: str) -> None:
    """A single transition; and a batch without anything to learn."""
    single = make(fastpg.TRPO, n_steps=1, n_envs=1, normalize_advantage=False, batch_size=1, **VARIANTS[variant])
    single.learn(3)
    assert np.isfinite(single.policy.params).all()
    idle = make(fastpg.TRPO, n_steps=2, n_envs=1, gamma=0.0, **VARIANTS[variant])
    before = idle.policy.layout.actor.n_params
    problem_free = idle.policy.params[:before].copy()
    reports = []
    update = idle.update

    def with_constant_advantages(batch: Any) -> Any:
        constant = batch.advantages * 0.0 + 1.0
        state, report = update(type(batch)(**{**vars(batch), "advantages": constant}))
        reports.append(report)
        return state, report

    idle.update = with_constant_advantages
    idle.learn(2)
    assert reports[0].status is UpdateStatus.ZERO_GRADIENT
    assert reports[0].n_zero_gradients == 1
    np.testing.assert_array_equal(idle.policy.params[:before], problem_free)


def test_flags_of_the_command_line() -> None:
    from fastpg.cli.train import training_command

    for name, expected in {
        "trpo": {"--direction", "--metric", "--krylov-dim", "--penalty"},
        "npg": {"--direction", "--metric", "--krylov-dim", "--preset"},
    }.items():
        flags = {flag for parameter in training_command(name).params for flag in parameter.opts}
        assert expected <= flags
