"""Arguments as stable-baselines3 and sb3-contrib take them, translated into fastpg's configurations.

The order of the positional arguments, the defaults, and what each quirk means here:

- PPO: a ``batch_size`` above n_steps * n_envs is a warning, and one minibatch of everything.
- A2C: learning rate 7e-4; ``optimizer_class`` in ``policy_kwargs`` wins over ``use_rms_prop``.
- TRPO: the divergence is KL(new || old), averaged over the dimensions of Box and MultiBinary actions, so ``target_kl``
  bounds it per dimension; conjugate gradient ends at a squared residual of 1e-10. It starts at 0 instead of at random
  numbers of size 1e-4, which would make no two updates alike and the solution no better. The damping is fixed, and part
  of the matrix that the length of a step is measured with. The values are not shifted before their first fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fastpg.algorithms.a2c import A2CConfig, a2c
from fastpg.algorithms.checks import Choice, Flag, Scheduled, argument
from fastpg.algorithms.config import OnPolicyConfig
from fastpg.algorithms.natural import DAMPED_SCALE_HELP, DAMPING_HELP, DAMPINGS
from fastpg.algorithms.ppo import PPOConfig, ppo
from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.errors import ConfigError
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.first_order import JointGradientStep
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.proximal import ProximalUpdate
from fastpg.updates.proximity import KLNewOld
from fastpg.updates.schedules import LinearSchedule, Schedule

#: Norm of the residual at which conjugate gradient ends. Source: sb3-contrib (1e-10 for its square).
CG_TOLERANCE = 1e-5

ConfigT = TypeVar("ConfigT", bound=OnPolicyConfig)

_COMMON_TAIL = ("stats_window_size", "tensorboard_log", "policy_kwargs", "verbose", "seed", "device")
_SDE = ("use_sde", "sde_sample_freq", "rollout_buffer_class", "rollout_buffer_kwargs")
PPO_ORDER = (
    *("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf"),
    *("normalize_advantage", "ent_coef", "vf_coef", "max_grad_norm", *_SDE, "target_kl", *_COMMON_TAIL),
    "_init_setup_model",
)
TRPO_ORDER = (
    *("learning_rate", "n_steps", "batch_size", "gamma", "cg_max_steps", "cg_damping", "line_search_shrinking_factor"),
    *("line_search_max_iter", "n_critic_updates", "gae_lambda", *_SDE, "normalize_advantage", "target_kl"),
    *("sub_sampling_factor", *_COMMON_TAIL, "_init_setup_model"),
)
A2C_ORDER = (
    *("learning_rate", "n_steps", "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "rms_prop_eps"),
    *("use_rms_prop", *_SDE, "normalize_advantage", *_COMMON_TAIL, "_init_setup_model"),
)
#: Arguments of fastpg that these constructors take beside stable-baselines3's, by name only.
OWN_ARGUMENTS = ("n_threads", "backend")
#: The only value of an argument that exists for the sake of the signature.
FIXED: Mapping[str, Any] = {"rollout_buffer_class": None, "rollout_buffer_kwargs": None, "_init_setup_model": True}
_FIXED_ADVICE = {
    "rollout_buffer_class": "there is one rollout buffer; leave it out",
    "rollout_buffer_kwargs": "there is one rollout buffer; leave it out",
    "_init_setup_model": "the networks are always built; leave it out",
}
#: Arguments that may be schedules.
SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")
#: Keys of ``policy_kwargs`` that are accepted where they say what is done anyway.
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "features_extractor_kwargs": (None, {}),
    "share_features_extractor": (True, False),
    "normalize_images": (True, False),
    "use_sde": (False,),
    "full_std": (True, False),
    "use_expln": (True, False),
    "squash_output": (False,),
}
_FLATTEN = "FlattenExtractor"


@dataclass(frozen=True, kw_only=True)
class DropInPPOConfig(PPOConfig):
    """PPO as in stable-baselines3."""

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        sizes = {"n_steps", "n_envs", "batch_size"}
        if not sizes & rejected:
            values = {**values, "batch_size": min(values["batch_size"], max(values["n_steps"] * values["n_envs"], 1))}
        yield from super()._contradictions(values, rejected)

    def _cautions(self) -> list[str]:
        n_samples = self.n_steps * self.n_envs
        if self.batch_size <= n_samples:
            return super()._cautions()
        return [
            f"batch_size={self.batch_size} is more than n_steps * n_envs = {n_samples}: every minibatch is all "
            f"{n_samples} samples.",
            *OnPolicyConfig._cautions(self),
        ]


@dataclass(frozen=True, kw_only=True)
class DropInTRPOConfig(TRPOConfig):
    """TRPO as in sb3-contrib."""

    center_values: bool = argument(False, Flag(), "Shift the values by their mean error before the first fit.")
    damping: str | None = argument("fixed", Choice(DAMPINGS), DAMPING_HELP)
    damped_scale: bool = argument(True, Flag(), DAMPED_SCALE_HELP)


@dataclass(frozen=True, kw_only=True)
class DropInA2CConfig(A2CConfig):
    """A2C as in stable-baselines3."""

    learning_rate: Schedule = argument(7e-4, Scheduled(), "Step size; a number, lin_START or a function.")


def ppo_update(config: DropInPPOConfig) -> ProximalUpdate:
    """The update of PPO."""
    n_samples = config.n_steps * config.n_envs
    return ppo(config if config.batch_size <= n_samples else replace(config, batch_size=n_samples))


def trpo_update(config: DropInTRPOConfig) -> LocalModelUpdate:
    """The update of TRPO, with the divergence and the tolerance of sb3-contrib."""
    update = trpo(config)
    direction = update.direction
    if isinstance(direction, NaturalGradient) and isinstance(direction.solver, ConjugateGradient):
        solver = replace(direction.solver, relative_tolerance=0.0, absolute_tolerance=CG_TOLERANCE)
        direction = replace(direction, solver=solver)
    return replace(update, proximity=KLNewOld(is_per_dimension=True), direction=direction)


def a2c_update(config: DropInA2CConfig) -> JointGradientStep:
    """The update of A2C."""
    return a2c(config)


def bind_arguments(
    algorithm: str, order: tuple[str, ...], positional: tuple[Any, ...], keywords: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments by name, those that exist for the signature only taken out.

    Raises:
        ConfigError: too many, one given twice, or one of fastpg that has no place here.
    """
    if len(positional) > len(order):
        raise ConfigError(
            f"{algorithm}: expected at most {len(order) + 2} positional arguments, got {len(positional) + 2}. Fix: "
            "pass them by name."
        )
    arguments = dict(zip(order, positional, strict=False))
    twice = sorted(arguments.keys() & keywords.keys())
    if twice:
        raise ConfigError(f"{algorithm}: expected each argument once, got {', '.join(twice)} by place and by name.")
    arguments |= keywords
    for name in [name for name in FIXED if name in arguments]:
        value = arguments.pop(name)
        if value != FIXED[name] and not (name == "rollout_buffer_kwargs" and value == {}):
            raise ConfigError(f"{name}: expected {FIXED[name]!r} ({_FIXED_ADVICE[name]}), got {value!r}.")
    return arguments


_MADE_OUTSIDE = {
    "n_envs": "make_vec_env(id, n_envs=...)",
    "env_kwargs": "make_vec_env(id, env_kwargs=...)",
    "normalize": "VecNormalize(env)",
    "autoreset_mode": "make_vec_env",
    "preset": "the arguments themselves",
}


def translate(config_class: type[ConfigT], arguments: Mapping[str, Any], *, n_envs: int) -> ConfigT:
    """The configuration for ``arguments`` and ``n_envs`` environments.

    Raises:
        ConfigError: what is wrong, all in one message.
    """
    for name, remedy in _MADE_OUTSIDE.items():
        if name in arguments:
            raise ConfigError(f"{name}: expected the arguments of stable-baselines3, got it. Fix: {remedy}.")
    given = {**with_zero_rates(arguments), "n_envs": n_envs}
    if given.get("policy_kwargs"):
        given["policy_kwargs"] = _plain_policy_kwargs(given["policy_kwargs"])
    if issubclass(config_class, A2CConfig):
        _translate_optimizer(given)
    return config_class.from_arguments(given)


def with_zero_rates(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``arguments`` with schedules that are 0 for the number 0, which scripts give as a learning rate when loading."""
    is_zero = {name: type(arguments.get(name)) in (int, float) and arguments[name] == 0 for name in SCHEDULED}
    return {name: LinearSchedule(0.0) if is_zero.get(name) else value for name, value in arguments.items()}


def _plain_policy_kwargs(policy_kwargs: Any) -> Any:
    """``policy_kwargs`` without what says nothing new."""
    if not isinstance(policy_kwargs, Mapping):
        return policy_kwargs
    kept = {}
    for key, value in policy_kwargs.items():
        is_flatten = key == "features_extractor_class" and getattr(value, "__name__", value) == _FLATTEN
        if not is_flatten and value not in _HARMLESS.get(key, ()):
            kept[key] = value
    optimizer = kept.get("optimizer_kwargs")
    if isinstance(optimizer, Mapping) and optimizer.get("weight_decay", 1) == 0:
        kept["optimizer_kwargs"] = {key: value for key, value in optimizer.items() if key != "weight_decay"}
    return kept


def _translate_optimizer(given: dict[str, Any]) -> None:
    """A2C: an ``optimizer_class`` of the policy takes the place of RMSprop, whose epsilon is then not looked at."""
    policy_kwargs = given.get("policy_kwargs") or {}
    if isinstance(policy_kwargs, Mapping) and "optimizer_class" in policy_kwargs:
        given["use_rms_prop"] = False
    if given.get("use_rms_prop", True) is True and isinstance(policy_kwargs, Mapping):
        given["policy_kwargs"] = {key: value for key, value in policy_kwargs.items() if key != "optimizer_kwargs"}
    elif given.get("use_rms_prop") is False:
        given.pop("rms_prop_eps", None)


def changed(config: ConfigT, name: str, value: Any) -> ConfigT:
    """``config`` with another value of the argument ``name``, checked; its warnings are not repeated.

    Raises:
        ConfigError: the value is out of range, or contradicts another argument.
    """
    values = {field: getattr(config, field) for field in config.fields()} | with_zero_rates({name: value})
    problems = type(config)._problems(values)
    if problems:
        raise ConfigError(f"{config.algorithm}: {'; '.join(problems)}. Nothing was changed.")
    new = copy(config)
    for field, checked in values.items():
        object.__setattr__(new, field, checked)
    return new
