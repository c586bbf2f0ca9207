"""PPO under the module name of stable-baselines3."""

from fastpg.sb3.common.policies import MlpPolicy
from fastpg.sb3.models import PPO

__all__ = ["PPO", "MlpPolicy"]
