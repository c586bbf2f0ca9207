"""Checking an environment, by Gymnasium's own checker."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from fastpg.errors import ConfigError


def check_env(env: gym.Env[Any, Any], warn: bool = True, skip_render_check: bool = True) -> None:
    """Look whether ``env`` follows the Gymnasium API.

    Args:
        env: not wrapped.
        warn: not used: the checker's warnings are Python warnings.
        skip_render_check: do not try its render modes.

    Raises:
        ConfigError: ``env`` is no ``gymnasium.Env``.
        AssertionError: what the checker found.
    """
    from gymnasium.utils.env_checker import check_env as check  # noqa: PLC0415 - rarely needed

    del warn
    if not isinstance(env, gym.Env):
        raise ConfigError(
            f"env: expected a gymnasium.Env, got {type(env).__name__}. Fix: derive it from gymnasium.Env."
        )
    check(env, skip_render_check=skip_render_check)
