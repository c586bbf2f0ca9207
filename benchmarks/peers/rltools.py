"""RLtools' Python package: PPO compiled for the task, on Gymnasium's environment."""

from __future__ import annotations

import os
import sys
import zlib
from functools import cache, partial
from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import RescaleAction

from fastpg.bench.timing import Run

EVALUATION_EPISODES = 3  # they count as training time, about 20 ms

#: stable-baselines3's defaults by RLtools' names.
SCHEDULE: dict[str, Any] = {
    "ACTOR_ACTIVATION_FUNCTION": "FAST_TANH",
    "CRITIC_ACTIVATION_FUNCTION": "FAST_TANH",
    "ACTION_ENTROPY_COEFFICIENT": 0.0,
    "ON_POLICY_RUNNER_STEPS_PER_ENV": 2048,
    "BATCH_SIZE": 64,
    "N_EPOCHS": 10,
    "OPTIMIZER_ALPHA": 3e-4,
    "OPTIMIZER_EPSILON": 1e-5,
}
#: Names of stable-baselines3 -> RLtools'.
NAMES = {
    "n_envs": "N_ENVIRONMENTS",
    "n_steps": "ON_POLICY_RUNNER_STEPS_PER_ENV",
    "gamma": "GAMMA",
    "learning_rate": "OPTIMIZER_ALPHA",
}


class Model:
    """PPO of RLtools with the interface of stable-baselines3, as far as the benchmarks use it.

    Args:
        env_id: Gymnasium id of an environment with continuous actions and a time limit.
        n_envs: environments side by side.
        seed: of networks, environments and actions.
        **arguments: of stable-baselines3, those in ``NAMES``.
    """

    def __init__(self, env_id: str, *, n_envs: int, seed: int = 0, **arguments: Any) -> None:
        settings = SCHEDULE | {NAMES[name]: value for name, value in {"n_envs": n_envs, **arguments}.items()}
        algorithm = _compiled(env_id, tuple(settings.items()))
        algorithm.set_environment_factory(partial(_environment, env_id, count(1000 * seed)))
        self.n_samples = n_envs * settings["ON_POLICY_RUNNER_STEPS_PER_ENV"]
        self.state = algorithm.State(seed)
        self.space: Any = gym.make(env_id).action_space

    def learn(self, total_timesteps: int, *, reset_num_timesteps: bool = True) -> Model:
        """Whole iterations until there are ``total_timesteps`` more."""
        for _ in range(-(-total_timesteps // self.n_samples)):
            self.state.step()
        return self

    def predict(self, observations: np.ndarray, deterministic: bool = True) -> tuple[np.ndarray, None]:
        """The means of the actions, the only ones to be had; and None for the state that the policy does not have."""
        assert deterministic
        actions = np.clip([self.state.action(observation) for observation in observations], -1.0, 1.0)
        return self.space.low + (self.space.high - self.space.low) * (actions + 1.0) / 2.0, None


def _environment(env_id: str, seeds: count[int]) -> gym.Env[Any, Any]:
    """With actions from -1 to 1, the only ones that RLtools takes."""
    env = RescaleAction(gym.make(env_id), -1.0, 1.0)
    env.reset(seed=next(seeds))
    return env


@cache
def _compiled(env_id: str, settings: tuple[tuple[str, Any], ...]) -> Any:
    """The module for ``settings``; compiling takes about ten seconds, unless RLtools finds it among its files."""
    if "torch" in sys.modules:  # else it stops, in case that it finds MKL, which does not go with torch
        os.environ.setdefault("RL_TOOLS_DISABLE_MKL", "1")
    from rltools import PPO

    space: Any = gym.make(env_id).action_space
    std = float(2.0 / (space.high - space.low)[0])  # 1 in the environment's unit, as in stable-baselines3
    return PPO(
        partial(_environment, env_id, count()),
        enable_evaluation=False,
        interface_name=f"fastpg_{zlib.crc32(repr((env_id, settings)).encode()):x}",  # its own: a cache goes by it
        STEP_LIMIT=10**9,  # iterations after which `step` says that it is over
        INITIAL_ACTION_STD=std,
        **dict(settings),
    )


def train(env_id: str, *, n_envs: int, n_steps: int, total_timesteps: int) -> Run:
    """A whole training with stable-baselines3's schedule; compiled before.

    Returns the mean return of evaluation episodes after the training.
    """

    def run() -> float:
        model = Model(env_id, n_envs=n_envs, n_steps=n_steps)
        return _evaluate(model.learn(total_timesteps), gym.make(env_id))

    return run


def _evaluate(model: Model, env: Any) -> float:
    returns = []
    for episode in range(EVALUATION_EPISODES):
        observation, _ = env.reset(seed=episode)
        total, is_over = 0.0, False
        while not is_over:
            actions, _ = model.predict(observation[None])
            observation, reward, terminated, truncated, _ = env.step(actions[0])
            total, is_over = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns))
