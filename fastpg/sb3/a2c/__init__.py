"""A2C under the module name of stable-baselines3."""

from fastpg.sb3.models import A2C
from fastpg.sb3.policies import ActorCriticPolicy

MlpPolicy = ActorCriticPolicy

__all__ = ["A2C", "MlpPolicy"]
