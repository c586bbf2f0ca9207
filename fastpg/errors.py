"""Every error that fastpg raises on purpose, and how it warns.

Each class also derives from the built-in exception that a user would catch. A message says what is wrong, what was
expected, what was given, where, what became of the state, and what to do.
"""

from __future__ import annotations

import sys
import warnings


class FastPGError(Exception):
    """Base class of all fastpg errors."""


class ConfigError(FastPGError, ValueError):
    """An argument, option or environment variable is out of range, unknown or contradictory."""


class MemoryLimitError(ConfigError, MemoryError):
    """What is asked for needs more memory than there is; nothing was allocated."""


class SpaceError(FastPGError, TypeError, ValueError):
    """An observation or action space is not supported."""


class EnvDataError(FastPGError, ValueError):
    """An environment returned data that cannot be trained on (NaN, wrong shape, old API ...)."""


class EnvError(FastPGError, RuntimeError):
    """An environment raised; the original exception is ``__cause__``."""


class NumericsError(FastPGError, FloatingPointError):
    """A parameter or statistic became non-finite; nothing was committed."""


class CheckpointError(FastPGError, ValueError):
    """A checkpoint is damaged, foreign, or does not fit the model."""


class CheckpointVersionError(CheckpointError):
    """A checkpoint was written by a newer format than this version reads."""


def warn_user(message: str) -> None:
    """Warn, pointing at the line outside of fastpg that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fastpg":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
