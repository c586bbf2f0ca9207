"""When a vector environment starts the next episode of a sub-environment: the three modes of Gymnasium.

Gymnasium 1.0 has neither the enumeration nor the metadata entry (both came with 1.1), so fastpg keeps an enumeration
of its own with the same names and values, and reads Gymnasium's through it. What the modes mean for a rollout is in
``collector.py``.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import gymnasium as gym

from fastpg.errors import ConfigError


class AutoresetMode(Enum):
    """How a vector environment resets a sub-environment whose episode has ended.

    Attributes:
        NEXT_STEP: the next call of ``step`` ignores the action and returns the first observation of the new episode.
        SAME_STEP: the same call returns it; the last observation of the old episode is in ``infos["final_obs"]``.
        DISABLED: the caller resets with ``reset(options={"reset_mask": ...})``.
    """

    NEXT_STEP = "NextStep"
    SAME_STEP = "SameStep"
    DISABLED = "Disabled"


_FIX = (
    "Fix: set metadata['autoreset_mode'] in the vector environment, or say which mode it follows with "
    "autoreset_mode='NextStep', 'SameStep' or 'Disabled' (https://farama.org/Vector-Autoreset-Mode)."
)


def parse_autoreset_mode(mode: Any) -> AutoresetMode:
    """Read a mode: an enumeration member of fastpg or Gymnasium, its name or its value.

    Raises:
        ConfigError: anything else.
    """
    for text in (getattr(mode, "value", mode), getattr(mode, "name", mode)):
        for member in AutoresetMode:
            if text in (member.value, member.name):
                return member
    raise ConfigError(f"autoreset_mode: expected NextStep, SameStep or Disabled, got {mode!r}. {_FIX}")


def autoreset_mode_of(env: gym.vector.VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """The mode that ``env`` declares; Gymnasium 1.0's own vector environments, which declare none, are NEXT_STEP.

    Raises:
        ConfigError: the environment declares no mode, or an unknown one.
    """
    declared = (env.metadata or {}).get("autoreset_mode")
    if declared is not None:
        return parse_autoreset_mode(declared)
    if not hasattr(gym.vector, "AutoresetMode") and _is_gymnasiums_own(env.unwrapped):
        return AutoresetMode.NEXT_STEP
    raise ConfigError(
        f"{env}: expected metadata['autoreset_mode'] to say when it resets, got none, and a wrong guess would corrupt "
        f"the training data. {_FIX}"
    )


def _is_gymnasiums_own(env: Any) -> bool:
    is_vectorizer = isinstance(env, gym.vector.SyncVectorEnv | gym.vector.AsyncVectorEnv)
    return is_vectorizer or type(env).__module__.startswith("gymnasium.")


def gymnasium_mode(mode: AutoresetMode) -> Any:
    """``mode`` as Gymnasium's own enumeration where it has one (>= 1.1), for metadata that others read."""
    theirs = getattr(gym.vector, "AutoresetMode", None)
    return mode if theirs is None else theirs(mode.value)


class DeclaredAutoreset(gym.vector.VectorWrapper):
    """A vector environment whose owner says which mode it follows; nothing else changes."""

    def __init__(self, env: Any, mode: AutoresetMode) -> None:
        super().__init__(env)
        self.metadata = {**(env.metadata or {}), "autoreset_mode": gymnasium_mode(mode)}
