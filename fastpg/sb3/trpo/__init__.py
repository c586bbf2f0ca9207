"""TRPO under the module name of stable-baselines3."""

from fastpg.sb3.models import TRPO
from fastpg.sb3.policies import ActorCriticPolicy

MlpPolicy = ActorCriticPolicy

__all__ = ["TRPO", "MlpPolicy"]
