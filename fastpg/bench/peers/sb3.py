"""stable-baselines3, used as its users use it, on torch's CPU kernels with one thread."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import configure

from fastpg.bench.peers.sb3_bridge import SpacesOnly, fill_buffer, flat_parameters, networks_of, set_flat_parameters
from fastpg.bench.problems import PolicyProblem, UpdateProblem
from fastpg.bench.timing import Run

torch.set_num_threads(1)


def _model(problem: PolicyProblem, **arguments: Any) -> PPO:
    """PPO on a space that leads to the layout of ``problem``, with its parameters."""
    head = problem.layout.head
    action_space: spaces.Space[Any] = (
        spaces.Box(-1.0, 1.0, (head.n_actions,), np.float32)
        if head.kind == "gaussian"
        else spaces.Discrete(head.sizes[0])
    )
    env = SpacesOnly(problem.layout.observation_size, action_space)
    model = PPO("MlpPolicy", env, device="cpu", policy_kwargs=networks_of(problem.layout.policy), **arguments)
    model.set_logger(configure(None, []))
    set_flat_parameters(model.policy, problem.params)
    return model


def ppo_update(problem: UpdateProblem) -> Run:
    """``PPO.train()`` with one epoch on a filled buffer; the first call uses the order of the problem."""
    model = _model(problem.policy, n_steps=len(problem.order), n_epochs=1, **problem.arguments)
    fill_buffer(model, problem.rollout, np.float32)

    def run() -> np.ndarray:
        with mock.patch("numpy.random.permutation", return_value=problem.order):
            model.train()
        return flat_parameters(model.policy)

    return run


def act(problem: PolicyProblem, observations: np.ndarray) -> Run:
    """What ``collect_rollouts`` does for one step: to torch, policy, back to NumPy."""
    policy = _model(problem).policy

    def run() -> tuple[np.ndarray, ...]:
        with torch.no_grad():
            actions, values, log_probs = policy(torch.as_tensor(observations))
        return actions.numpy().reshape(len(observations), -1), log_probs.numpy(), values.numpy().reshape(-1)

    return run


def predict(problem: PolicyProblem, observation: np.ndarray) -> Run:
    """The public call for one observation."""
    model = _model(problem)
    return lambda: model.predict(observation, deterministic=True)[0]


def gae(data: dict[str, np.ndarray], gamma: float, gae_lambda: float) -> Run:
    """``compute_returns_and_advantage`` of a filled buffer."""
    n_steps, n_envs = data["rewards"].shape
    space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    buffer = RolloutBuffer(n_steps, space, space, "cpu", gae_lambda, gamma, n_envs)
    buffer.rewards[:], buffer.values[:] = data["rewards"], data["values"]
    buffer.episode_starts[1:] = data["terminated"][:-1]
    last_values = torch.from_numpy(data["next_values"][-1])

    def run() -> np.ndarray:
        buffer.compute_returns_and_advantage(last_values, data["terminated"][-1])
        return buffer.advantages

    return run
