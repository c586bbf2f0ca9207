"""Every error that fastpg raises on purpose.

Each class also derives from the built-in exception that a user would catch. A message says what is wrong, what was
expected, what was given, where, what became of the state, and what to do.
"""

from __future__ import annotations


class FastPGError(Exception):
    """Base class of all fastpg errors."""


class ConfigError(FastPGError, ValueError):
    """An argument, option or environment variable is out of range, unknown or contradictory."""


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
