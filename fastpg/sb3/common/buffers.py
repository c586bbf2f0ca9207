"""The rollout buffer under the module name of stable-baselines3."""

from typing import Any

from fastpg.sb3.missing import explain_missing
from fastpg.sb3.rollout_buffer import RolloutBuffer, RolloutBufferSamples

__all__ = ["RolloutBuffer", "RolloutBufferSamples"]


def __getattr__(name: str) -> Any:
    """Say what became of the names that are not here (called by Python for them)."""
    raise explain_missing(__name__, name)
