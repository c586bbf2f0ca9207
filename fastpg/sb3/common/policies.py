"""Policies under the names of stable-baselines3.common.policies."""

from typing import Any

from fastpg.sb3.missing import explain_missing
from fastpg.sb3.policies import ActorCriticPolicy

MlpPolicy = BasePolicy = ActorCriticPolicy

__all__ = ["ActorCriticPolicy", "BasePolicy", "MlpPolicy"]


def __getattr__(name: str) -> Any:
    """Say what became of the names that are not here (called by Python for them)."""
    raise explain_missing(__name__, name)
