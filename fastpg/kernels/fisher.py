"""The Fisher matrix of a policy on a batch, never formed: products, diagonal, solves, and its factors.

    F = 1/B sum_i J_i' M_i J_i

J_i (K + D, P) is the derivative of the head inputs (and of log_std) of sample i by the parameters, M_i the Fisher
matrix of the head, which is exact: the expectation over actions is taken in closed form. F is the Hessian of the mean
kl_old_new at the old parameters, and its Gauss-Newton matrix (Schraudolph 2002; Martens 2014, arXiv:1412.1193,
section 9). Per action dimension, M is

- ``categorical``: diag(p) - p p' by the logits;
- ``bernoulli``: p (1 - p) by the logit;
- ``gaussian``: 1 / std^2 by the mean, 2 by log_std, nothing in between.

With ``actions`` it is the *empirical* Fisher matrix in place of that, M_i = score score' of the action taken, which
depends on the sample of actions (Kunstner et al. 2019, arXiv:1905.12558, on how they differ).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.heads import checked_actions
from fastpg.kernels.layout import PolicyLayout
from fastpg.kernels.linear_solve import CGSolution, checked_limits, iterates_to_keep, solution_of

Array = NDArray[Any]


class Fisher:
    """F of one policy on one batch, with the activations of every sample kept; made by ``bind_fisher``.

    Not for use by two threads at once.
    """

    def __init__(self, operator: Any, n_params: int, dtype: np.dtype[Any]) -> None:
        self._operator = operator
        self._n_params = n_params
        self._dtype = dtype

    @property
    def n_params(self) -> int:
        """P."""
        return self._n_params

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the parameters, and of all vectors."""
        return self._dtype

    def product(
        self, vector: Array, *, damping: float = 0.0, damping_scale: Array | None = None, out: Array | None = None
    ) -> Array:
        """(F + damping diag(damping_scale)) vector. About twice the work of a gradient without its forward pass.

        Args:
            vector: (P,), of the dtype of the parameters.
            damping: >= 0.
            damping_scale: (P,), same dtype, the diagonal that damping multiplies; None for the identity.
            out: (P,), same dtype, or None to allocate; must not overlap an input.

        Returns:
            ``out``: (P,).

        Raises:
            TypeError, ValueError: an argument has the wrong type, shape or range.
        """
        vector, damping_scale = self._vectors("product", vector=vector, damping_scale=damping_scale)
        out = _check.output("product: out", out, self._dtype, (self._n_params,))
        _check.check_no_overlap("product: out", out, [array for array in (vector, damping_scale) if array is not None])
        damping = _check.check_non_negative("product: damping", damping)
        self._operator.product(vector, damping=damping, damping_scale=damping_scale, out=out)
        return out

    def diagonal(self, *, out: Array | None = None) -> Array:
        """The diagonal of F, exact. Costs one backward pass per head input, without its products with activations.

        Args:
            out: (P,), of the dtype of the parameters, or None to allocate.

        Returns:
            ``out``: (P,), >= 0.

        Raises:
            TypeError, ValueError: ``out`` has the wrong type or shape.
        """
        out = _check.output("diagonal: out", out, self._dtype, (self._n_params,))
        self._operator.diagonal(out=out)
        return out

    def solve(
        self,
        gradient: Array,
        *,
        damping: float = 0.0,
        damping_scale: Array | None = None,
        max_iterations: int,
        relative_tolerance: float,
        absolute_tolerance: float,
        start: Array | None = None,
        spacing: float | None = None,
    ) -> CGSolution:
        """Solve (F + damping diag(damping_scale)) x = gradient by conjugate gradient in one call.

        The algorithm, and all that ends it, is that of ``linear_solve.conjugate_gradient``.

        Args:
            gradient: (P,), of the dtype of the parameters.
            damping: >= 0.
            damping_scale: (P,), same dtype, >= 0; None for the identity.
            max_iterations: >= 0.
            relative_tolerance: >= 0, of the residual over the norm of ``gradient``.
            absolute_tolerance: >= 0, of the residual.
            start: (P,), same dtype, first iterate; None for 0.
            spacing: > 1, keeps the iterates of the iterations round(spacing^i); None keeps none.

        Returns:
            The solution and how it was found.

        Raises:
            TypeError, ValueError: an argument has the wrong type, shape or range.
        """
        gradient, damping_scale, start = self._vectors(
            "solve", gradient=gradient, damping_scale=damping_scale, start=start
        )
        limits = checked_limits("solve", max_iterations, relative_tolerance, absolute_tolerance)
        schedule = iterates_to_keep("solve", limits[0], spacing)
        out = np.empty(self._n_params, self._dtype)
        iterates = np.empty((len(schedule), self._n_params), self._dtype)
        stats = np.zeros(4)
        self._operator.solve(
            gradient,
            damping=_check.check_non_negative("solve: damping", damping),
            damping_scale=damping_scale,
            max_iterations=limits[0],
            relative_tolerance=limits[1],
            absolute_tolerance=limits[2],
            start=start,
            schedule=schedule,
            out=(out, iterates),
            stats=stats,
        )
        return solution_of(out, iterates, schedule, stats)

    def _vectors(self, kernel: str, **vectors: Array | None) -> Any:
        """Each checked, None where it is None."""
        return [
            None if array is None else _check.array_of(f"{kernel}: {name}", array, self._dtype, (self._n_params,))
            for name, array in vectors.items()
        ]


def bind_fisher(
    params: Array,
    observations: Array,
    *,
    layout: PolicyLayout,
    actions: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> Fisher:
    """The Fisher matrix at ``params`` on these observations: one forward pass, whose activations are kept.

    F of an empty batch is 0. Memory: B times the number of inputs and hidden units, padded to multiples of 16. With at
    most 8 head inputs and layers that are wide enough, ``native`` also keeps the derivative of each head input by the
    units below the last hidden layer, from the first product on, which saves every product a third of its work.

    Args:
        params: (P,) float32 or float64, of the policy alone. Not kept.
        observations: (B, O), same dtype. Not kept.
        layout: network and head.
        actions: None for the exact Fisher matrix; (B, D), same dtype for a Gaussian head, else int32, for the
            empirical one.
        n_threads: threads to use, >= 1; no result depends on it.
        backend: implementation, None for the default.

    Returns:
        The operator.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "bind_fisher"
    dtype, params, observations, actions = _checked_sample(kernel, params, observations, layout, actions)
    operator = backends.resolve("fisher", backend).bind_fisher(
        params, observations, layout=layout, actions=actions, n_threads=_check.check_threads(kernel, n_threads)
    )
    return Fisher(operator, layout.n_params, dtype)


def fisher_factors(
    params: Array,
    observations: Array,
    *,
    layout: PolicyLayout,
    actions: Array | None = None,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """S (R, P) with F = S'S / B: the gradients whose outer products F is made of. For small problems.

    Row i K + k is the gradient of sample i in direction k: sqrt(p_k) (e_k - p) by the logits of a categorical
    dimension, sqrt(p (1 - p)) of a Bernoulli, 1 / std of a mean. A Gaussian head has D more rows at the end,
    sqrt(2 B) at one log_std each. With ``actions``, row i is the score of sample i.

    Args:
        params: (P,) float32 or float64, of the policy alone.
        observations: (B, O), same dtype.
        layout: network and head.
        actions: None for the exact Fisher matrix, (B, D) for the empirical one.
        out: (R, P), same dtype, or None to allocate; R = ``n_fisher_factors(...)``. Must not overlap an input.
        backend: implementation, None for the default.

    Returns:
        ``out``.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "fisher_factors"
    dtype, params, observations, actions = _checked_sample(kernel, params, observations, layout, actions)
    n_factors = n_fisher_factors(layout, len(observations), is_empirical=actions is not None)
    out = _check.output(f"{kernel}: out", out, dtype, (n_factors, layout.n_params))
    _check.check_no_overlap(f"{kernel}: out", out, [a for a in (params, observations, actions) if a is not None])
    backends.resolve("fisher", backend).fisher_factors(params, observations, layout=layout, actions=actions, out=out)
    return out


def n_fisher_factors(layout: PolicyLayout, n_samples: int, *, is_empirical: bool) -> int:
    """R, the number of rows of ``fisher_factors``."""
    return n_samples if is_empirical else n_samples * layout.head.n_inputs + layout.head.n_log_std


def _checked_sample(kernel: str, params: Array, observations: Array, layout: PolicyLayout, actions: Any) -> Any:
    """(dtype, params, observations, actions or None), checked and contiguous."""
    dtype = _check.float_dtype(f"{kernel}: params", params)
    params = _check.array_of(f"{kernel}: params", params, dtype, (layout.n_params,))
    observations = _check.array_of(f"{kernel}: observations", observations, dtype, ("B", layout.observation_size))
    if actions is not None:
        actions = checked_actions(kernel, actions, layout.head, dtype, len(observations))
    return dtype, params, observations, actions
