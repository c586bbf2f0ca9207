"""The schedule of CleanRL's ``ppo.py`` in torch: our own loop over its networks, minibatches, clipping and annealing.

4 environments, 128 steps each, 4 minibatches, 4 epochs, learning rate 2.5e-4 going to 0 linearly, clipped value loss,
advantages normalised per minibatch, one optimiser for both networks. Where it treats a truncated episode as
terminated, so does this loop; and as there, environments are reset in the step that ends an episode.
"""

from __future__ import annotations

from functools import partial

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from torch import nn
from torch.distributions import Categorical

from fastpg.bench.timing import Run

torch.set_num_threads(1)

N_STEPS, N_MINIBATCHES, N_EPOCHS = 128, 4, 4
LEARNING_RATE, CLIP, VF_COEF, ENT_COEF, MAX_GRAD_NORM = 2.5e-4, 0.2, 0.5, 0.01, 0.5
GAMMA, GAE_LAMBDA = 0.99, 0.95


def _network(n_inputs: int, n_outputs: int, gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out, scale in ((n_inputs, 64, 2**0.5), (64, 64, 2**0.5), (64, n_outputs, gain)):
        layer = nn.Linear(n_in, n_out)
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Model:
    """Environments, networks, optimiser, and the arrays of one rollout.

    Args:
        env_id: Gymnasium id of an environment with discrete actions.
        n_envs: environments side by side.
        total_timesteps: where the learning rate gets to 0.
        seed: of networks, environments and minibatches.
    """

    def __init__(self, env_id: str, *, n_envs: int, total_timesteps: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.envs = envs = RecordEpisodeStatistics(
            gym.vector.SyncVectorEnv(
                [partial(gym.make, env_id) for _ in range(n_envs)], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
            )
        )
        n_inputs = envs.single_observation_space.shape[0]
        self.actor = _network(n_inputs, envs.single_action_space.n, 0.01)
        self.critic = _network(n_inputs, 1, 1.0)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=LEARNING_RATE, eps=1e-5)
        shape = (N_STEPS, envs.num_envs)
        self.observations = torch.zeros((*shape, n_inputs))
        self.actions, self.log_probs, self.rewards, self.starts, self.values = (torch.zeros(shape) for _ in range(5))
        self.next_observation = torch.as_tensor(envs.reset(seed=seed)[0])
        self.next_start = torch.zeros(envs.num_envs)
        self.rng = np.random.default_rng(seed)
        self.iteration, self.n_iterations = 0, total_timesteps // (n_envs * N_STEPS)

    def learn(self, total_timesteps: int, *, reset_num_timesteps: bool = True) -> Model:
        """Whole iterations until there are ``total_timesteps`` more; the schedule begins anew if told to reset."""
        self.iteration = 0 if reset_num_timesteps else self.iteration
        for _ in range(-(-total_timesteps // (self.envs.num_envs * N_STEPS))):
            rest = max(0.0, 1.0 - self.iteration / self.n_iterations)
            self.optimizer.param_groups[0]["lr"] = LEARNING_RATE * rest
            self.collect()
            self.update()
            self.iteration += 1
        return self

    def predict(self, observations: np.ndarray, deterministic: bool = True) -> tuple[np.ndarray, None]:
        """The likeliest actions, or a sample; and None for the state that the policy does not have."""
        with torch.no_grad():
            policy = Categorical(logits=self.actor(torch.as_tensor(observations)))
            return (policy.mode if deterministic else policy.sample()).numpy(), None

    def collect(self) -> None:
        for t in range(N_STEPS):
            self.observations[t], self.starts[t] = self.next_observation, self.next_start
            with torch.no_grad():
                policy = Categorical(logits=self.actor(self.next_observation))
                self.actions[t] = action = policy.sample()
                self.log_probs[t] = policy.log_prob(action)
                self.values[t] = self.critic(self.next_observation).flatten()
            observation, reward, terminated, truncated, _ = self.envs.step(action.numpy())
            self.rewards[t] = torch.as_tensor(reward)
            self.next_observation = torch.as_tensor(observation)
            self.next_start = torch.as_tensor(np.logical_or(terminated, truncated), dtype=torch.float32)

    def advantages(self) -> torch.Tensor:
        advantages, last = torch.zeros_like(self.rewards), torch.zeros_like(self.next_start)
        with torch.no_grad():
            next_value, next_start = self.critic(self.next_observation).flatten(), self.next_start
        for t in reversed(range(N_STEPS)):
            going_on = 1.0 - next_start
            error = self.rewards[t] + GAMMA * next_value * going_on - self.values[t]
            advantages[t] = last = error + GAMMA * GAE_LAMBDA * going_on * last
            next_value, next_start = self.values[t], self.starts[t]
        return advantages

    def update(self) -> None:
        advantages = self.advantages()
        fields = (self.observations, self.actions, self.log_probs, self.values, advantages, advantages + self.values)
        batch = [field.reshape(-1, *field.shape[2:]) for field in fields]
        n_samples = len(batch[0])
        for _ in range(N_EPOCHS):
            for rows in torch.from_numpy(self.rng.permutation(n_samples)).split(n_samples // N_MINIBATCHES):
                self._step(*(field[rows] for field in batch))

    def _step(self, observations: torch.Tensor, actions: torch.Tensor, *others: torch.Tensor) -> None:
        log_probs, values, advantages, returns = others
        policy = Categorical(logits=self.actor(observations))
        ratio = (policy.log_prob(actions) - log_probs).exp()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy_loss = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
        value = self.critic(observations).flatten()
        clipped = values + (value - values).clamp(-CLIP, CLIP)
        value_loss = 0.5 * torch.max((value - returns) ** 2, (clipped - returns) ** 2).mean()
        loss = policy_loss - ENT_COEF * policy.entropy().mean() + VF_COEF * value_loss
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRAD_NORM)
        self.optimizer.step()


def train(env_id: str, *, n_envs: int, total_timesteps: int) -> Run:
    """A whole training, construction included; returns the mean return of the last 100 episodes."""

    def run() -> float:
        model = Model(env_id, n_envs=n_envs, total_timesteps=total_timesteps)
        model.learn(total_timesteps - total_timesteps % (n_envs * N_STEPS))
        return float(np.mean(model.envs.return_queue))

    return run
