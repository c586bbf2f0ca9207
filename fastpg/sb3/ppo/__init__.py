"""PPO under the module name of stable-baselines3."""

from fastpg.sb3.models import PPO
from fastpg.sb3.policies import ActorCriticPolicy

MlpPolicy = ActorCriticPolicy

__all__ = ["PPO", "MlpPolicy"]
