"""What every on-policy algorithm is configured with, and how a configuration checks itself.

A configuration is a frozen dataclass whose fields carry their check, help and source (``argument``). It is checked as a
whole when it is made: every rejected argument is reported in one ConfigError. The constructor of a model, its
docstring and the command line are generated from the fields.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, TypeVar

from fastpg.algorithms.checks import (
    Choice,
    Flag,
    Integer,
    Keywords,
    Optional,
    Real,
    Rejected,
    Scheduled,
    Text,
    argument,
    default_of,
    find_problems,
)
from fastpg.algorithms.policy_options import POLICY_KWARGS, PolicyOptions
from fastpg.errors import ConfigError, warn_user
from fastpg.kernels.layout import PolicyLayout
from fastpg.machine import n_cores
from fastpg.updates.schedules import LinearSchedule, LostSchedule, Schedule

ConfigT = TypeVar("ConfigT", bound="OnPolicyConfig")

MAX_COUNT = 2**31 - 1

NORMALIZER_OPTIONS = Keywords(
    checks={
        "norm_obs": Flag(),
        "norm_reward": Flag(),
        "clip_obs": Real(0.0, is_above=True),
        "clip_reward": Real(0.0, is_above=True),
        "epsilon": Real(0.0, is_above=True),
    }
)

_FASTPG = "fastpg"
_LOST = "__python__"
_INFINITY = "__infinity__"
_NOT_APPLICABLE = {
    "rollout_buffer_class": "fastpg has one rollout buffer; leave it out",
    "rollout_buffer_kwargs": "fastpg has one rollout buffer; leave it out",
    "_init_setup_model": "the networks are always built; leave it out",
}


class Normalize:
    """False, True, or a dict of options of the normaliser."""

    def __call__(self, value: Any) -> bool | dict[str, Any]:
        """Check ``value``; an empty dict means the defaults, as True does."""
        if isinstance(value, Mapping):
            return NORMALIZER_OPTIONS(value)
        try:
            return Flag()(value)
        except Rejected as rejected:
            raise Rejected(f"{rejected}, or a dict with keys among {', '.join(NORMALIZER_OPTIONS.checks)}") from None


class KeywordArguments:
    """Any mapping with string keys."""

    def __call__(self, value: Any) -> dict[str, Any]:
        """Check ``value``."""
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Rejected("a dict of keyword arguments")
        return dict(value)


@dataclass(eq=False, repr=False)
class NotYet:
    """Only False: the feature does not exist yet."""

    advice: str

    def __call__(self, value: Any) -> bool:
        """Check ``value``."""
        if Flag()(value):
            raise Rejected(f"False ({self.advice})")
        return False


@dataclass(frozen=True, kw_only=True)
class OnPolicyConfig:
    """Arguments that all on-policy algorithms share; names and defaults as in stable-baselines3 where it has them."""

    learning_rate: Schedule = argument(3e-4, Scheduled(), "Step size of Adam; a number, lin_START or a function.")
    n_steps: int = argument(2048, Integer(1, MAX_COUNT), "Steps of each environment per iteration.")
    gamma: float = argument(0.99, Real(0.0, 1.0), "Discount per step.")
    gae_lambda: float = argument(0.95, Real(0.0, 1.0), "Bias-variance trade-off of the advantage estimate (GAE).")
    normalize_advantage: bool = argument(True, Flag(), "Standardise the advantages of each minibatch.")
    use_sde: bool = argument(
        False,
        NotYet("state-dependent exploration is not supported yet; leave use_sde out to explore with Gaussian noise"),
        "State-dependent exploration; not supported yet.",
    )
    sde_sample_freq: int = argument(-1, Integer(-1), "Steps between noise matrices of state-dependent exploration.")
    stats_window_size: int = argument(
        100, Integer(1, MAX_COUNT), "Finished episodes that the rollout statistics average over."
    )
    tensorboard_log: str | None = argument(None, Optional(Text()), "Directory for TensorBoard files.")
    policy_kwargs: dict[str, Any] | None = argument(
        None,
        Optional(POLICY_KWARGS),
        "Networks: net_arch, activation_fn ('tanh' or 'relu'), ortho_init, log_std_init, optimizer_kwargs.",
    )
    verbose: int = argument(0, Integer(0, 2), "1 prints a table of the metrics, 2 also messages.")
    seed: int | None = argument(
        None, Optional(Integer(0, 2**64 - 1)), "Key of all random numbers; None draws one from the system."
    )
    device: str = argument(
        "auto", Choice(("auto", "cpu"), advice=" (fastpg is CPU only; leave device out)"), "Always the CPU."
    )
    n_envs: int = argument(1, Integer(1, 65536), "Environments that are stepped together.", source=_FASTPG)
    n_threads: int = argument(1, Integer(1), "Threads; the results do not depend on it.", source=_FASTPG)
    backend: str | None = argument(
        None,
        Optional(Choice(("native", "jit", "reference"))),
        "Kernels: native (C++), jit (Numba) or reference (NumPy); None takes the best available.",
        source=_FASTPG,
    )
    normalize: bool | dict[str, Any] = argument(
        False,
        Normalize(),
        "Running normalisation of observations and rewards inside the model: True, or a dict of norm_obs, norm_reward, "
        "clip_obs, clip_reward, epsilon.",
        source=_FASTPG,
    )
    env_kwargs: dict[str, Any] | None = argument(
        None, Optional(KeywordArguments()), "Keyword arguments for making the environments.", source=_FASTPG
    )
    autoreset_mode: str | None = argument(
        None,
        Optional(Choice(("NextStep", "SameStep", "Disabled"))),
        "Autoreset mode of a vector environment that does not declare one.",
        source="Gymnasium",
    )

    preset: str | None = argument(
        None, Optional(Text()), "Name of a set of defaults; arguments that are given win over it.", source=_FASTPG
    )

    algorithm: ClassVar[str] = "on-policy"
    #: name -> defaults that differ from those of the fields
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: name -> what its default was in an earlier version, which may be saved where it has no effect
    former_defaults: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in self.fields()}
        problems = self._problems(values)
        if problems:
            raise _config_error(self.algorithm, problems)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for message in self._cautions():
            warn_user(message)
        if self.n_threads > 1:
            object.__setattr__(self, "n_threads", min(self.n_threads, n_cores()))

    @classmethod
    def fields(cls) -> dict[str, Field[Any]]:
        """The arguments by name, in the order of their declaration."""
        return {field.name: field for field in fields(cls)}

    @classmethod
    def from_arguments(cls: type[ConfigT], arguments: Mapping[str, Any]) -> ConfigT:
        """The configuration for keyword arguments as a user gives them.

        Raises:
            ConfigError: names that do not exist (with the closest one that does) and values that are out of range,
                all in one message.
        """
        specs = cls.fields()
        unknown = [_explain_unknown(name, specs) for name in arguments if name not in specs]
        if unknown:
            given = {name: arguments.get(name, default_of(spec)) for name, spec in specs.items()}
            raise _config_error(cls.algorithm, unknown + cls._problems(given))
        return cls(**{**cls._preset(arguments.get("preset")), **arguments})

    @classmethod
    def _preset(cls, name: Any) -> Mapping[str, Any]:
        """The defaults called ``name``; none for a name that does not exist, which the checks will reject."""
        return cls.presets.get(name, {}) if isinstance(name, str) else {}

    @classmethod
    def from_json(cls: type[ConfigT], encoded: Mapping[str, Any], **overrides: Any) -> ConfigT:
        """The configuration that ``to_json`` encoded, with ``overrides`` in place of some arguments."""
        arguments = dict(encoded) | overrides
        for name, value in arguments.items():
            if isinstance(value, Mapping) and _LOST in value:
                arguments[name] = _stand_in(name, cls.fields()[name], value[_LOST])
            elif value == _INFINITY:
                arguments[name] = math.inf
        for name in cls._outdated(arguments) - overrides.keys():
            del arguments[name]
        return cls.from_arguments(arguments)

    @classmethod
    def _outdated(cls, arguments: Mapping[str, Any]) -> set[str]:
        """The ``arguments`` that are at a former default and contradict another one: options without effect."""
        if not cls.former_defaults:
            return set()
        given = {**cls._preset(arguments.get("preset")), **arguments}
        values = {name: given.get(name, default_of(spec)) for name, spec in cls.fields().items()}
        rejected = {problem.partition(":")[0] for problem in find_problems(cls.fields(), values)}
        pairs = [needed for needed, _ in cls._contradictions(values, rejected) if not needed & rejected]
        former = {name for name, default in cls.former_defaults.items() if values[name] == default}
        return former & arguments.keys() & set().union(*pairs)

    def to_json(self) -> dict[str, Any]:
        """The arguments as JSON values; a Python function is represented by its description only."""
        return {name: _encode(getattr(self, name)) for name in self.fields()}

    @property
    def policy_options(self) -> PolicyOptions:
        """``policy_kwargs`` with its defaults."""
        return PolicyOptions.from_kwargs(self.policy_kwargs)

    @property
    def has_values(self) -> bool:
        """Whether advantages are taken against the value network."""
        return True

    @property
    def n_samples_kept(self) -> int:
        """Samples whose activations an update keeps from beginning to end; 0 where it works through them in tiles."""
        return 0

    def update_bytes(self, layout: PolicyLayout) -> int:
        """Bytes that an update needs for a policy beside its parameters and what it keeps of samples; mostly none."""
        del layout
        return 0

    def check_layout(self, layout: PolicyLayout) -> None:
        """Raise ConfigError if the algorithm cannot train such a policy; most can train any."""

    @property
    def entropy_reward(self) -> float:
        """Reward per nat of -log pi(a|s) that is added to every reward; 0 for most algorithms."""
        return 0.0

    @classmethod
    def _problems(cls, values: dict[str, Any]) -> list[str]:
        """Rejected arguments, one line each; accepted ones become canonical in ``values``."""
        problems = find_problems(cls.fields(), values)
        if values["preset"] is not None and values["preset"] not in cls.presets:
            problems.append(f"preset: expected {_one_of(cls.presets)}, got {values['preset']!r}")
        rejected = {problem.partition(":")[0] for problem in problems}
        return problems + [text for needed, text in cls._contradictions(values, rejected) if not needed & rejected]

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        """Pairs (arguments involved, what is wrong with their combination)."""
        return ()

    def _cautions(self) -> list[str]:
        """Legal but doubtful settings, one warning each."""
        n_available = n_cores() if self.n_threads > 1 else 1
        if self.n_threads <= n_available:
            return []
        return [f"n_threads={self.n_threads} is more than the {n_available} available cores; {n_available} are used."]


def unused_options(
    config_class: type[OnPolicyConfig], values: Mapping[str, Any], names: Iterable[str], *, because: tuple[str, str]
) -> Iterable[tuple[set[str], str]]:
    """A contradiction for each of ``names`` that was changed although another argument leaves it without effect.

    What the preset says was not changed.

    Args:
        config_class: where the defaults are.
        values: of all arguments.
        names: the options without effect.
        because: (the other argument, the value of it that would use them).
    """
    chooser, wanted = because
    specs = config_class.fields()
    preset = config_class._preset(values["preset"])
    for name in names:
        default = default_of(specs[name])
        if values[name] not in (default, preset.get(name, default)):
            yield (
                {name, chooser},
                f"{name}: expected its default {default!r} with {chooser}={values[chooser]!r}, which does not use it, "
                f"got {values[name]!r} (or {chooser}={wanted})",
            )


def _config_error(algorithm: str, problems: list[str]) -> ConfigError:
    """One error for all ``problems``."""
    what = "an argument is wrong" if len(problems) == 1 else f"{len(problems)} arguments are wrong"
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return ConfigError(f"{algorithm}: {what}, and nothing was created:{lines}\nFix: change the values listed above.")


def _explain_unknown(name: str, known: Iterable[str]) -> str:
    """Why ``name`` is not an argument, with the closest one."""
    if name in _NOT_APPLICABLE:
        return f"{name}: not supported ({_NOT_APPLICABLE[name]})"
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; the arguments are {', '.join(known)}"
    return f"{name}: expected the name of an argument, got an unknown one{hint}"


def _one_of(names: Iterable[str]) -> str:
    """The names that are allowed beside None, for a message."""
    return " or ".join(["None", *map(repr, names)])


def _encode(value: Any) -> Any:
    """``value`` as JSON, a linear schedule as its text, any other Python object by its description."""
    if isinstance(value, float) and math.isinf(value):
        return _INFINITY
    if isinstance(value, LinearSchedule):
        return str(value)
    if isinstance(value, LostSchedule):
        return {_LOST: value.description}
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return {_LOST: repr(value)}
    return value


def _stand_in(name: str, spec: Field[Any], description: str) -> Any:
    """What takes the place of the Python object that was argument ``name`` when the configuration was saved."""
    check = spec.metadata["check"]
    if isinstance(check.check if isinstance(check, Optional) else check, Scheduled):
        return LostSchedule(name, description)
    warn_user(
        f"{name} held Python objects ({description}), which are not saved; its default is used. "
        f"Pass {name}=... when loading to give it again."
    )
    return default_of(spec)
