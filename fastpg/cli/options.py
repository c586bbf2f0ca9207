"""Command-line options made from the fields of a configuration dataclass.

Each field becomes one flag: its name with dashes, its help text and default from the field, its kind from the type
annotation. Only options that the user gave are passed on; the configuration fills in and checks the rest.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from fastpg.errors import ConfigError
from fastpg.machine import n_cores

_ARTICLES = {"integer": "an integer", "number": "a number"}
NORMALIZE = "normalize"
POLICY_KWARGS = "policy_kwargs"
#: What the command line uses in place of the default of the configuration; see ``config_arguments``.
_COMMAND_LINE_DEFAULTS = {"seed": "drawn, and kept in config.json", "n_threads": "all cores", "verbose": "1"}
_NONE = object()  # an explicit ``none``; click's own None means "not given"
_MACHINE = (
    "seed",
    "n_envs",
    "n_threads",
    "backend",
    "device",
    "env_kwargs",
    "autoreset_mode",
    "verbose",
    "tensorboard_log",
)


class SectionOption(click.Option):
    """An option that knows under which heading of the help it stands."""

    def __init__(self, *arguments: Any, section: str = "Options", **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help lists its options under headings, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one definition list per section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Help"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class JSONObject(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """A JSON object on the command line, such as ``'{"g": 9.8}'``."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Parse ``value``."""
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value)
        except ValueError as error:
            self.fail(f"expected a JSON object such as '{{\"key\": 1}}', got {value!r} ({error})", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f"expected a JSON object such as '{{\"key\": 1}}', got {value!r}", param, ctx)
        return parsed


class Scalar(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """A number, or text where the field takes text (a schedule), or ``none`` where it may be None.

    Args:
        kinds: what the field's annotation allows, among int, float and str.
        is_optional: whether ``none`` is allowed.
        is_schedule: whether the text form of a schedule is allowed.
    """

    def __init__(self, kinds: Sequence[type], *, is_optional: bool, is_schedule: bool) -> None:
        self._kinds = kinds
        self._is_optional = is_optional
        self._is_schedule = is_schedule
        self.name = "schedule" if is_schedule else {int: "integer", float: "number"}.get(kinds[0], "text")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse ``value``; ``1e6`` counts as an integer."""
        if self._is_optional and value.lower() == "none":
            return _NONE
        for kind in self._kinds:
            try:
                return _integer(value) if kind is int else kind(value)
            except ValueError:
                continue
        if not self._is_schedule:
            none = " or none" if self._is_optional else ""
            self.fail(f"expected {_ARTICLES.get(self.name, self.name)}{none}, got {value!r}", param, ctx)
        return value


class WholeNumber(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """A whole number; ``1e6`` works too.

    Args:
        minimum: the smallest that is allowed.
    """

    name = "integer"

    def __init__(self, *, minimum: int = 0) -> None:
        self._minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ``value``."""
        try:
            number = _integer(str(value))
        except (ValueError, OverflowError):
            number = None
        if number is None or number < self._minimum:
            self.fail(f"expected a whole number >= {self._minimum}, such as 20 or 1e6, got {value!r}", param, ctx)
        return number


class Layers(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """Hidden layer sizes: ``64,64`` for both networks, or ``pi=64,64:vf=128,128``."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse ``value``."""
        try:
            if "=" not in value:
                return _sizes(value)
            parts = [part.partition("=") for part in value.split(":")]
            networks = {network: _sizes(sizes) for network, _, sizes in parts}
        except ValueError:
            self.fail(f"expected 64,64 or pi=64,64:vf=128,128, got {value!r}", param, ctx)
        if len(networks) < len(parts):
            self.fail(f"expected each network once, as in pi=64,64:vf=128,128, got {value!r}", param, ctx)
        return networks


POLICY_OPTIONS: Mapping[str, dict[str, Any]] = {
    "net_arch": {"type": Layers(), "help": "Hidden layers of both networks, or pi=64,64:vf=128,128.  [default: 64,64]"},
    "activation_fn": {"type": click.Choice(["tanh", "relu"]), "help": "Hidden activation.  [default: tanh]"},
    "ortho_init": {"help": "Orthogonal initialisation, else PyTorch's default.  [default: yes]"},
    "log_std_init": {
        "type": Scalar([float], is_optional=False, is_schedule=False),
        "help": "Initial log standard deviation of Gaussian actions.  [default: 0]",
    },
}


def config_options(config_class: type) -> list[click.Option]:
    """One option for each field of ``config_class``, several for ``policy_kwargs`` and ``normalize``."""
    hints = typing.get_type_hints(config_class)
    options = []
    for field in dataclasses.fields(config_class):
        section = f"{_title(config_class)} options"
        if field.name == POLICY_KWARGS:
            options += [_option(name, section="Network options", **spec) for name, spec in POLICY_OPTIONS.items()]
            section = "Network options"
        elif field.name in _MACHINE:
            section = "Machine and environment options"
        if field.name == NORMALIZE:
            options.append(_option("normalize_options", type=JSONObject(), section=section, help=_NORMALIZE_HELP))
            options.append(
                _flag(field.name, "Running normalisation of observations and rewards.  [default: no]", section)
            )
            continue
        options.append(_field_option(field, hints[field.name], section))
        if field.name == "preset":
            names = ", ".join(getattr(config_class, "presets", ())) or f"{_title(config_class)} has none"
            options[-1].help = (options[-1].help or "").replace(
                "Name of a set of defaults", f"Set of defaults ({names})"
            )
    return options


_NORMALIZE_HELP = (
    "Normalise with these settings, for instance '{\"norm_reward\": false}'; the keys are norm_obs, norm_reward, "
    "clip_obs, clip_reward, epsilon."
)


def config_arguments(config_class: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the configuration that the command-line values ``given`` stand for.

    Three defaults differ from the configuration's: all cores, a table, and a seed that is drawn here.

    Raises:
        ConfigError: ``--normalize-options`` beside ``--no-normalize``.
    """
    names = {field.name for field in dataclasses.fields(config_class)}
    given = {key: value for key, value in given.items() if value is not None}
    arguments = {key: None if value is _NONE else value for key, value in given.items() if key in names}
    policy = {key: given[key] for key in POLICY_OPTIONS if key in given}
    if policy:
        arguments[POLICY_KWARGS] = (arguments.get(POLICY_KWARGS) or {}) | policy
    if "normalize_options" in given:
        if not arguments.get(NORMALIZE, True):
            raise ConfigError(
                f"normalize_options: expected none beside --no-normalize, got {given['normalize_options']}. Fix: leave "
                "one of the two out."
            )
        arguments[NORMALIZE] = given["normalize_options"]
    if arguments.get("seed") is None:
        arguments["seed"] = secrets.randbits(31)
    return {"n_threads": n_cores(), "verbose": 1} | arguments


def _field_option(field: dataclasses.Field[Any], hint: Any, section: str) -> click.Option:
    """The option for one ordinary field."""
    kinds = _members(hint)
    default = _COMMAND_LINE_DEFAULTS.get(field.name, _show(field.default))
    text = f"{field.metadata['help']}  [default: {default}]"
    if bool in kinds:
        return _flag(field.name, text, section)
    choices = getattr(_inner(field.metadata.get("check")), "choices", None)
    if choices:
        return _option(field.name, type=click.Choice(choices, case_sensitive=False), section=section, help=text)
    if any(kind in (dict, Mapping) for kind in kinds):
        return _option(field.name, type=JSONObject(), section=section, help=text)
    scalar = Scalar(
        [kind for kind in (int, float, str) if kind in kinds],
        is_optional=type(None) in kinds,
        is_schedule=Callable in kinds,
    )
    return _option(field.name, type=scalar, section=section, help=text)


def _option(name: str, *, section: str, **keywords: Any) -> click.Option:
    if "type" not in keywords:
        return _flag(name, keywords["help"], section)
    return SectionOption([_flag_name(name), name], default=None, section=section, **keywords)


def _flag(name: str, text: str, section: str) -> click.Option:
    flag = _flag_name(name)
    return SectionOption([f"{flag}/--no-{flag[2:]}", name], default=None, section=section, help=text)


def _flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def _members(hint: Any) -> set[Any]:
    """The plain types in a union annotation, generics by their origin: ``float | Callable[..., float]``."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return {kind for member in typing.get_args(hint) for kind in _members(member)}
    return {Callable if getattr(origin, "__name__", "") == "Callable" else origin or hint}


def _inner(check: Any) -> Any:
    """The check inside an optional one."""
    return getattr(check, "check", check)


def _title(config_class: type) -> str:
    return str(getattr(config_class, "algorithm", config_class.__name__))


def _show(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "none" if default is None else f"{default}"


def _integer(text: str) -> int:
    """``1000000`` or ``1e6``."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",") if size.strip()]
