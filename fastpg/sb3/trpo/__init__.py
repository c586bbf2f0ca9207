"""TRPO under the module name of stable-baselines3."""

from fastpg.sb3.common.policies import MlpPolicy
from fastpg.sb3.models import TRPO

__all__ = ["TRPO", "MlpPolicy"]
