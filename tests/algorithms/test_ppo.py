from __future__ import annotations

import enum
import json
import math
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpg.algorithms.ppo import PPOConfig, ppo
from fastpg.errors import ConfigError
from fastpg.updates.clip_range import AdaptiveClipRange
from fastpg.updates.constraint import Backtrack, Barrier, ExactPenalty, Mask
from fastpg.updates.kl_penalty import KLPenalty, learning_rate_rule, paper_rule, rllib_rule
from fastpg.updates.schedules import LinearSchedule, LostSchedule

NAN, INF = math.nan, math.inf


class Hostile:
    """Raises whatever one asks of it."""

    def _raise(self, *args: Any) -> Any:
        raise RuntimeError("hostile")

    __float__ = __index__ = __eq__ = __bool__ = __len__ = _raise
    __hash__ = object.__hash__


BAD_VALUES: dict[str, list[Any]] = {
    "learning_rate": [0, -1e-3, NAN, INF, None, "fast", True, lambda progress: NAN, lambda: 1e-3, Hostile()],
    "n_steps": [0, -1, 2.0, True, "8", None, 10**30],
    "batch_size": [0, 1, 64.0, True, 10**9, Decimal("sNaN"), Hostile()],
    "n_epochs": [0, -1, 1.5, None, 2**16],
    "gamma": [-0.1, 1.1, NAN, None, "0.99"],
    "gae_lambda": [-0.1, 1.1, NAN],
    "clip_range": [0, -0.2, NAN, INF, lambda progress: -1, LinearSchedule(0.2, -0.1), LinearSchedule(0.2, NAN)],
    "clip_range_vf": [0, -0.2, NAN],
    "normalize_advantage": [1, None, "yes"],
    "ent_coef": [NAN, INF, None],
    "vf_coef": [-0.5, NAN, INF],
    "max_grad_norm": [0, -1, NAN],
    "target_kl": [0, -0.1, NAN, INF],
    "use_sde": [True],
    "stats_window_size": [0, 1.5, 2**63],
    "tensorboard_log": [3],
    "policy_kwargs": [
        {"net_arch": [0]},
        {"net_arch": [64.0]},
        {"net_arch": [100_000]},
        {"net_arch": {"pi": [8], "q": [8]}},
        {"activation_fn": "elu"},
        {"log_std_init": NAN},
        {"log_std_init": 21},
        {"ortho_init": 1},
        {"features_extractor_class": object},
        {"optimizer_kwargs": {"weight_decay": 0.1}},
        {"optimizer_kwargs": {"betas": (0.9, 1.0)}},
        {"netarch": [8]},
        [64, 64],
    ],
    "verbose": [-1, 3, True],
    "seed": [-1, 2**64, 1.0, True],
    "device": ["cuda", "gpu"],
    "n_envs": [0, -1, 1.0, 65537],
    "n_threads": [0, -1, 1.0],
    "backend": ["torch"],
    "normalize": [1, {"norm": True}, {"clip_obs": 0}],
    "env_kwargs": [[1], {1: 2}],
    "autoreset_mode": ["sometimes"],
    "preset": ["unheard-of", 3],
    "dual_clip": [1.0, 0.5, NAN, INF],
    "penalty": ["l2", 1],
    "kl_coef": [0, -1, NAN, None],
    "kl_direction": ["both", None],
    "adaptive_kl": ["sometimes", True],
    "adaptive_learning_rate": [1, None],
    "constraint": ["soft", True],
    "constraint_coef": [0, -1.0, NAN],
    "constraint_tolerance": [-0.1, NAN, None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_VALUES.items() for value in values])
def test_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"- {name}: expected ") as info:
        PPOConfig(**{name: value})
    if not callable(value):
        assert repr(value) in str(info.value)


def test_every_argument_has_bad_values_in_this_table() -> None:
    assert set(PPOConfig.fields()) - set(BAD_VALUES) == {"sde_sample_freq"}


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as info:
        PPOConfig.from_arguments({"n_steps": 0, "gamma": 2, "clip_range": -0.2, "nsteps": 8, "seed": -1})
    text = str(info.value)
    assert text.startswith("PPO: 5 arguments are wrong, and nothing was created:")
    assert text.count("\n  - ") == 5
    assert "nsteps: expected the name of an argument, got an unknown one; did you mean 'n_steps'?" in text


@pytest.mark.parametrize("name", ["rollout_buffer_class", "_init_setup_model"])
def test_arguments_that_do_not_apply_are_explained(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: not supported \(.*leave it out\)"):
        PPOConfig.from_arguments({name: None})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_steps": 1, "batch_size": 2}, "n_steps: expected n_steps * n_envs >= 2 to standardise advantages"),
        ({"n_steps": 1, "batch_size": 1}, "= 1 * 1 = 1 (or normalize_advantage=False)"),
        ({"n_steps": 8, "n_envs": 2, "batch_size": 17}, "batch_size: expected at most n_steps * n_envs = 8 * 2 = 16"),
        ({"batch_size": 1}, "batch_size: expected an integer >= 2 to standardise advantages, got 1"),
        ({"adaptive_kl": "paper", "target_kl": 0.01}, "adaptive_kl: expected None without penalty='kl', got 'paper'"),
        ({"adaptive_kl": "rllib", "penalty": "kl"}, "target_kl: expected a number > 0 to steer to with adaptive_kl="),
        ({"adaptive_learning_rate": True}, "target_kl: expected a number > 0 to steer to with adaptive_learning_rate"),
        (
            {"adaptive_learning_rate": True, "adaptive_kl": "paper", "penalty": "kl", "target_kl": 0.01},
            "adaptive_kl: expected None with adaptive_learning_rate=True (both steer to target_kl), got 'paper'",
        ),
        (
            {"adaptive_learning_rate": True, "target_kl": 0.01, "learning_rate": "lin_1e-3"},
            "learning_rate: expected a number to start from with adaptive_learning_rate=True, got a schedule",
        ),
        (
            {"dual_clip": 3.0, "penalty": "kl"},
            "dual_clip: expected None where ratios are not clipped (constraint=None, penalty='kl'), got 3.0",
        ),
        (
            {"dual_clip": 3.0, "constraint": "barrier"},
            "dual_clip: expected None where ratios are not clipped (constraint='barrier', penalty=None), got 3.0",
        ),
        (
            {"kl_coef": 2.0},
            "kl_coef: expected its default 1.0 with penalty=None, which does not use it, got 2.0 (or penalty='kl')",
        ),
        ({"kl_direction": "new_old"}, "kl_direction: expected its default 'old_new' with penalty=None"),
        (
            {"constraint": "barrier", "constraint_tolerance": 0.0},
            "constraint_tolerance: expected its default 0.1 with constraint='barrier', which does not use it, got 0.0",
        ),
        ({"constraint_coef": 1.0}, "constraint_coef: expected None with constraint=None (only 'barrier' and"),
        (
            {"clip_range": "adaptive", "constraint": "backtrack"},
            "clip_range: expected a number or a schedule where ratios are not clipped (constraint='backtrack', "
            "penalty=None), got 'adaptive'",
        ),
        (
            {"clip_range": "lin_0.2", "constraint": "barrier"},
            "clip_range: expected a schedule that ends above 0 with constraint='barrier', got 'lin_0.2'",
        ),
    ],
)
def test_contradictions(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as info:
        PPOConfig(**arguments)
    assert text in str(info.value)


def test_single_sample_is_fine_without_standardisation() -> None:
    config = PPOConfig(n_steps=1, batch_size=1, normalize_advantage=False)
    assert config.batch_size == 1


@pytest.mark.parametrize(("n_steps", "text"), [(100, "the last one has 36"), (65, "the last two are merged")])
def test_batch_size_that_does_not_divide_warns_once(n_steps: int, text: str) -> None:
    with pytest.warns(UserWarning, match=text) as caught:
        PPOConfig(n_steps=n_steps)
    assert len(caught) == 1


def test_more_threads_than_cores_warns_and_is_capped() -> None:
    with pytest.warns(UserWarning, match="n_threads=100000 is more than the"):
        config = PPOConfig(n_threads=100_000)
    assert 1 <= config.n_threads < 100_000


class Mode(enum.Enum):
    NEXT_STEP = "NextStep"


@pytest.mark.parametrize(
    ("name", "given", "canonical"),
    [
        ("n_steps", np.int32(128), 128),
        ("gamma", np.float32(0.5), 0.5),
        ("gamma", 1, 1.0),
        ("learning_rate", "lin_1e-3", LinearSchedule(1e-3)),
        ("learning_rate", "0.5", 0.5),
        ("normalize_advantage", np.bool_(False), False),
        ("autoreset_mode", Mode.NEXT_STEP, "NextStep"),
        ("autoreset_mode", "same_step", "SameStep"),
        ("tensorboard_log", Path("runs"), "runs"),
        ("max_grad_norm", INF, INF),
        ("seed", np.uint64(2**64 - 1), 2**64 - 1),
        ("policy_kwargs", {"net_arch": [8]}, {"net_arch": {"pi": [8], "vf": [8]}}),
        ("policy_kwargs", {"net_arch": [{"pi": [8], "vf": []}]}, {"net_arch": {"pi": [8], "vf": []}}),
        ("policy_kwargs", {"activation_fn": type("ReLU", (), {})}, {"activation_fn": "relu"}),
    ],
)
def test_values_become_canonical(name: str, given: Any, canonical: Any) -> None:
    value = getattr(PPOConfig(**{name: given}), name)
    assert value == canonical
    assert type(value) is type(canonical)


def test_json_round_trip() -> None:
    config = PPOConfig(
        learning_rate="lin_1e-3",
        max_grad_norm=INF,
        clip_range_vf=0.2,
        normalize={"clip_obs": 5.0},
        policy_kwargs={"net_arch": [], "optimizer_kwargs": {"eps": 1e-8, "betas": (0.8, 0.99)}},
        seed=2**64 - 1,
    )
    text = json.dumps(config.to_json(), allow_nan=False)
    assert PPOConfig.from_json(json.loads(text)) == config


def test_function_is_lost_in_json_and_can_be_given_again() -> None:
    encoded = json.loads(json.dumps(PPOConfig(clip_range=lambda progress: 0.1).to_json()))
    lost = PPOConfig.from_json(encoded)
    assert isinstance(lost.clip_range, LostSchedule)
    assert PPOConfig.from_json(lost.to_json()) == lost
    assert PPOConfig.from_json(encoded, clip_range=0.3).clip_range == 0.3


def test_objects_in_env_kwargs_are_lost_with_a_warning() -> None:
    encoded = PPOConfig(env_kwargs={"model": object()}).to_json()
    with pytest.warns(UserWarning, match="env_kwargs held Python objects"):
        assert PPOConfig.from_json(encoded).env_kwargs is None


def test_every_field_has_help_and_a_source() -> None:
    for name, spec in PPOConfig.fields().items():
        assert spec.metadata["help"].endswith("."), name
        assert spec.metadata["source"], name


def test_composition_takes_every_number_from_the_config() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = PPOConfig(
            learning_rate=1.0,
            n_epochs=2,
            batch_size=3,
            clip_range=0.4,
            clip_range_vf=0.5,
            normalize_advantage=False,
            ent_coef=0.6,
            vf_coef=0.7,
            max_grad_norm=0.8,
            target_kl=0.9,
            policy_kwargs={"optimizer_kwargs": {"eps": 1.1, "betas": (0.1, 0.2)}},
        )
    update = ppo(config)
    assert (update.surrogate.clip_range, update.surrogate.normalize_advantage) == (0.4, False)
    assert (update.penalty.vf_coef, update.penalty.ent_coef, update.penalty.clip_range_vf) == (0.7, 0.6, 0.5)
    loop = update.inner_loop
    assert (loop.learning_rate, loop.n_epochs, loop.batch_size, loop.max_grad_norm) == (1.0, 2, 3, 0.8)
    assert (loop.beta1, loop.beta2, loop.epsilon) == (0.1, 0.2, 1.1)
    assert update.stop.target_kl == 0.9


def parts_of(**arguments: Any) -> tuple[Any, ...]:
    """(kind of surrogate, proximity, constraint, stop, learning-rate rule) of the composition."""
    update = ppo(PPOConfig(**arguments))
    return (
        update.surrogate.kind,
        update.proximity,
        update.constraint,
        update.stop.target_kl,
        update.learning_rate_rule,
    )


def test_the_default_is_the_clipped_ratio_and_nothing_else() -> None:
    assert parts_of() == ("clip", None, None, None, None)


def test_a_kl_penalty_takes_the_place_of_clipping() -> None:
    penalty = KLPenalty(coefficient=2.0, direction="new_old")
    assert parts_of(penalty="kl", kl_coef=2.0, kl_direction="new_old") == ("ratio", penalty, None, None, None)


def test_target_kl_stops_only_where_nothing_is_steered_to_it() -> None:
    assert parts_of(penalty="kl", target_kl=0.02)[3] == 0.02
    _, penalty, _, stop, _ = parts_of(penalty="kl", target_kl=0.02, adaptive_kl="paper")
    assert stop is None
    assert penalty.rule == paper_rule(0.02)
    assert parts_of(adaptive_learning_rate=True, target_kl=0.02)[3:] == (None, learning_rate_rule(0.02))


@pytest.mark.parametrize(
    ("arguments", "constraint"),
    [
        ({"constraint": "clip"}, Mask()),
        ({"constraint": "mask"}, Mask()),
        ({"constraint": "backtrack", "constraint_tolerance": 0.2}, Backtrack(tolerance=0.2)),
        ({"constraint": "barrier"}, Barrier()),
        ({"constraint": "barrier", "constraint_coef": 0.05}, Barrier(coefficient=0.05)),
        ({"constraint": "penalty", "constraint_coef": 3.0}, ExactPenalty(coefficient=3.0)),
    ],
)
def test_constraints(arguments: dict[str, Any], constraint: Any) -> None:
    assert parts_of(**arguments)[2] == constraint


def test_an_adaptive_clip_range() -> None:
    config = PPOConfig(clip_range="adaptive")
    assert PPOConfig.from_json(config.to_json()) == config
    assert ppo(config).surrogate.clip_range == AdaptiveClipRange()


def test_presets() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 4000 is no multiple of 128
        rllib = PPOConfig.from_arguments({"preset": "rllib"})
    assert (rllib.clip_range, rllib.kl_coef, rllib.target_kl) == (0.3, 0.2, 0.01)
    assert (rllib.learning_rate, rllib.n_epochs, rllib.batch_size) == (5e-5, 30, 128)
    assert (rllib.n_steps, rllib.gae_lambda, rllib.max_grad_norm) == (4000, 1.0, INF)
    update = ppo(rllib)
    assert update.constraint == Mask()
    assert update.proximity == KLPenalty(coefficient=0.2, direction="old_new", rule=rllib_rule(0.01))
    paper = ppo(PPOConfig.from_arguments({"preset": "kl-penalty", "kl_coef": 3.0}))
    assert paper.proximity == KLPenalty(coefficient=3.0, direction="old_new", rule=paper_rule(0.01))
