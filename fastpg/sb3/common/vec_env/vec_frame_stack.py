"""Observations with those before them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from fastpg.errors import ConfigError, SpaceError
from fastpg.sb3.common.vec_env.base_vec_env import Step, VecEnv, VecEnvWrapper


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
