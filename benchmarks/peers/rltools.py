"""RLtools' Python package: PPO compiled for the task, on Gymnasium's environment."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import RescaleAction

from fastpg.bench.timing import Run

EVALUATION_EPISODES = 3  # they count as training time, about 20 ms


def train(env_id: str, *, n_envs: int, n_steps: int, total_timesteps: int) -> Run:
    """A whole training with stable-baselines3's schedule; compiled before, which takes about ten seconds.

    Returns the mean return of evaluation episodes after the training.
    """
    if "torch" in sys.modules:  # else it stops, in case that it finds MKL, which does not go with torch
        os.environ.setdefault("RL_TOOLS_DISABLE_MKL", "1")
    from rltools import PPO

    n_iterations = total_timesteps // (n_envs * n_steps)

    def make_env() -> Any:
        env = RescaleAction(gym.make(env_id), -1.0, 1.0)
        env.reset(seed=0)
        return env

    algorithm = PPO(
        make_env,
        enable_evaluation=False,
        interface_name=f"fastpg_{n_envs}_{n_steps}_{n_iterations}",  # a name of its own: it is what a cache goes by
        STEP_LIMIT=n_iterations - 1,  # it stops after the iteration of this number, from 0
        ACTOR_ACTIVATION_FUNCTION="FAST_TANH",
        CRITIC_ACTIVATION_FUNCTION="FAST_TANH",
        INITIAL_ACTION_STD=1.0,
        ACTION_ENTROPY_COEFFICIENT=0.0,
        N_ENVIRONMENTS=n_envs,
        ON_POLICY_RUNNER_STEPS_PER_ENV=n_steps,
        BATCH_SIZE=64,
        N_EPOCHS=10,
        OPTIMIZER_ALPHA=3e-4,
        OPTIMIZER_EPSILON=1e-5,
    )

    def run() -> float:
        random.seed(0)
        state = algorithm.State(0)
        while not state.step():
            pass
        return _evaluate(state, make_env())

    return run


def _evaluate(state: Any, env: Any) -> float:
    returns = []
    for episode in range(EVALUATION_EPISODES):
        observation, _ = env.reset(seed=episode)
        total, is_over = 0.0, False
        while not is_over:
            action = np.clip(state.action(observation), -1.0, 1.0)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, is_over = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns))
