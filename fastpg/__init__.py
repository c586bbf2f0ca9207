"""fastpg: fast policy-gradient training of MLP policies on a CPU."""

from fastpg import callbacks
from fastpg.errors import (
    CheckpointError,
    CheckpointVersionError,
    ConfigError,
    EnvDataError,
    EnvError,
    FastPGError,
    NumericsError,
    SpaceError,
)
from fastpg.training.evaluation import evaluate
from fastpg.training.loading import load
from fastpg.training.models import PPO
from fastpg.updates.schedules import LinearSchedule
from fastpg.version import __version__

__all__ = [
    "PPO",
    "CheckpointError",
    "CheckpointVersionError",
    "ConfigError",
    "EnvDataError",
    "EnvError",
    "FastPGError",
    "LinearSchedule",
    "NumericsError",
    "SpaceError",
    "__version__",
    "callbacks",
    "evaluate",
    "load",
]
