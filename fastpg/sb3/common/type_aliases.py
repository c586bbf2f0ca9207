"""Types under the names that stable-baselines3 has for annotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

from fastpg.sb3.common.vec_env.base_vec_env import VecEnv
from fastpg.sb3.rollout_buffer import RolloutBufferSamples
from fastpg.training.callback_base import BaseCallback

__all__ = [
    "GymEnv",
    "GymObs",
    "GymResetReturn",
    "GymStepReturn",
    "MaybeCallback",
    "RolloutBufferSamples",
    "Schedule",
    "TensorDict",
]

GymEnv: TypeAlias = gym.Env[Any, Any] | VecEnv
GymObs: TypeAlias = tuple[Any, ...] | dict[str, Any] | np.ndarray[Any, Any] | int
GymResetReturn: TypeAlias = tuple[GymObs, dict[str, Any]]
GymStepReturn: TypeAlias = tuple[GymObs, float, bool, bool, dict[str, Any]]
TensorDict: TypeAlias = dict[str, np.ndarray[Any, Any]]
Schedule: TypeAlias = Callable[[float], float]
MaybeCallback: TypeAlias = Callable[..., Any] | list[BaseCallback] | BaseCallback | None
