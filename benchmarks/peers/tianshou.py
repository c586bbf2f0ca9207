"""tianshou 2: its on-policy trainer around PPO, TRPO and NPG, with stable-baselines3's networks and schedule."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tianshou.algorithm import NPG, PPO, TRPO
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OnPolicyTrainer, OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch.distributions import Categorical

from fastpg.bench.timing import Run

torch.set_num_threads(1)

#: tianshou has no defaults of its own for these; they are stable-baselines3's and sb3-contrib's.
SCHEDULES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "PPO": (
        PPO,
        {"vf_coef": 0.5, "ent_coef": 0.0, "max_grad_norm": 0.5, "eps_clip": 0.2},
        {"batch_size": 64, "update_step_num_repetitions": 10},
    ),
    "TRPO": (
        TRPO,
        {"optim_critic_iters": 10, "max_kl": 0.01, "backtrack_coeff": 0.8, "max_backtracks": 10},
        {"batch_size": None, "update_step_num_repetitions": 1},
    ),
    "NPG": (
        NPG,
        {"optim_critic_iters": 10, "trust_region_size": 0.5},
        {"batch_size": None, "update_step_num_repetitions": 1},
    ),
}


def _algorithm(name: str, env: gym.Env[Any, Any]) -> Any:
    """64x64 tanh networks, separate for policy and critic."""
    net = {"state_shape": env.observation_space.shape, "hidden_sizes": (64, 64), "activation": torch.nn.Tanh}
    actor = DiscreteActor(preprocess_net=Net(**net), action_shape=env.action_space.n, softmax_output=False)
    critic = DiscreteCritic(preprocess_net=Net(**net))
    policy = ProbabilisticActorPolicy(
        actor=actor,
        dist_fn=lambda logits: Categorical(logits=logits),
        action_space=env.action_space,
        action_scaling=False,
    )
    cls, arguments, _ = SCHEDULES[name]
    learning_rate = 3e-4 if name == "PPO" else 1e-3
    shared = {"gamma": 0.99, "gae_lambda": 0.95, "optim": AdamOptimizerFactory(lr=learning_rate)}
    return cls(policy=policy, critic=critic, **shared, **arguments)


def train(algorithm: str, env_id: str, *, n_envs: int, n_steps: int, total_timesteps: int) -> Run:
    """A whole training, construction included; returns the mean return of the last 100 episodes."""

    def run() -> float:
        torch.manual_seed(0)
        envs = DummyVectorEnv([lambda: gym.make(env_id) for _ in range(n_envs)])
        envs.seed(0)
        model = _algorithm(algorithm, gym.make(env_id))
        collector = Collector(model, envs, VectorReplayBuffer(n_envs * n_steps, n_envs))
        collect, episodes = collector.collect, deque(maxlen=100)

        def recorded(**arguments: Any) -> Any:
            stats = collect(**arguments)
            episodes.extend(stats.returns)
            return stats

        collector.collect = recorded
        params = OnPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=total_timesteps,
            collection_step_num_env_steps=n_envs * n_steps,
            verbose=False,
            show_progress=False,
            **SCHEDULES[algorithm][2],
        )
        OnPolicyTrainer(model, params).run()
        return float(np.mean(episodes))

    return run
