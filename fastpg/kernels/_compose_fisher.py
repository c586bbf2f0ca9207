"""Solves with the Fisher matrix, written once for the implementations that do not fuse them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.linear_solve import run_conjugate_gradient

Array = NDArray[Any]


class ComposedSolve:
    """``solve`` for a class that has ``product``; see ``fastpg.kernels.fisher.Fisher``."""

    def product(self, vector: Array, *, damping: float, damping_scale: Array | None, out: Array) -> None:
        """(F + damping diag(damping_scale)) vector."""
        raise NotImplementedError

    def solve(
        self,
        gradient: Array,
        *,
        damping: float,
        damping_scale: Array | None,
        max_iterations: int,
        relative_tolerance: float,
        absolute_tolerance: float,
        start: Array | None,
        schedule: Array,
        out: tuple[Array, Array],
        stats: Array,
    ) -> None:
        """Conjugate gradient, one product per iteration."""
        image = np.empty_like(gradient)

        def product(vector: Array) -> Array:
            self.product(vector, damping=damping, damping_scale=damping_scale, out=image)
            return image

        limits = (max_iterations, relative_tolerance, absolute_tolerance)
        run_conjugate_gradient(product, gradient, limits, start=start, schedule=schedule, out=out, stats=stats)


@np.errstate(all="ignore")
def add_damping(vector: Array, damping: float, damping_scale: Array | None, out: Array) -> None:
    """Add damping diag(damping_scale) vector to ``out``."""
    if damping > 0:
        factor = vector.dtype.type(damping)
        out += factor * vector if damping_scale is None else factor * damping_scale * vector
