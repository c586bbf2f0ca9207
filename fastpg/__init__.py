"""fastpg: fast policy-gradient training of MLP policies on a CPU."""

from fastpg import callbacks as callbacks
from fastpg.errors import (
    CheckpointError as CheckpointError,
    CheckpointVersionError as CheckpointVersionError,
    ConfigError as ConfigError,
    EnvDataError as EnvDataError,
    EnvError as EnvError,
    FastPGError as FastPGError,
    NumericsError as NumericsError,
    SpaceError as SpaceError,
)
from fastpg.training.evaluation import evaluate as evaluate
from fastpg.training.loading import load as load
from fastpg.training.models import PPO as PPO
from fastpg.updates.schedules import LinearSchedule as LinearSchedule
from fastpg.version import __version__ as __version__
