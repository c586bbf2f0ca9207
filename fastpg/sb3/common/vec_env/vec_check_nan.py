"""Looking for NaN and infinity in what goes through a vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpg.errors import EnvDataError, warn_user
from fastpg.sb3.common.vec_env.base_vec_env import Array, Step, VecEnv, VecEnvWrapper, describe_bad


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
            message = describe_bad(name, array, is_bad)
            if self.raise_exception:
                raise EnvDataError(f"{message} Fix: look for a division by zero there.")
            self._has_warned = True
            warn_user(message)
