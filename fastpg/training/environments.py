"""Between the user's environment and the model: how many there are, whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import Env, Space
from gymnasium.vector import VectorEnv

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import ConfigError
from fastpg.rollout.envs import make_vector_env


def number_of(env: Any) -> int | None:
    """How many environments ``env`` is, or None for an id or a callable, of which any number can be made."""
    if isinstance(env, VectorEnv):
        return getattr(env, "num_envs", None)  # one that lacks it is refused by make_vector_env
    if isinstance(env, Env):
        return 1
    return len(env) if isinstance(env, (list, tuple)) else None


def with_n_envs(env: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``arguments`` with the number of environments that ``env`` is.

    Raises:
        ConfigError: ``arguments`` say another number.
    """
    counted = number_of(env)
    if counted is None:
        return dict(arguments)
    given = arguments.get("n_envs", counted)
    if given != counted:
        raise ConfigError(
            f"n_envs: expected {counted}, the number of environments in env, got {given!r}. Fix: leave n_envs out."
        )
    return {**arguments, "n_envs": counted}


def make_env(config: OnPolicyConfig, env: Any) -> Any:
    """The vector environment for the user's ``env``."""
    return make_vector_env(
        env,
        n_envs=config.n_envs,
        seed=config.seed,
        autoreset_mode=config.autoreset_mode,
        env_kwargs=config.env_kwargs,
        backend=config.backend,
    )


def check_spaces(env: Any, observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Raise ConfigError unless the vector environment ``env`` has the spaces of the model."""
    problems = [
        f"\n  - {name}: expected {expected}, got {given}"
        for name, expected, given in (
            ("observation_space", observation_space, env.single_observation_space),
            ("action_space", action_space, env.single_action_space),
        )
        if expected != given
    ]
    if problems:
        raise ConfigError(
            f"env: its spaces differ from those of the model:{''.join(problems)}\nFix: give an environment with the "
            "spaces the model was trained on."
        )
