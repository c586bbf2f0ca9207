"""Small drop-in models for the tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from fastpg.sb3 import A2C, PPO, TRPO

SMALL_NET = {"net_arch": [8]}
SMALL: dict[type, dict[str, Any]] = {
    PPO: {"n_steps": 16, "batch_size": 16, "n_epochs": 2},
    TRPO: {"n_steps": 16, "batch_size": 16, "n_critic_updates": 2},
    A2C: {},
}
CLASSES = tuple(SMALL)


def small(cls: type = PPO, env: Any = "CartPole-v1", **changes: Any) -> Any:
    """A model whose iterations take milliseconds."""
    arguments = {**SMALL[cls], "policy_kwargs": SMALL_NET, "seed": 0, "backend": "reference", **changes}
    return cls("MlpPolicy", env, **arguments)


class CountingEnv(gym.Env):
    """Episodes of ``length`` steps, truncated or terminated; reward 2; observations (episode, step)."""

    def __init__(self, length: int = 3, *, truncated: bool = True) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.length, self.is_truncated = length, truncated
        self.episode, self.n_steps, self.label = -1, 0, "plain"

    def _observation(self) -> np.ndarray:
        return np.array([self.episode, self.n_steps], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.n_steps = 0
        return self._observation(), {"seed": seed, "options": options}

    def step(self, action):
        self.n_steps += 1
        is_last = self.n_steps == self.length
        info = {"is_success": self.episode % 2 == 0} if is_last else {}
        return self._observation(), 2.0, is_last and not self.is_truncated, is_last and self.is_truncated, info

    def render(self):
        return np.full((2, 3, 3), self.n_steps, np.uint8)

    def shout(self, word: str, times: int = 1) -> str:
        return word.upper() * times
