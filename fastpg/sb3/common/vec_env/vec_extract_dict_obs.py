"""One entry of observations that are dicts."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from fastpg.errors import SpaceError
from fastpg.sb3.common.vec_env.base_vec_env import Step, VecEnv, VecEnvWrapper


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
