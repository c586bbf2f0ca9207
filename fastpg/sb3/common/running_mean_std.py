"""Mean and variance of a stream of batches (Chan, Golub, LeVeque 1979)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import backends

Array = NDArray[Any]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class RunningMeanStd:
    """Moments in float64 that start at mean 0, variance 1 with a small count.

    Args:
        epsilon: the count at the start.
        shape: of one sample.

    Attributes:
        mean: of the samples, of ``shape``.
        var: population variance, of ``shape``.
        count: samples so far.
    """

    def __init__(self, epsilon: float = 1e-4, shape: tuple[int, ...] = ()) -> None:
        self.mean = np.zeros(shape, np.float64)
        self.var = np.ones(shape, np.float64)
        self.count = epsilon

    @classmethod
    def from_state(cls, mean: Array, var: Array, count: Array) -> RunningMeanStd:
        """The moments that ``state`` described."""
        moments = cls(float(count), np.shape(mean))
        moments.mean, moments.var = np.array(mean, np.float64), np.array(var, np.float64)
        return moments

    def state(self) -> dict[str, Array]:
        """The moments by name."""
        return {"mean": self.mean, "var": self.var, "count": np.float64(self.count)}

    def copy(self) -> RunningMeanStd:
        """Moments of their own."""
        return self.from_state(self.mean, self.var, np.float64(self.count))

    def update(self, arr: Array) -> None:
        """Add the samples in ``arr`` (B, ...)."""
        if arr.dtype in _FLOATS and arr.flags.c_contiguous and len(arr):
            self._update_fast(arr)
            return
        self.update_from_moments(
            np.mean(arr, axis=0, dtype=np.float64), np.var(arr, axis=0, dtype=np.float64), len(arr)
        )

    def _update_fast(self, arr: Array) -> None:
        """One kernel call."""
        mean, var = np.empty_like(self.mean), np.empty_like(self.var)
        backends.resolve("running_moments").update_moments(
            self.mean.reshape(-1),
            self.var.reshape(-1),
            self.count,
            arr.reshape(len(arr), -1),
            out=(mean.reshape(-1), var.reshape(-1)),
        )
        self.mean, self.var, self.count = mean, var, self.count + len(arr)

    def combine(self, other: RunningMeanStd) -> None:
        """Add the samples that ``other`` has seen."""
        self.update_from_moments(other.mean, other.var, other.count)

    def update_from_moments(self, batch_mean: Any, batch_var: Any, batch_count: float) -> None:
        """Add ``batch_count`` samples with these moments."""
        total = self.count + batch_count
        delta = batch_mean - self.mean
        squares = self.var * self.count + batch_var * batch_count + delta**2 * (self.count * batch_count / total)
        self.mean = self.mean + delta * (batch_count / total)
        self.var = squares / total
        self.count = total
