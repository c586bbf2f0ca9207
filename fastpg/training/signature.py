"""The constructor of a model as users and editors see it, generated from the fields of its configuration."""

from __future__ import annotations

import inspect
import textwrap

from fastpg.algorithms.checks import default_of
from fastpg.algorithms.config import OnPolicyConfig


def constructor_signature(config_class: type[OnPolicyConfig]) -> inspect.Signature:
    """``(policy, env, *, learning_rate=0.0003, ...)``."""
    kinds = inspect.Parameter
    leading = [kinds(name, kinds.POSITIONAL_OR_KEYWORD) for name in ("policy", "env")]
    options = [
        kinds(name, kinds.KEYWORD_ONLY, default=default_of(spec), annotation=spec.type)
        for name, spec in config_class.fields().items()
    ]
    return inspect.Signature([*leading, *options])


def describe_arguments(config_class: type[OnPolicyConfig]) -> str:
    """The ``Args`` section of a docstring: one entry per argument, with its default and the source of that."""
    lines = [
        'policy: "MlpPolicy", the only kind of policy.',
        "env: a Gymnasium id, a gymnasium.Env, a callable or list of callables that make one, or a "
        "gymnasium.vector.VectorEnv.",
    ]
    for name, spec in config_class.fields().items():
        lines.append(f"{name}: {spec.metadata['help']} Default {default_of(spec)!r} ({spec.metadata['source']}).")
    wrap = textwrap.TextWrapper(width=108, initial_indent="    ", subsequent_indent="        ")
    return "Args:\n" + "\n".join(wrap.fill(line) for line in lines) + "\n"


def describe_constructor(cls: type, config_class: type[OnPolicyConfig]) -> None:
    """Give ``cls`` the generated signature and docstring, and a read-only property per argument."""
    cls.__signature__ = constructor_signature(config_class)  # type: ignore[attr-defined]  # read by inspect
    cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{describe_arguments(config_class)}"
    for name, spec in config_class.fields().items():
        if not hasattr(cls, name):
            setattr(cls, name, property(_reader(name), doc=spec.metadata["help"]))


def _reader(name: str):  # type: ignore[no-untyped-def]  # a getter for whichever type the field has
    return lambda model: getattr(model.config, name)
