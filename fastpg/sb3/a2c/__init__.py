"""A2C under the module name of stable-baselines3."""

from fastpg.sb3.common.policies import MlpPolicy
from fastpg.sb3.models import A2C

__all__ = ["A2C", "MlpPolicy"]
