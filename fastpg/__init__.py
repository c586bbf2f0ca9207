"""fastpg: fast policy-gradient training of MLP policies on a CPU.

The public names are loaded when they are first used, so that a program which needs the kernels alone, or one error
class, does not import environments and training.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastpg.errors import (
    CheckpointError,
    CheckpointVersionError,
    ConfigError,
    EnvDataError,
    EnvError,
    FastPGError,
    MemoryLimitError,
    NumericsError,
    SpaceError,
)
from fastpg.version import __version__

if TYPE_CHECKING:
    from fastpg import callbacks
    from fastpg.training.evaluation import evaluate
    from fastpg.training.loading import load
    from fastpg.training.models import A2C, MDPO, NPG, PPO, TRPO, VPG
    from fastpg.updates.schedules import LinearSchedule

__all__ = [
    "A2C",
    "MDPO",
    "NPG",
    "PPO",
    "TRPO",
    "VPG",
    "CheckpointError",
    "CheckpointVersionError",
    "ConfigError",
    "EnvDataError",
    "EnvError",
    "FastPGError",
    "LinearSchedule",
    "MemoryLimitError",
    "NumericsError",
    "SpaceError",
    "__version__",
    "callbacks",
    "evaluate",
    "load",
]

#: Name -> module that defines it.
_MODULES = {
    "A2C": "fastpg.training.models",
    "NPG": "fastpg.training.models",
    "MDPO": "fastpg.training.models",
    "PPO": "fastpg.training.models",
    "TRPO": "fastpg.training.models",
    "VPG": "fastpg.training.models",
    "LinearSchedule": "fastpg.updates.schedules",
    "evaluate": "fastpg.training.evaluation",
    "load": "fastpg.training.loading",
}
#: Packages and modules that ``import fastpg`` makes reachable as attributes.
_SUBMODULES = ("callbacks", "kernels", "sb3", "tabular")


def __getattr__(name: str) -> Any:
    """Load the public name ``name`` (called by Python for names that are not here yet)."""
    if name in _SUBMODULES:
        return importlib.import_module(f"fastpg.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__, *_SUBMODULES})
