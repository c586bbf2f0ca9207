"""What an optimiser carries from one update to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import NumericsError


@dataclass(frozen=True, kw_only=True)
class OptimizerState:
    """Parameters with the moments of Adam (Kingma and Ba 2015); an immutable value, its arrays are read-only.

    What an algorithm adapts from update to update (a trust radius, a damping, counters of what went wrong) is in
    ``scalars``, and the vectors that it remembers (a start of conjugate gradient, an older theta) are in ``memory``.
    Both are part of a checkpoint. A name that is not there yet has its initial value.

    Attributes:
        params: (P,) float, theta.
        first_moment: (P,) float, running mean of the gradient.
        second_moment: (P,) float, running mean of the squared gradient.
        step: optimiser steps taken so far, >= 0.
        scalars: numbers by name.
        memory: arrays of any shape by name.
    """

    params: NDArray[Any]
    first_moment: NDArray[Any]
    second_moment: NDArray[Any]
    step: int
    scalars: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.params, self.first_moment, self.second_moment, *self.memory.values()):
            array.flags.writeable = False

    @classmethod
    def start(cls, params: NDArray[Any]) -> OptimizerState:
        """The state before the first step: a copy of ``params`` (P,), moments 0."""
        return cls(
            params=params.copy(), first_moment=np.zeros_like(params), second_moment=np.zeros_like(params), step=0
        )

    def remember(
        self, scalars: Mapping[str, float], memory: Mapping[str, NDArray[Any]] | None = None
    ) -> OptimizerState:
        """This state with some ``scalars`` and arrays of the ``memory`` replaced or added."""
        return replace(
            self,
            scalars={**self.scalars, **{name: float(value) for name, value in scalars.items()}},
            memory={**self.memory, **(memory or {})},
        )

    def check_finite(self, advice: str) -> None:
        """Raise NumericsError if a number of this state is NaN or infinite; ``advice`` ends the message."""
        arrays = {"params": self.params, "first_moment": self.first_moment, "second_moment": self.second_moment}
        scalars = {name: np.array([value]) for name, value in self.scalars.items()}
        for name, array in {**arrays, **self.memory, **scalars}.items():
            bad = ~np.isfinite(array)
            if bad.any():
                raise NumericsError(
                    f"{name}: expected finite numbers, got {array[bad][0]} at index {int(bad.argmax())} "
                    f"({int(bad.sum())} of {bad.size} are not finite). Nothing was committed; the model is as after "
                    f"its last finished iteration. {advice}"
                )
