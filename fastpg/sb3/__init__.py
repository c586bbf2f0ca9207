"""A drop-in for stable-baselines3 and sb3-contrib: PPO, A2C and TRPO with MLP policies.

Replace ``stable_baselines3`` and ``sb3_contrib`` by ``fastpg.sb3`` in the imports of a script. docs/sb3.md says what is
the same and what differs.
"""

from typing import Any

from fastpg.sb3.missing import explain_missing
from fastpg.sb3.models import A2C, PPO, TRPO
from fastpg.version import __version__

__all__ = ["A2C", "PPO", "TRPO", "__version__"]


def __getattr__(name: str) -> Any:
    """Say what became of the names that are not here (called by Python for them)."""
    raise explain_missing(__name__, name)
