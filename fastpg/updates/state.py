"""What an optimiser carries from one update to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import NumericsError


@dataclass(frozen=True, kw_only=True)
class OptimizerState:
    """Parameters with the moments of Adam (Kingma and Ba 2015); an immutable value, its arrays are read-only.

    Attributes:
        params: (P,) float, theta.
        first_moment: (P,) float, running mean of the gradient.
        second_moment: (P,) float, running mean of the squared gradient.
        step: optimiser steps taken so far, >= 0.
    """

    params: NDArray[Any]
    first_moment: NDArray[Any]
    second_moment: NDArray[Any]
    step: int

    def __post_init__(self) -> None:
        for array in (self.params, self.first_moment, self.second_moment):
            array.flags.writeable = False

    @classmethod
    def start(cls, params: NDArray[Any]) -> OptimizerState:
        """The state before the first step: a copy of ``params`` (P,), moments 0."""
        return cls(
            params=params.copy(), first_moment=np.zeros_like(params), second_moment=np.zeros_like(params), step=0
        )

    def check_finite(self, advice: str) -> None:
        """Raise NumericsError if a parameter or moment is NaN or infinite; ``advice`` ends the message."""
        for name in ("params", "first_moment", "second_moment"):
            bad = ~np.isfinite(getattr(self, name))
            if bad.any():
                raise NumericsError(
                    f"{name}: expected finite numbers, got {getattr(self, name)[bad][0]} at index {int(bad.argmax())} "
                    f"({int(bad.sum())} of {bad.size} are not finite). Nothing was committed; the model is as after "
                    f"its last finished iteration. {advice}"
                )
