"""Every form in which users give an environment, made into one vector environment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from fastpg.errors import ConfigError
from fastpg.rollout.autoreset import (
    AutoresetMode,
    DeclaredAutoreset,
    autoreset_mode_of,
    parse_autoreset_mode,
)
from fastpg.rollout.serial import EnvFactory, SerialVectorEnv, describe

_SUPPORTED = (
    "a Gymnasium id such as 'CartPole-v1', a gymnasium.Env, a list of callables that each make one, or a "
    "gymnasium.vector.VectorEnv"
)
_UNKNOWN_KEYWORD = "unexpected keyword argument"  # what Python says of it


def make_vector_env(
    env: Any,
    *,
    n_envs: int = 1,
    seed: int | None = None,
    autoreset_mode: Any = None,
    env_kwargs: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> Any:
    """The environments to train in.

    Args:
        env: an id string or ``EnvSpec``, a ``gymnasium.Env``, a callable or list of callables that make one, or a
            ``gymnasium.vector.VectorEnv``, which is returned as it is.
        n_envs: how many to make from an id or a single callable; otherwise 1 or the number that is given.
        seed: of the first reset of the environments made here; a ``VectorEnv`` is seeded by whoever resets it.
        autoreset_mode: which mode a ``VectorEnv`` follows that does not, or wrongly, declare it.
        env_kwargs: arguments of ``gymnasium.make``, for an id only.
        backend: of the ``SerialVectorEnv``; None is the default backend.

    Returns:
        A ``gymnasium.vector.VectorEnv``; a ``SerialVectorEnv`` unless one was given.

    Raises:
        ConfigError: another kind of environment, an unknown id, or arguments that do not apply to this kind.
        EnvError: an environment raised while it was made.
    """
    if isinstance(n_envs, bool) or not isinstance(n_envs, int) or n_envs < 1:
        raise ConfigError(f"n_envs: expected an integer >= 1, got {n_envs!r}.")
    if env_kwargs and not isinstance(env, str | EnvSpec):
        raise ConfigError(
            f"env_kwargs: expected none, as env is not an id but {type(env).__name__}. Fix: pass them when you make it."
        )
    if isinstance(env, gym.vector.VectorEnv):
        return _declared(env, n_envs, autoreset_mode)
    if autoreset_mode is not None and parse_autoreset_mode(autoreset_mode) is not AutoresetMode.SAME_STEP:
        raise ConfigError(
            f"autoreset_mode: expected None or SameStep, got {autoreset_mode!r}: environments that fastpg makes itself "
            "reset in the same step. Fix: leave it out, or pass a VectorEnv."
        )
    return SerialVectorEnv(_env_factories(env, n_envs, dict(env_kwargs or {})), seed=seed, backend=backend)


def _declared(env: Any, n_envs: int, autoreset_mode: Any) -> Any:
    """``env`` with an autoreset mode that is known."""
    for name in ("num_envs", "single_observation_space", "single_action_space"):
        if not hasattr(env, name):
            raise ConfigError(
                f"env: expected a vector environment with the attribute {name}, got {type(env).__qualname__} without "
                f"it. Fix: set self.{name} in its __init__."
            )
    if n_envs not in (1, env.num_envs):
        raise ConfigError(f"n_envs: expected {env.num_envs}, as env is a VectorEnv of that size, got {n_envs}.")
    if autoreset_mode is not None:
        return DeclaredAutoreset(env, parse_autoreset_mode(autoreset_mode))
    autoreset_mode_of(env)  # raises where it is not declared
    return env


def _env_factories(env: Any, n_envs: int, env_kwargs: dict[str, Any]) -> Sequence[EnvFactory]:
    """One callable per environment."""
    if isinstance(env, str | EnvSpec):
        return [lambda: make_env(env, env_kwargs)] * n_envs
    if inspect.isclass(env):
        raise ConfigError(
            f"env: expected {_SUPPORTED}, got the class {env.__name__}. Fix: pass an instance, {env.__name__}(...), or "
            f"[{env.__name__}] * n_envs."
        )
    if isinstance(env, gym.Env):
        if n_envs != 1:
            raise ConfigError(
                f"n_envs: expected 1, as a single gymnasium.Env cannot be copied, got {n_envs}. Fix: pass the id or a "
                "callable that makes it."
            )
        return [lambda: env]
    if callable(env):
        return [env] * n_envs
    if isinstance(env, Sequence):
        if n_envs not in (1, len(env)):
            raise ConfigError(f"n_envs: expected {len(env)}, the length of the list of callables, got {n_envs}.")
        return env
    has_methods = hasattr(env, "step") and hasattr(env, "reset")
    remedy = "derive it from gymnasium.Env or gymnasium.vector.VectorEnv, or wrap it (shimmy)" if has_methods else ""
    raise ConfigError(f"env: expected {_SUPPORTED}, got {describe(env)}." + (f" Fix: {remedy}." if remedy else ""))


def make_env(env_id: str | EnvSpec, env_kwargs: Mapping[str, Any]) -> Any:
    """``gymnasium.make`` without its passive checker (``SerialVectorEnv`` checks every step), with clear errors.

    Args:
        env_id: an id or an ``EnvSpec``.
        env_kwargs: arguments of ``gymnasium.make``.

    Raises:
        ConfigError: Gymnasium does not know the id, what it needs is not installed, or it does not take ``env_kwargs``.
    """
    try:
        return gym.make(env_id, **{"disable_env_checker": True, **env_kwargs})
    except (gym.error.Error, ModuleNotFoundError) as error:
        reason = str(error) if str(error).endswith((".", "?", "!")) else f"{error}."
        raise ConfigError(
            f"env: expected an id that gymnasium.make knows, got {env_id!r}: {reason} Fix: check the spelling, import "
            "the package that registers it, or install what it needs."
        ) from error
    except TypeError as error:
        if not env_kwargs or _UNKNOWN_KEYWORD not in str(error):
            raise
        raise ConfigError(
            f"env_kwargs: expected what {env_id!r} takes, got {dict(env_kwargs)}: {error}. Fix: leave out what it does "
            "not take."
        ) from error
