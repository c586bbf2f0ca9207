"""Steps in which nothing is special, as nearly all are: taken and stored in less time than it takes to look closer.

Special is whatever ends an episode, needs a conversion or is wrong; it is left to those who call this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import backends

Array = NDArray[Any]

_NUMPY_FALSE = np.False_  # there is only one
_INT64 = np.iinfo(np.int64)


StorePlain = Callable[[int, Any, Any, Any, Any], bool]


class Stepper(Protocol):
    """What ``plain_steps`` returns."""

    @property
    def index(self) -> int:
        """Of the environment that was stepped last, also where its ``step`` raised."""

    def run(
        self, envs: Sequence[Any], actions: Sequence[Any], first: int, rewards: Array, has_infos: bool, /
    ) -> tuple[int, Any] | None:
        """Step environments ``first`` to N - 1 in turn and store their observations and rewards.

        A result is plain if it is a tuple of five: exactly a NumPy array of the dtype and shape of a row, or an int
        where a row is one int64; a reward that is a float, an int that int64 can hold or a NumPy float32; two flags
        that are False; an info, which must be an empty dict if ``has_infos``.

        Args:
            envs: N objects with a method ``step``.
            actions: N actions.
            first: 0 <= first.
            rewards: (N,) float64, written.
            has_infos: whether the infos of running episodes matter.

        Returns:
            None after the last environment; or where a result is not plain, its index and the result: what is stored of
            it then is undefined, and the environments behind it have not been stepped.

        Raises:
            Whatever a ``step`` raises.
        """


def plain_steps(observations: Array | None, *, backend: str | None = None) -> Stepper:
    """A stepper of N environments.

    Args:
        observations: (N, ...) numbers, C-contiguous: their last observations, written; None: no observation is plain.
        backend: the compiled stepper belongs to ``native``; None is the default backend.

    Raises:
        ConfigError: the backend is unknown or not available.
    """
    compiled = backends.compiled("_stepping", backend)
    if compiled is None or observations is None:
        return PlainSteps(observations)
    stepper: Stepper = compiled.PlainSteps(observations)
    return stepper


def plain_store(
    observations: Array, rewards: Array, raw_rewards: Array, episode_returns: Array, *, backend: str | None = None
) -> StorePlain:
    """A function that stores a plain step of a vector environment into these arrays, all C-contiguous.

    It takes t and what the environment returned but for the infos. A step is plain if these are exactly NumPy arrays of
    float32 (observations), float64 (rewards) and bool, C-contiguous, of the right shapes, no flag is set, and every
    number is finite as float32.

    Args:
        observations: (T + 1, N, O) float32; the step goes to row t + 1.
        rewards: (T, N) float32; to row t.
        raw_rewards: (N,) float64.
        episode_returns: (N,) float64; the rewards are added.
        backend: ``native``, or one that has no such function; None is the default backend.

    Returns:
        The function; it returns False where the step is not plain: rewards and returns are then as before, and row
        t + 1 of ``observations`` holds anything.

    Raises:
        ConfigError: the backend is unknown or not available.
    """
    compiled = backends.compiled("_stepping", backend)
    if compiled is None:
        return store_nothing
    store: StorePlain = compiled.StepRows(observations, rewards, raw_rewards, episode_returns).store
    return store


def store_nothing(*step: Any) -> bool:
    """Stands for the function of ``plain_store`` where there is none: no step is plain."""
    del step
    return False


def is_int64(value: Any) -> bool:
    """Whether ``value`` is a plain ``int`` that an int64 can hold."""
    return value.__class__ is int and _INT64.min <= value <= _INT64.max


class PlainSteps:
    """The stepper in Python; see ``plain_steps`` and ``Stepper``."""

    def __init__(self, observations: Array | None) -> None:
        self.index = 0
        self._observations: Any = observations
        self._shape: tuple[int, ...] | None = None if observations is None else observations.shape[1:]
        self._dtype = None if observations is None else observations.dtype
        self._takes_int = self._shape == () and self._dtype == np.int64

    def run(
        self, envs: Sequence[Any], actions: Sequence[Any], first: int, rewards: Array, has_infos: bool, /
    ) -> tuple[int, Any] | None:
        """See ``Stepper.run``."""
        observations, shape, dtype, ndarray = self._observations, self._shape, self._dtype, np.ndarray
        for index in range(first, len(rewards)):
            self.index = index
            result = envs[index].step(actions[index])
            if not isinstance(result, tuple) or len(result) != 5:
                return index, result
            observation, reward, terminated, truncated, info = result
            if (
                (terminated is not False and terminated is not _NUMPY_FALSE)
                or (truncated is not False and truncated is not _NUMPY_FALSE)
                or (has_infos and not (info.__class__ is dict and not info))
                or not (isinstance(reward, float) or reward.__class__ is np.float32 or is_int64(reward))
            ):
                return index, result
            if observation.__class__ is ndarray:
                is_plain = observation.dtype is dtype and observation.shape == shape
            else:
                is_plain = self._takes_int and is_int64(observation)
            if not is_plain:
                return index, result
            observations[index] = observation
            rewards[index] = reward
        return None
