"""The algorithms as users construct them: each names its configuration and the update made from it."""

from __future__ import annotations

from fastpg.algorithms.a2c import A2CConfig, a2c
from fastpg.algorithms.mdpo import MDPOConfig, mdpo
from fastpg.algorithms.npg import NPGConfig, npg
from fastpg.algorithms.ppo import PPOConfig, ppo
from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.algorithms.vpg import VPGConfig, vpg
from fastpg.training.best_policy import BestPolicyModel
from fastpg.training.model import OnPolicyModel
from fastpg.updates.first_order import JointGradientStep
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.problem import Update
from fastpg.updates.proximal import ProximalUpdate


class A2C(OnPolicyModel):
    """Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016), for MLP policies on the CPU.

    >>> import fastpg
    >>> model = fastpg.A2C("MlpPolicy", "CartPole-v1", n_envs=8, seed=0).learn(100_000)  # doctest: +SKIP
    """

    config_class = A2CConfig
    config: A2CConfig

    @staticmethod
    def make_update(config: A2CConfig) -> JointGradientStep:
        """The update of A2C."""
        return a2c(config)


class NPG(OnPolicyModel):
    """Natural policy gradient (Kakade 2001) with a fixed or KL-normalised step, for MLP policies on the CPU.

    >>> import fastpg
    >>> model = fastpg.NPG("MlpPolicy", "CartPole-v1", n_envs=8, seed=0).learn(100_000)  # doctest: +SKIP
    """

    config_class = NPGConfig
    config: NPGConfig

    @staticmethod
    def make_update(config: NPGConfig) -> LocalModelUpdate:
        """The update of NPG."""
        return npg(config)


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


class TRPO(OnPolicyModel):
    """Trust region policy optimisation (Schulman et al. 2015), for MLP policies on the CPU.

    >>> import fastpg
    >>> model = fastpg.TRPO("MlpPolicy", "CartPole-v1", n_envs=8, seed=0).learn(100_000)  # doctest: +SKIP
    """

    config_class = TRPOConfig
    config: TRPOConfig

    @staticmethod
    def make_update(config: TRPOConfig) -> LocalModelUpdate:
        """The update of TRPO."""
        return trpo(config)


class VPG(OnPolicyModel):
    """The policy gradient (Williams 1992, Sutton et al. 1999), for MLP policies on the CPU; REINFORCE without a critic.

    >>> import fastpg
    >>> model = fastpg.VPG("MlpPolicy", "CartPole-v1", n_envs=8, seed=0).learn(100_000)  # doctest: +SKIP
    """

    config_class = VPGConfig
    config: VPGConfig

    @staticmethod
    def make_update(config: VPGConfig) -> Update:
        """The update of VPG."""
        return vpg(config)


class MDPO(BestPolicyModel):
    """Mirror descent policy optimisation, on-policy (Tomar et al. 2020), for MLP policies on the CPU.

    >>> import fastpg
    >>> model = fastpg.MDPO("MlpPolicy", "CartPole-v1", n_envs=8, seed=0).learn(100_000)  # doctest: +SKIP
    """

    config_class = MDPOConfig
    config: MDPOConfig

    @staticmethod
    def make_update(config: MDPOConfig) -> ProximalUpdate:
        """The update of MDPO."""
        return mdpo(config)
