"""NPG and TRPO: what they refuse, and what their arguments compose."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fastpg.algorithms.natural import ITERATE_SPACING
from fastpg.algorithms.npg import NPGConfig, npg
from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.errors import ConfigError
from fastpg.updates.acceptance import AcceptFinite, Backtracking
from fastpg.updates.damping import FixedDamping, MarquardtDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.proximity import KLOldNew
from fastpg.updates.step_length import AdaptiveRadius, FixedStep, KLRadius

NAN, INF = math.nan, math.inf

BAD_VALUES: dict[str, list[Any]] = {
    "target_kl": [0, -0.1, NAN, INF, None],
    "cg_max_steps": [0, -1, 1.5, None],
    "cg_damping": [-0.1, NAN, INF],
    "cg_tolerance": [-1e-3, NAN],
    "cg_warm_start": [-0.1, 1.1],
    "cg_backtracking": [1, None],
    "solver": ["lu", None],
    "damping": ["levenberg", 0.1],
    "damping_metric": ["fisher"],
    "damped_scale": [1],
    "fisher": ["model"],
    "prediction": ["cubic"],
    "ent_coef": [NAN],
    "sub_sampling_factor": [0, 1.0],
    "adaptive_radius": ["kl", True],
    "radius_shrink": [0, 1.1],
    "radius_expand": [0.9, INF],
    "radius_shrink_below": [-1],
    "radius_expand_above": [NAN],
    "radius_min": [0, -1],
    "radius_max": [0, INF],
    "n_critic_updates": [0, 2**16],
    "batch_size": [0, 2.0],
    "learning_rate": [0, "fast"],
    "normalize_advantage": [1],
}
BAD_TRPO: dict[str, list[Any]] = {
    "line_search_shrinking_factor": [0, 1, 1.5],
    "line_search_max_iter": [0, 2.5],
    "check_improvement": [1],
    "strict_improvement": ["yes"],
    "accept_ratio": [-0.1, 1.1],
    "constraint": ["kl"],
}
BAD_NPG: dict[str, list[Any]] = {"step_rule": ["norm"], "step_size": [0, -1, NAN]}


def pairs(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), pairs({**BAD_VALUES, **BAD_TRPO}))
def test_trpo_refuses_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"- {name}: expected "):
        TRPOConfig(**{name: value})


@pytest.mark.parametrize(("name", "value"), pairs({**BAD_VALUES, **BAD_NPG}))
def test_npg_refuses_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"- {name}: expected "):
        NPGConfig(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"accept_ratio": 0.1, "check_improvement": False}, ("accept_ratio", "check_improvement")),
        ({"strict_improvement": False, "check_improvement": False}, ("strict_improvement", "check_improvement")),
        ({"solver": "cholesky", "cg_warm_start": 0.95}, ("cg_warm_start", "solver")),
        ({"solver": "woodbury", "cg_backtracking": True}, ("cg_backtracking", "solver")),
        ({"solver": "woodbury", "cg_damping": 0.0}, ("cg_damping", "solver")),
        ({"damping": "adaptive", "cg_damping": 0.0}, ("cg_damping", "damping")),
        ({"adaptive_radius": "surrogate", "radius_max": 0.005}, ("target_kl", "radius_max")),
        ({"adaptive_radius": "signal", "direction": "newton"}, ("adaptive_radius", "direction")),
        ({"damping": "signal", "direction": "ksd"}, ("damping", "direction")),
        ({"damping": "signal", "cg_damping": 0.0}, ("cg_damping", "damping")),
        (
            {"adaptive_radius": "surrogate", "radius_shrink_below": 0.9},
            ("radius_shrink_below", "radius_expand_above"),
        ),
        ({"n_steps": 4, "sub_sampling_factor": 4}, ("sub_sampling_factor", "n_steps")),
        ({"radius_max": 0.05}, ("radius_max", "adaptive_radius")),
        ({"radius_expand": 1.5}, ("radius_expand", "adaptive_radius")),
        ({"solver": "woodbury", "cg_max_steps": 5}, ("cg_max_steps", "solver")),
        ({"n_steps": 1}, ("n_steps", "standardise")),
    ],
)
def test_contradictions_name_both(arguments: dict[str, Any], names: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as info:
        TRPOConfig(**arguments)
    assert all(name in str(info.value) for name in names)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"step_size": 0.1}, ("step_size", "step_rule")),
        ({"step_rule": "fixed"}, ("step_size", "step_rule")),
        ({"step_rule": "fixed", "step_size": 0.1, "target_kl": 0.02}, ("target_kl", "step_rule")),
        ({"step_rule": "fixed", "step_size": 0.1, "damped_scale": False}, ("damped_scale", "step_rule")),
        (
            {"step_rule": "fixed", "step_size": 0.1, "adaptive_radius": "surrogate"},
            ("adaptive_radius", "step_rule"),
        ),
    ],
)
def test_contradictions_of_npg_name_both(arguments: dict[str, Any], names: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as info:
        NPGConfig(**arguments)
    assert all(name in str(info.value) for name in names)


def test_a_rejected_argument_is_not_reported_twice() -> None:
    with pytest.raises(ConfigError) as info:
        TRPOConfig(cg_damping="much", damping="adaptive", n_steps="many", sub_sampling_factor=4)
    assert str(info.value).count("\n  - ") == 2


def test_defaults_of_trpo_are_sb3_contribs_but_for_the_damping() -> None:
    """https://sb3-contrib.readthedocs.io/en/master/modules/trpo.html, version 2.9."""
    config = TRPOConfig()
    expected = {
        "learning_rate": 1e-3,
        "n_steps": 2048,
        "batch_size": 128,
        "gamma": 0.99,
        "cg_max_steps": 15,
        "cg_damping": 0.1,
        "line_search_shrinking_factor": 0.8,
        "line_search_max_iter": 10,
        "n_critic_updates": 10,
        "gae_lambda": 0.95,
        "normalize_advantage": True,
        "target_kl": 0.01,
        "sub_sampling_factor": 1,
    }
    assert {name: getattr(config, name) for name in expected} == expected
    update = trpo(config)
    assert update.proximity == KLOldNew()
    assert update.acceptance == Backtracking()
    assert update.radius == KLRadius(target_kl=0.01, is_damped=False)
    solver = ConjugateGradient(max_iterations=15, relative_tolerance=1e-5)
    damping = MarquardtDamping(initial=0.1, is_weighed=True)
    assert update.direction == NaturalGradient(solver=solver, damping=damping)
    assert update.is_signal_measured


def test_sb3_contribs_damping_is_two_options_away() -> None:
    update = trpo(TRPOConfig(damping="fixed", damped_scale=True))
    assert update.radius == KLRadius(target_kl=0.01, is_damped=True)
    assert update.direction == NaturalGradient(
        solver=ConjugateGradient(max_iterations=15, relative_tolerance=1e-5), damping=FixedDamping(0.1)
    )
    assert not update.is_signal_measured


@pytest.mark.parametrize(
    "arguments",
    [
        {"cg_damping": 1e3},
        *({"direction": name} for name in ("newton", "ksd", "tonga")),
    ],
)
def test_damping_of_trpo_is_fixed_where_it_cannot_follow_the_signal(arguments: dict[str, Any]) -> None:
    config = TRPOConfig(**arguments)
    assert config.effective_damping == "fixed"
    assert not trpo(config).is_signal_measured


@pytest.mark.parametrize("config_class", [TRPOConfig, NPGConfig])
def test_no_damping_is_a_warning_and_stays(config_class: type[TRPOConfig] | type[NPGConfig]) -> None:
    with pytest.warns(UserWarning, match="cg_damping=0 leaves the Fisher matrix singular"):
        config = config_class(cg_damping=0.0)
    assert config.effective_damping == "fixed"
    assert not config.is_signal_measured


def test_the_theoretical_penalty_measures_no_signal() -> None:
    with pytest.warns(UserWarning, match="tiny steps"):
        config = TRPOConfig(penalty="theory")
    assert not config.is_signal_measured
    assert not trpo(config).is_signal_measured


def test_damping_of_npg_is_fixed() -> None:
    assert NPGConfig().effective_damping == "fixed"
    with pytest.raises(ConfigError, match="damping: expected one of"):
        NPGConfig(damping=None)


def test_hessian_free_can_have_fixed_steps() -> None:
    """Which leave one of the preset's options without effect."""
    config = NPGConfig.from_arguments({"preset": "hessian_free", "step_rule": "fixed", "step_size": 0.1})
    assert npg(config).radius == FixedStep(0.1)
    assert NPGConfig.from_json(config.to_json() | {"damped_scale": True}).step_size == 0.1


FORMER = {"damping": "fixed", "damped_scale": True}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"direction": "ksd"}, ("damped_scale",)),
        ({"direction": "tonga"}, ("damping",)),
        ({"penalty": "theory"}, ("damping", "damped_scale")),
    ],
)
@pytest.mark.filterwarnings("ignore:penalty='theory' takes tiny steps")
def test_a_former_default_without_effect_can_be_loaded(arguments: dict[str, Any], names: tuple[str, ...]) -> None:
    """A model that was saved when it was the default."""
    config = TRPOConfig(**arguments)
    saved = config.to_json() | FORMER
    loaded = TRPOConfig.from_json(saved)
    assert [getattr(loaded, name) for name in names] == [getattr(config, name) for name in names]
    for refused in (lambda: TRPOConfig.from_json(saved, **FORMER), lambda: TRPOConfig.from_arguments(saved)):
        with pytest.raises(ConfigError, match=f"- {names[0]}: expected its default"):
            refused()


def test_a_former_default_with_effect_stays() -> None:
    loaded = TRPOConfig.from_json(TRPOConfig().to_json() | FORMER)
    assert (loaded.effective_damping, loaded.damped_scale) == ("fixed", True)


def test_what_contradicts_without_being_a_former_default_is_refused() -> None:
    saved = TRPOConfig(direction="tonga").to_json() | {"damping": "adaptive"}
    with pytest.raises(ConfigError, match="- damping: expected its default"):
        TRPOConfig.from_json(saved)


def test_every_option_of_trpo_reaches_its_part() -> None:
    update = trpo(
        TRPOConfig(
            accept_ratio=0.2,
            strict_improvement=False,
            constraint="max_kl",
            damping="adaptive",
            damping_metric="diag",
            fisher="empirical",
            prediction="quadratic",
            cg_warm_start=0.95,
            cg_backtracking=True,
            adaptive_radius="surrogate",
            radius_expand=3.0,
            damped_scale=False,
            sub_sampling_factor=2,
            ent_coef=0.01,
        )
    )
    assert update.proximity == KLOldNew(statistic="max")
    assert update.acceptance == Backtracking(accept_ratio=0.2, is_strict=False)
    assert isinstance(update.radius, AdaptiveRadius)
    assert (update.radius.controller.expand, update.radius.is_damped) == (3.0, False)
    assert update.surrogate.sub_sampling_factor == 2
    assert update.surrogate.ent_coef == 0.01
    assert update.direction == NaturalGradient(
        solver=ConjugateGradient(max_iterations=15, relative_tolerance=1e-5, warm_start=0.95, spacing=ITERATE_SPACING),
        damping=MarquardtDamping(initial=0.1),
        damping_metric="diag",
        fisher="empirical",
        is_quadratic=True,
    )


def test_ratio_acceptance_is_part_of_the_adaptive_radius() -> None:
    for kind, ratio in (("surrogate", 0.1), ("signal", 0.1), ("return", 0.0), (None, 0.0)):
        assert trpo(TRPOConfig(adaptive_radius=kind)).acceptance == Backtracking(accept_ratio=ratio)


def test_signal_is_measured_where_the_radius_follows_it() -> None:
    for kind in ("signal", "surrogate", "return", None):
        assert trpo(TRPOConfig(adaptive_radius=kind, damping="fixed")).is_signal_measured == (kind == "signal")
        assert npg(NPGConfig(adaptive_radius=kind)).is_signal_measured == (kind == "signal")
    for damping in ("fixed", "adaptive", "signal"):
        assert trpo(TRPOConfig(damping=damping)).is_signal_measured == (damping == "signal")


def test_radius_and_damping_each_follow_the_signal_where_they_are_asked_to() -> None:
    update = trpo(TRPOConfig(adaptive_radius="surrogate", damping="signal"))
    assert isinstance(update.radius, AdaptiveRadius)
    assert not update.radius.is_weighed
    assert isinstance(update.direction, NaturalGradient)
    assert update.direction.damping == MarquardtDamping(initial=0.1, is_weighed=True)
    update = trpo(TRPOConfig(adaptive_radius="signal", damping="adaptive"))
    assert isinstance(update.radius, AdaptiveRadius)
    assert update.radius.is_weighed
    assert isinstance(update.direction, NaturalGradient)
    assert update.direction.damping == MarquardtDamping(initial=0.1)


def test_bounds_of_the_radius_follow_target_kl() -> None:
    radius = trpo(TRPOConfig(adaptive_radius="surrogate", target_kl=0.5)).radius
    assert isinstance(radius, AdaptiveRadius)
    assert (radius.controller.minimum, radius.controller.maximum) == (0.05, 1.5)
    radius = trpo(TRPOConfig(adaptive_radius="surrogate", radius_min=0.01, radius_max=0.02)).radius
    assert isinstance(radius, AdaptiveRadius)
    assert (radius.controller.minimum, radius.controller.maximum) == (0.01, 0.02)


def test_npg_composes() -> None:
    assert npg(NPGConfig()).radius == KLRadius(target_kl=0.01)
    assert npg(NPGConfig()).acceptance == AcceptFinite()
    assert npg(NPGConfig(step_rule="fixed", step_size=0.3)).radius == FixedStep(0.3)
    direction = npg(NPGConfig(solver="cholesky")).direction
    assert isinstance(direction, NaturalGradient)
    assert direction.solver == "cholesky"
