"""The policy under the module name of stable-baselines3."""

from fastpg.sb3.common.policies import MlpPolicy

__all__ = ["MlpPolicy"]
