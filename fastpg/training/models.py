"""The algorithms as users construct them: each names its configuration and the update made from it."""

from __future__ import annotations

from fastpg.algorithms.ppo import PPOConfig, ppo
from fastpg.training.model import OnPolicyModel
from fastpg.updates.proximal import ProximalUpdate


class PPO(OnPolicyModel):
    """Proximal policy optimisation with a clipped ratio (Schulman et al. 2017), for MLP policies on the CPU.

    >>> import fastpg
    >>> model = fastpg.PPO("MlpPolicy", "CartPole-v1", n_envs=8, seed=0).learn(100_000)  # doctest: +SKIP
    """

    config_class = PPOConfig
    config: PPOConfig

    @staticmethod
    def make_update(config: PPOConfig) -> ProximalUpdate:
        """The update of PPO."""
        return ppo(config)
