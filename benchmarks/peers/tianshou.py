"""tianshou 2: its collector, and its on-policy trainer around PPO, TRPO and NPG, with stable-baselines3's networks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import ClipAction
from tianshou.algorithm import NPG, PPO, TRPO
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Batch, Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OnPolicyTrainer, OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch import nn
from torch.distributions import Categorical, Independent, Normal

from fastpg.bench.timing import Run

torch.set_num_threads(1)

#: tianshou has no defaults of its own for these; they are stable-baselines3's and sb3-contrib's.
SHARED = {"n_steps": 2048, "gamma": 0.99, "gae_lambda": 0.95}
DEFAULTS: dict[str, dict[str, Any]] = {
    "PPO": SHARED | {"learning_rate": 3e-4, "batch_size": 64, "n_epochs": 10, "ent_coef": 0.0},
    "TRPO": SHARED | {"learning_rate": 1e-3, "n_critic_updates": 10, "target_kl": 0.01},
    "NPG": SHARED | {"learning_rate": 1e-3, "n_critic_updates": 10},
}
#: Steps of the critic, on the whole rollout, for each of sb3-contrib's passes in minibatches: of 1, 4 and 16 what
#: reaches the scores of benchmarks/time_to_score.py on CartPole-v1 and Pendulum-v1 soonest.
CRITIC_STEPS = 4


class RecordingCollector(Collector):
    """Keeps the returns of the last 100 episodes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.returns: deque[float] = deque(maxlen=100)

    def collect(self, **arguments: Any) -> Any:
        stats = super().collect(**arguments)
        self.returns.extend(stats.returns)
        return stats


class Model:
    """An algorithm of tianshou with the interface of stable-baselines3, as far as the benchmarks use it.

    Args:
        name: ``PPO``, ``TRPO`` or ``NPG``.
        env_id: Gymnasium id.
        n_envs: environments side by side.
        seed: of networks, environments and minibatches.
        **arguments: of stable-baselines3 or sb3-contrib, those in ``DEFAULTS``.
    """

    def __init__(self, name: str, env_id: str, *, n_envs: int, seed: int = 0, **arguments: Any) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # it is what tianshou shuffles with
        settings = DEFAULTS[name] | arguments
        self.n_samples = n_envs * settings["n_steps"]
        self.algorithm = _algorithm(name, gym.make(env_id), settings)
        envs = DummyVectorEnv([lambda: _environment(env_id) for _ in range(n_envs)])
        envs.seed(seed)
        self.collector = RecordingCollector(self.algorithm, envs, VectorReplayBuffer(self.n_samples, n_envs))
        self.passes = {"batch_size": None, "update_step_num_repetitions": 1}
        if name == "PPO":
            self.passes = {"batch_size": settings["batch_size"], "update_step_num_repetitions": settings["n_epochs"]}

    def learn(self, total_timesteps: int, *, reset_num_timesteps: bool = True) -> Model:
        """Whole iterations until there are ``total_timesteps`` more; goes on with the episodes unless told to reset."""
        params = OnPolicyTrainerParams(
            training_collector=self.collector,
            max_epochs=1,
            epoch_num_steps=total_timesteps,
            collection_step_num_env_steps=self.n_samples,
            verbose=False,
            show_progress=False,
            **self.passes,
        )
        OnPolicyTrainer(self.algorithm, params).run(reset_collectors=reset_num_timesteps)
        return self

    def predict(self, observations: np.ndarray, deterministic: bool = True) -> tuple[np.ndarray, None]:
        """The likeliest actions, or a sample; and None for the state that the policy does not have."""
        with torch.no_grad():
            distribution = self.algorithm.policy(Batch(obs=observations, info={})).dist
            return (distribution.mode if deterministic else distribution.sample()).numpy(), None


def _environment(env_id: str) -> gym.Env[Any, Any]:
    """With continuous actions clipped to the space on their way, as stable-baselines3 does."""
    env = gym.make(env_id)
    return ClipAction(env) if isinstance(env.action_space, gym.spaces.Box) else env


def _algorithm(name: str, env: gym.Env[Any, Any], settings: dict[str, Any]) -> Any:
    actor, critic, distribution = _networks(env)
    policy = ProbabilisticActorPolicy(
        actor=actor,
        dist_fn=distribution,
        action_space=env.action_space,
        action_scaling=False,
        action_bound_method=None,
    )
    optim = AdamOptimizerFactory(lr=settings["learning_rate"], eps=1e-5)
    shared = {"policy": policy, "critic": critic, "optim": optim}
    shared |= {key: settings[key] for key in ("gamma", "gae_lambda")}
    if name == "PPO":
        return PPO(**shared, ent_coef=settings["ent_coef"], vf_coef=0.5, max_grad_norm=0.5, eps_clip=0.2)
    shared["optim_critic_iters"] = CRITIC_STEPS * settings["n_critic_updates"]
    if name == "NPG":
        return NPG(**shared, trust_region_size=0.5)
    return TRPO(**shared, max_kl=settings["target_kl"], backtrack_coeff=0.8, max_backtracks=10)


def _networks(env: gym.Env[Any, Any]) -> tuple[nn.Module, nn.Module, Any]:
    """64x64 tanh, separate for policy and critic, orthogonal as in stable-baselines3; and the distribution."""

    def hidden() -> Net:
        return Net(state_shape=env.observation_space.shape, hidden_sizes=(64, 64), activation=nn.Tanh)

    if isinstance(env.action_space, gym.spaces.Discrete):
        actor = DiscreteActor(preprocess_net=hidden(), action_shape=env.action_space.n, softmax_output=False)
        critic, last = DiscreteCritic(preprocess_net=hidden()), actor.last
        distribution: Any = _categorical
    else:
        shape = env.action_space.shape
        actor = ContinuousActorProbabilistic(preprocess_net=hidden(), action_shape=shape, unbounded=True)
        critic, last = ContinuousCritic(preprocess_net=hidden()), actor.mu
        distribution = _gaussian
    _orthogonal(actor.modules(), 2**0.5)
    _orthogonal(critic.modules(), 2**0.5)
    _orthogonal(critic.last.modules(), 1.0)
    _orthogonal(last.modules(), 0.01)
    return actor, critic, distribution


def _categorical(logits: torch.Tensor) -> Categorical:
    return Categorical(logits=logits)


def _gaussian(mean_and_scale: tuple[torch.Tensor, torch.Tensor]) -> Independent:
    return Independent(Normal(*mean_and_scale), 1)


def _orthogonal(modules: Iterator[nn.Module], gain: float) -> None:
    for module in modules:
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight, gain)
            nn.init.zeros_(module.bias)


def train(algorithm: str, env_id: str, *, n_envs: int, n_steps: int, total_timesteps: int) -> Run:
    """A whole training, construction included; returns the mean return of the last 100 episodes."""

    def run() -> float:
        model = Model(algorithm, env_id, n_envs=n_envs, n_steps=n_steps).learn(total_timesteps)
        return float(np.mean(model.collector.returns))

    return run


def collect(env_id: str, *, n_envs: int, n_steps: int) -> Run:
    """The collector with PPO's policy, and the buffer emptied, as its trainer does it; returns the rewards."""
    collector = Model("PPO", env_id, n_envs=n_envs, n_steps=n_steps).collector
    collector.reset()

    def run() -> np.ndarray:
        collector.reset_buffer(keep_statistics=True)
        collector.collect(n_step=n_envs * n_steps)
        return np.reshape(collector.buffer.rew, (n_envs, n_steps)).T

    return run
