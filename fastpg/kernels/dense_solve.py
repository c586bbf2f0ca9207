"""Exact solves with a damped Fisher matrix that is formed, for small problems; in float64 whatever the parameters are.

    (F + damping diag(damping_scale)) x = gradient

``solve_cholesky`` forms F (P, P): few parameters. ``solve_woodbury`` forms the matrix of inner products of the factors
S (R, P) of F = S'S / B, with W = damping diag(damping_scale) and the identity of Woodbury (1950):

    (W + S'S / B)^-1 g = W^-1 g - W^-1 S' (B I + S W^-1 S')^-1 S W^-1 g

which is the smaller matrix where there are fewer factors than parameters.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check
from fastpg.kernels.cholesky import cholesky_solve
from fastpg.kernels.fisher import bind_fisher, fisher_factors, n_fisher_factors
from fastpg.kernels.layout import PolicyLayout
from fastpg.kernels.linear_solve import dot

Array = NDArray[Any]

#: Largest number of rows of a matrix that is factorised: 72 MB in float64, and some seconds.
MAX_MATRIX_ROWS = 3000
#: Largest number of entries of S: 1 GiB in float64.
MAX_FACTOR_ENTRIES = 2**27


class DenseStatus(enum.Enum):
    """How a factorisation ended.

    Attributes:
        SOLVED: the system is solved.
        NOT_POSITIVE_DEFINITE: singular to rounding, or not finite; the solution is 0.
        ZERO_RHS: the right-hand side is 0, and so is the solution.
    """

    SOLVED = 0
    NOT_POSITIVE_DEFINITE = 1
    ZERO_RHS = 2


@dataclass(frozen=True)
class DenseSolution:
    """What a factorisation found; the attributes are those of ``CGSolution``.

    Attributes:
        solution: (P,), in the dtype of the gradient.
        status: how it ended.
        residual: norm of b - A x, computed from x, over the norm of b; 0 for a zero right-hand side.
        curvature: x'Ax.
        iterations: 0.
        iterates: (0, P).
    """

    solution: Array
    status: DenseStatus
    residual: float
    curvature: float
    iterations: int = 0
    iterates: Array = field(default_factory=lambda: np.zeros((0, 0)))


def solve_cholesky(
    params: Array,
    observations: Array,
    gradient: Array,
    *,
    layout: PolicyLayout,
    actions: Array | None = None,
    damping: float = 0.0,
    damping_scale: Array | None = None,
    backend: str | None = None,
) -> DenseSolution:
    """Solve by Cholesky's factorisation of the damped F, whose columns are P products.

    Args:
        params: (P,) float32 or float64, of the policy alone.
        observations: (B, O), same dtype.
        gradient: (P,), same dtype.
        layout: network and head; P <= 3000.
        actions: None for the exact Fisher matrix, (B, D) for the empirical one.
        damping: >= 0.
        damping_scale: (P,), same dtype, the diagonal that damping multiplies; None for the identity.
        backend: implementation, None for the default.

    Returns:
        The solution, its status and its true residual.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range, or the problem is too large.
    """
    kernel = "solve_cholesky"
    check_cholesky_size(layout)
    rhs, scale = _right_hand_side(kernel, params, gradient, layout.n_params, damping_scale)
    damping = _check.check_non_negative(f"{kernel}: damping", damping)
    fisher = bind_fisher(
        *_double(params, observations), layout=layout, actions=_double_actions(actions), backend=backend
    )
    matrix = np.empty((layout.n_params, layout.n_params))
    unit = np.zeros(layout.n_params)
    for column, row in enumerate(matrix):  # F is symmetric
        unit[column] = 1
        fisher.product(unit, out=row)
        unit[column] = 0
    matrix[np.diag_indices_from(matrix)] += damping * scale
    x, is_positive_definite = cholesky_solve(matrix, rhs, backend=backend)
    image = fisher.product(x, damping=damping, damping_scale=scale)
    return _solution(x, image, rhs, is_positive_definite, gradient.dtype)


def solve_woodbury(
    params: Array,
    observations: Array,
    gradient: Array,
    *,
    layout: PolicyLayout,
    actions: Array | None = None,
    damping: float,
    damping_scale: Array | None = None,
    backend: str | None = None,
) -> DenseSolution:
    """Solve in the space of the samples, by Woodbury's identity: for fewer samples than parameters.

    Args:
        params: (P,) float32 or float64, of the policy alone.
        observations: (B, O), same dtype.
        gradient: (P,), same dtype.
        layout: network and head.
        actions: None for the exact Fisher matrix, with B K factors (and D more of a Gaussian head); (B, D) for the
            empirical one, with B.
        damping: > 0: the identity inverts it.
        damping_scale: (P,), same dtype, > 0, the diagonal that damping multiplies; None for the identity.
        backend: implementation, None for the default.

    Returns:
        The solution, its status and its true residual.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range, or the problem is too large.
    """
    kernel = "solve_woodbury"
    rhs, scale = _right_hand_side(kernel, params, gradient, layout.n_params, damping_scale)
    weights = _check.check_non_negative(f"{kernel}: damping", damping) * scale
    if not (weights > 0).all():
        raise ValueError(
            f"{kernel}: damping: expected damping * damping_scale > 0, because the identity divides by it, got a "
            f"smallest value of {weights.min():g}. Fix: use damping, or solve_cholesky or conjugate gradient without."
        )
    n_samples = max(len(observations), 1)
    check_woodbury_size(layout, len(observations), is_empirical=actions is not None)
    s = fisher_factors(*_double(params, observations), layout=layout, actions=_double_actions(actions), backend=backend)
    scaled = s / weights
    inner = rhs / weights
    small, is_positive_definite = cholesky_solve(scaled @ s.T, s @ inner, damping=n_samples, backend=backend)
    x = inner - scaled.T @ small if is_positive_definite else np.zeros_like(rhs)
    image = s.T @ (s @ x) / n_samples + weights * x
    return _solution(x, image, rhs, is_positive_definite, gradient.dtype)


def check_cholesky_size(layout: PolicyLayout) -> None:
    """Raise ValueError if a network has too many parameters for ``solve_cholesky``."""
    if layout.n_params > MAX_MATRIX_ROWS:
        raise ValueError(
            f"solve_cholesky: layout: expected at most {MAX_MATRIX_ROWS} parameters, because the matrix is formed, got "
            f"{layout.n_params}. Fix: take conjugate gradient, or a smaller network."
        )


def check_woodbury_size(layout: PolicyLayout, n_samples: int, *, is_empirical: bool) -> None:
    """Raise ValueError if there are too many samples for ``solve_woodbury``."""
    n_factors = n_fisher_factors(layout, n_samples, is_empirical=is_empirical)
    if n_factors > MAX_MATRIX_ROWS or n_factors * layout.n_params > MAX_FACTOR_ENTRIES:
        raise ValueError(
            f"solve_woodbury: observations: expected at most {MAX_MATRIX_ROWS} factors (samples times head inputs) of "
            f"at most {MAX_FACTOR_ENTRIES} entries in all, because their inner products are formed, got {n_factors} of "
            f"{layout.n_params}. Fix: take conjugate gradient, or fewer samples."
        )


def _right_hand_side(
    kernel: str, params: Array, gradient: Array, n_params: int, damping_scale: Array | None
) -> tuple[Array, Array]:
    """(gradient, damping_scale), checked, in float64."""
    dtype = _check.float_dtype(f"{kernel}: params", params)
    gradient = _check.array_of(f"{kernel}: gradient", gradient, dtype, (n_params,))
    if damping_scale is None:
        return gradient.astype(np.float64), np.ones(n_params)
    scale = _check.array_of(f"{kernel}: damping_scale", damping_scale, dtype, (n_params,))
    return gradient.astype(np.float64), scale.astype(np.float64)


def _double(params: Array, observations: Array) -> tuple[Array, Array]:
    """Both in float64; the entry points of the kernels check the rest."""
    _check.array_of("observations", observations, params.dtype, ("B", "O"))
    return params.astype(np.float64), observations.astype(np.float64)


def _double_actions(actions: Array | None) -> Array | None:
    """Continuous actions in float64, discrete ones as they are."""
    return actions.astype(np.float64) if actions is not None and actions.dtype.kind == "f" else actions


@np.errstate(all="ignore")
def _solution(x: Array, image: Array, rhs: Array, is_positive_definite: bool, dtype: Any) -> DenseSolution:
    rhs_norm = math.sqrt(dot(rhs, rhs))
    residual = math.sqrt(dot(rhs - image, rhs - image)) / rhs_norm if rhs_norm != 0 else 0.0
    status = DenseStatus.SOLVED if is_positive_definite else DenseStatus.NOT_POSITIVE_DEFINITE
    status = DenseStatus.ZERO_RHS if rhs_norm == 0 else status
    solution = np.zeros_like(x) if status is DenseStatus.ZERO_RHS else x
    return DenseSolution(
        solution.astype(dtype), status, residual, dot(solution, image), iterates=np.zeros((0, len(x)), dtype)
    )
