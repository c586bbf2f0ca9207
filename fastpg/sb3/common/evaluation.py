"""How good a policy is: the returns of whole episodes in a vector environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpg.errors import ConfigError, NumericsError, warn_user
from fastpg.sb3.common.monitor import Monitor
from fastpg.sb3.common.vec_env import DummyVecEnv, VecMonitor, is_vecenv_wrapped
from fastpg.sb3.common.vec_env.base_vec_env import is_vec_env

Evaluation = tuple[float, float] | tuple[list[float], list[int]]


class RewardTooLow(NumericsError, AssertionError):  # noqa: N818 - a verdict
    """The mean return is below the threshold; also an AssertionError, as stable-baselines3 raises."""


def evaluate_policy(
    model: Any,
    env: Any,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
) -> Evaluation:
    """Play whole episodes, a number fixed beforehand in each environment, so that short ones are not favoured.

    Args:
        model: has ``predict``.
        env: a ``gymnasium.Env`` or a vector environment of this API. With ``Monitor`` below other wrappers the returns
            are those of the environment itself.
        n_eval_episodes: episodes altogether.
        deterministic: take the most probable action.
        render: call ``env.render()`` after every step.
        callback: called with (locals, globals) for every environment and step; locals has ``i``, ``reward``, ``done``,
            ``info``, ``model``, ``env``, ``observations``, ``actions``, ``episode_rewards`` and ``episode_lengths``.
        reward_threshold: raise if the mean return is not above it.
        return_episode_rewards: return the lists instead of mean and standard deviation.
        warn: warn if ``env`` has no ``Monitor``.

    Returns:
        (mean, standard deviation) of the returns, or (returns, lengths) of the episodes.

    Raises:
        RewardTooLow: the mean is not above ``reward_threshold``.
    """
    if n_eval_episodes < 1:
        raise ConfigError(f"n_eval_episodes: expected an integer >= 1, got {n_eval_episodes!r}.")
    venv: Any = env if is_vec_env(env) else DummyVecEnv([lambda: env])
    is_monitored = _is_monitored(venv)
    if not is_monitored and warn:
        warn_user(
            "The evaluation environment has no Monitor: wrappers that change rewards or episodes change the result. "
            "Wrap it first, Monitor(env), or make it with make_vec_env."
        )
    returns, lengths = _play(
        model, venv, n_eval_episodes, deterministic=deterministic, is_monitored=is_monitored, callback=callback,
        render=render,
    )  # fmt: skip
    mean, deviation = float(np.mean(returns)), float(np.std(returns))
    if reward_threshold is not None and not mean > reward_threshold:
        raise RewardTooLow(
            f"mean return: expected more than reward_threshold = {reward_threshold:.2f}, got {mean:.2f}."
        )
    return (returns, lengths) if return_episode_rewards else (mean, deviation)


def _is_monitored(venv: Any) -> bool:
    """Whether infos hold ``episode``; the wrappers of stable-baselines3 itself count by their names."""
    if is_vecenv_wrapped(venv, VecMonitor) or venv.env_is_wrapped(Monitor)[0]:
        return True
    layer = venv
    while "venv" in vars(layer):
        if type(layer).__name__ == VecMonitor.__name__:
            return True
        layer = layer.venv
    return any(_has_wrapper_named(env, Monitor.__name__) for env in getattr(layer, "envs", [])[:1])


def _has_wrapper_named(env: Any, name: str) -> bool:
    while "env" in vars(env):
        if type(env).__name__ == name:
            return True
        env = env.env
    return False


def _play(
    model: Any,
    env: Any,
    n_episodes: int,
    *,
    deterministic: bool,
    is_monitored: bool,
    callback: Any,
    render: bool,
) -> tuple[list[float], list[int]]:
    """Returns and lengths of ``n_episodes`` episodes."""
    n_envs = env.num_envs
    episode_rewards: list[float] = []
    episode_lengths: list[int] = []
    counts = np.zeros(n_envs, np.int64)
    targets = np.array([(n_episodes + index) // n_envs for index in range(n_envs)])
    sums, steps = np.zeros(n_envs), np.zeros(n_envs, np.int64)
    observations, states = env.reset(), None
    starts = np.ones(n_envs, np.bool_)
    while (counts < targets).any():
        actions, states = model.predict(observations, state=states, episode_start=starts, deterministic=deterministic)
        new_observations, rewards, dones, infos = env.step(actions)
        sums += rewards
        steps += 1
        starts = np.array(dones)
        for i in np.flatnonzero(counts < targets):
            reward, done, info = rewards[i], dones[i], infos[i]  # names that callbacks look for
            if callback is not None:
                callback(locals(), globals())
            if not done:
                continue
            if not is_monitored or "episode" in info:
                row = info["episode"] if is_monitored else {"r": sums[i], "l": steps[i]}
                episode_rewards.append(float(row["r"]))
                episode_lengths.append(int(row["l"]))
                counts[i] += 1
            sums[i], steps[i] = 0.0, 0
        observations = new_observations
        if render:
            env.render()
    return episode_rewards, episode_lengths
