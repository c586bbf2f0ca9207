"""Every form in which stable-baselines3 takes an environment, made into one vector environment of its API."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from fastpg.errors import ConfigError
from fastpg.sb3.collector import VecEnvAdapter
from fastpg.sb3.common.env_util import make_by_id
from fastpg.sb3.common.monitor import Monitor
from fastpg.sb3.common.vec_env import DummyVecEnv
from fastpg.sb3.common.vec_env.base_vec_env import is_vec_env

_EXPECTED = "a Gymnasium id, a gymnasium.Env or a VecEnv (make_vec_env)"


def as_vec_env(env: Any) -> Any:
    """The vector environment for the user's ``env``; single environments get a ``Monitor`` if they have none.

    Raises:
        ConfigError: another kind of environment.
    """
    if is_vec_env(env):
        return env
    if isinstance(env, VecEnvAdapter):
        return env.venv
    if isinstance(env, str):
        env = make_by_id(env)
    if isinstance(env, gym.vector.VectorEnv):
        raise ConfigError(
            f"env: expected {_EXPECTED}, got the Gymnasium vector environment {env}. Fix: fastpg.PPO and the others "
            "take these; here, use make_vec_env."
        )
    if not isinstance(env, gym.Env):
        raise ConfigError(f"env: expected {_EXPECTED}, got {type(env).__name__}. Fix: derive it from gymnasium.Env.")
    single = env if _has_monitor(env) else Monitor(env)
    return DummyVecEnv([lambda: single])


def _has_monitor(env: Any) -> bool:
    """Whether a wrapper of ``env`` is a ``Monitor``, from here or from stable-baselines3."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Monitor) or type(env).__name__ == Monitor.__name__:
            return True
        env = env.env
    return False
