"""Making vector environments from an id or a callable."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from fastpg.errors import ConfigError
from fastpg.sb3.common.monitor import Monitor
from fastpg.sb3.common.vec_env import DummyVecEnv, VecEnv
from fastpg.sb3.common.wrapping import is_wrapped, unwrap_wrapper

__all__ = ["is_wrapped", "make_vec_env", "unwrap_wrapper"]


def make_vec_env(
    env_id: str | Callable[..., Any],
    n_envs: int = 1,
    seed: int | None = None,
    start_index: int = 0,
    monitor_dir: str | None = None,
    wrapper_class: Callable[..., Any] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    vec_env_cls: Callable[..., VecEnv] | None = None,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_kwargs: dict[str, Any] | None = None,
    wrapper_kwargs: dict[str, Any] | None = None,
) -> VecEnv:
    """A vector environment of ``n_envs`` monitored environments.

    Args:
        env_id: a Gymnasium id, or a callable that makes an environment.
        n_envs: how many.
        seed: environment i is seeded with ``seed + i`` at the first reset; None draws a seed.
        start_index: number of the first environment, in file names and for the seeds of action spaces.
        monitor_dir: directory of the files ``<number>.monitor.csv``; None writes none.
        wrapper_class: wraps each monitored environment.
        env_kwargs: arguments for making an environment.
        vec_env_cls: DummyVecEnv (the default) or SubprocVecEnv.
        vec_env_kwargs: arguments of it.
        monitor_kwargs: arguments of ``Monitor``.
        wrapper_kwargs: arguments of ``wrapper_class``.

    Raises:
        ConfigError: Gymnasium does not know the id.
    """
    make_one = partial(
        _make_one,
        env_id,
        seed=seed,
        monitor_dir=monitor_dir,
        wrapper_class=wrapper_class,
        env_kwargs=env_kwargs or {},
        monitor_kwargs=monitor_kwargs or {},
        wrapper_kwargs=wrapper_kwargs or {},
    )
    env_fns = [partial(make_one, rank=start_index + index) for index in range(n_envs)]
    venv = (vec_env_cls or DummyVecEnv)(env_fns, **(vec_env_kwargs or {}))
    venv.seed(seed)
    return venv


def _make_one(
    env_id: str | Callable[..., Any],
    *,
    rank: int,
    seed: int | None,
    monitor_dir: str | None,
    wrapper_class: Callable[..., Any] | None,
    env_kwargs: dict[str, Any],
    monitor_kwargs: dict[str, Any],
    wrapper_kwargs: dict[str, Any],
) -> gym.Env[Any, Any]:
    env = make_by_id(env_id, **env_kwargs) if isinstance(env_id, str) else env_id(**env_kwargs)
    if seed is not None:
        env.action_space.seed(seed + rank)
    filename = None if monitor_dir is None else os.path.join(monitor_dir, str(rank))
    monitored: Any = Monitor(env, filename=filename, **monitor_kwargs)
    return monitored if wrapper_class is None else wrapper_class(monitored, **wrapper_kwargs)  # type: ignore[no-any-return]


def make_by_id(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """``gymnasium.make``, by default with frames that ``render`` returns, and without its passive checker.

    Raises:
        ConfigError: Gymnasium does not know the id, or lacks what it needs.
    """
    arguments = {"disable_env_checker": True, **kwargs}
    try:
        try:
            return gym.make(env_id, **{"render_mode": "rgb_array", **arguments})
        except TypeError:  # the environment does not take a render_mode
            return gym.make(env_id, **arguments)
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise ConfigError(
            f"env_id: expected an id that gymnasium.make knows, got {env_id!r}: {error} Fix: check the spelling, "
            "import the package that registers it, or install what it needs."
        ) from error
