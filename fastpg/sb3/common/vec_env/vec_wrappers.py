"""Small wrappers of vector environments: episode statistics, checks, stacks of frames, one entry of a dict."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gymnasium import spaces

from fastpg.errors import ConfigError, EnvDataError, SpaceError, warn_user
from fastpg.sb3.common.monitor import ResultsWriter, env_id_of
from fastpg.sb3.common.vec_env.base_vec_env import Array, Step, VecEnv, VecEnvWrapper


class VecMonitor(VecEnvWrapper):
    """Puts return, length and time of an ended episode into its info, as ``Monitor`` does for one environment.

    Args:
        venv: what is watched.
        filename: of a CSV file of the episodes; None writes none.
        info_keywords: entries of the last info to add.
    """

    def __init__(self, venv: VecEnv, filename: str | None = None, info_keywords: tuple[str, ...] = ()) -> None:
        super().__init__(venv)
        self.info_keywords = info_keywords
        self.t_start = time.time()
        header = {"t_start": self.t_start, "env_id": env_id_of(venv)}
        self.results_writer = ResultsWriter(filename, header, info_keywords) if filename else None
        self.episode_returns = np.zeros(self.num_envs, np.float64)
        self.episode_lengths = np.zeros(self.num_envs, np.int32)
        self.episode_count = 0

    def reset(self) -> Any:
        """Begin new episodes everywhere."""
        self.episode_returns[:] = 0.0
        self.episode_lengths[:] = 0
        return self.venv.reset()

    def step_wait(self) -> Step:
        """The step of ``venv``, with ``episode`` in the infos of ended episodes."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self.episode_returns += rewards
        self.episode_lengths += 1
        for index in dones.nonzero()[0]:
            row = {
                "r": float(self.episode_returns[index]),
                "l": int(self.episode_lengths[index]),
                "t": round(time.time() - self.t_start, 6),
            } | {key: infos[index][key] for key in self.info_keywords}
            infos[index]["episode"] = row
            self.episode_count += 1
            self.episode_returns[index], self.episode_lengths[index] = 0.0, 0
            if self.results_writer is not None:
                self.results_writer.write_row(row)
        return observations, rewards, dones, infos

    def close(self) -> None:
        """Close the file and ``venv``."""
        if self.results_writer is not None:
            self.results_writer.close()
        self.venv.close()


class VecCheckNan(VecEnvWrapper):
    """Looks for NaN and infinity in actions, observations and rewards.

    Args:
        venv: what is watched.
        raise_exception: raise EnvDataError; otherwise warn.
        warn_once: warn at the first place only.
        check_inf: look for infinity too.
    """

    def __init__(
        self, venv: VecEnv, raise_exception: bool = False, warn_once: bool = True, check_inf: bool = True
    ) -> None:
        super().__init__(venv)
        self.raise_exception, self.warn_once, self.check_inf = raise_exception, warn_once, check_inf
        self._has_warned = False

    def reset(self) -> Any:
        """Begin new episodes everywhere."""
        observations = self.venv.reset()
        self._check(observations=observations)
        return observations

    def step_async(self, actions: Array) -> None:
        """Begin a step."""
        self._check(actions=actions)
        self.venv.step_async(actions)

    def step_wait(self) -> Step:
        """The step of ``venv``."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self._check(observations=observations, rewards=rewards)
        return observations, rewards, dones, infos

    def _check(self, **arrays: Any) -> None:
        if self._has_warned and self.warn_once and not self.raise_exception:
            return
        for name, array in arrays.items():
            is_bad = ~np.isfinite(array) if self.check_inf else np.isnan(array)
            if not np.any(is_bad):
                continue
            index = int(np.argwhere(is_bad)[0][0])
            message = (
                f"{name}: expected finite numbers, got {np.asarray(array)[index]} — env {index} of {self.num_envs}."
            )
            if self.raise_exception:
                raise EnvDataError(f"{message} Fix: look for a division by zero there.")
            self._has_warned = True
            warn_user(message)


class VecExtractDictObs(VecEnvWrapper):
    """One entry of observations that are dicts.

    Args:
        venv: with a Dict observation space.
        key: of the entry.
    """

    def __init__(self, venv: VecEnv, key: str) -> None:
        space = venv.observation_space
        if not isinstance(space, spaces.Dict) or key not in space.spaces:
            raise SpaceError(f"key: expected an entry of a Dict observation space, got {key!r} for {space}.")
        self.key = key
        super().__init__(venv, observation_space=space.spaces[key])

    def reset(self) -> Any:
        """Begin new episodes everywhere."""
        return self.venv.reset()[self.key]

    def step_wait(self) -> Step:
        """The step of ``venv``."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for index in dones.nonzero()[0]:
            infos[index]["terminal_observation"] = infos[index]["terminal_observation"][self.key]
        return observations[self.key], rewards, dones, infos


class VecFrameStack(VecEnvWrapper):
    """The last ``n_stack`` observations as one, oldest first, zeros before the first; along the last axis.

    Args:
        venv: with observations in a Box.
        n_stack: number of observations, >= 1.
        channels_order: None or "last".
    """

    def __init__(self, venv: VecEnv, n_stack: int, channels_order: str | None = None) -> None:
        space = venv.observation_space
        if not isinstance(space, spaces.Box):
            raise SpaceError(f"observation space {space}: expected a Box to stack, got {type(space).__name__}.")
        if n_stack < 1:
            raise ConfigError(f"n_stack: expected an integer >= 1, got {n_stack!r}.")
        if channels_order not in (None, "last"):
            raise ConfigError(f"channels_order: expected None or 'last', got {channels_order!r}.")
        self.n_stack = n_stack
        self._width = space.shape[-1]
        low, high = (np.concatenate([bound] * n_stack, axis=-1) for bound in (space.low, space.high))
        dtype: Any = space.dtype
        super().__init__(venv, observation_space=spaces.Box(low, high, dtype=dtype.type))
        self._stack = np.zeros((self.num_envs, *low.shape), dtype)

    def reset(self) -> Any:
        """Begin new episodes everywhere."""
        self._stack[:] = 0
        self._stack[..., -self._width :] = self.venv.reset()
        return self._stack.copy()

    def step_wait(self) -> Step:
        """The step of ``venv``; the last observation of an ended episode comes with those before it."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self._stack = np.roll(self._stack, -self._width, axis=-1)
        for index in dones.nonzero()[0]:
            if "terminal_observation" in infos[index]:
                earlier = self._stack[index, ..., : -self._width]
                final = np.concatenate([earlier, infos[index]["terminal_observation"]], axis=-1)
                infos[index]["terminal_observation"] = final
            self._stack[index] = 0
        self._stack[..., -self._width :] = observations
        return self._stack.copy(), rewards, dones, infos
