"""The surrogate of trust-region methods: value, gradient, divergences, curvature.

    L(theta) = mean(ratio A) + ent_coef * mean entropy,   ratio = exp(log pi_theta(a|s) - log pi_old(a|s))

L is maximised. Its gradient at theta_old is the policy gradient. Advantages A are used as they are given; standardise
them before, where wanted. Source: Schulman et al., arXiv:1502.05477, eq. (14); entropy: Williams and Peng, 1991.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.heads import checked_actions
from fastpg.kernels.layout import PolicyLayout

Array = NDArray[Any]


@dataclass(frozen=True)
class SurrogateValue:
    """The surrogate at the parameters; zero for an empty batch.

    Attributes:
        surrogate: L, the entropy term included; in units of the advantages.
        entropy: mean entropy, nats.
    """

    surrogate: float
    entropy: float


@dataclass(frozen=True)
class SurrogateEvaluation:
    """What a line search wants to know of new parameters; all zero for an empty batch.

    A NaN or an infinity anywhere in the inputs or in between is seen in the numbers that depend on it.

    Attributes:
        surrogate: L, the entropy term included; in units of the advantages.
        entropy: mean entropy, nats.
        kl_old_new: mean of KL(old || new) over the samples, exact over actions, summed over action dimensions, nats.
        kl_old_new_max: the largest of them, at least 0.
        kl_new_old: mean of KL(new || old), nats.
        kl_new_old_max: the largest of them, at least 0.
        approx_kl: mean((ratio - 1) - log ratio), an estimate of ``kl_old_new`` from the actions alone, nats.
        ratio_max: the largest ratio; at least 0.
    """

    surrogate: float
    entropy: float
    kl_old_new: float
    kl_old_new_max: float
    kl_new_old: float
    kl_new_old_max: float
    approx_kl: float
    ratio_max: float


class PolicySample(NamedTuple):
    """The arrays of B samples that a policy's objective needs."""

    observations: Array
    actions: Array
    old_log_probs: Array
    advantages: Array


def surrogate_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float = 0.0,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> tuple[Array, SurrogateValue]:
    """Gradient of L by the parameters, the direction of steepest ascent.

    Args:
        params: (P,) float32 or float64.
        observations: (B, O), same dtype.
        actions: (B, D), same dtype for a Gaussian head, else int32.
        old_log_probs: (B,), same dtype, nats.
        advantages: (B,), same dtype.
        layout: network and head.
        ent_coef: finite.
        out: (P,), same dtype, or None to allocate; must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``, the gradient (P,), and L.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "surrogate_gradient"
    dtype, params, sample = _checked(kernel, params, (observations, actions, old_log_probs, advantages), layout)
    out = _check.output(f"{kernel}: out", out, dtype, (layout.n_params,))
    _check.check_no_overlap(f"{kernel}: out", out, (params, *sample))
    stats = np.zeros(2)
    backends.resolve("surrogate", backend).surrogate_gradient(
        params,
        *sample,
        layout=layout,
        ent_coef=_check.check_finite(f"{kernel}: ent_coef", ent_coef),
        out=out,
        stats=stats,
        n_threads=_check.check_threads(kernel, n_threads),
    )
    return out, SurrogateValue(*stats.tolist())


def surrogate_evaluate(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float = 0.0,
    n_threads: int = 1,
    backend: str | None = None,
) -> SurrogateEvaluation:
    """L and the divergences from the old policy at ``params``: one forward pass, no gradient.

    Args:
        params: (P,) float32 or float64.
        observations: (B, O), same dtype.
        actions: (B, D), same dtype for a Gaussian head, else int32.
        old_log_probs: (B,), same dtype, nats.
        advantages: (B,), same dtype.
        old_head_inputs: (B, K), same dtype, what the old network gave for these observations.
        old_log_std: (D,) for a Gaussian head, else (0,); same dtype.
        layout: network and head.
        ent_coef: finite.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        The numbers that decide whether a step is accepted.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "surrogate_evaluate"
    dtype, params, sample = _checked(kernel, params, (observations, actions, old_log_probs, advantages), layout)
    shape = (len(sample.observations), layout.head.n_inputs)
    stats = np.zeros(8)
    backends.resolve("surrogate", backend).surrogate_evaluate(
        params,
        *sample,
        _check.array_of(f"{kernel}: old_head_inputs", old_head_inputs, dtype, shape),
        _check.array_of(f"{kernel}: old_log_std", old_log_std, dtype, (layout.head.n_log_std,)),
        layout=layout,
        ent_coef=_check.check_finite(f"{kernel}: ent_coef", ent_coef),
        stats=stats,
        n_threads=_check.check_threads(kernel, n_threads),
    )
    return SurrogateEvaluation(*stats.tolist())


def surrogate_hessian_vector_product(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    vector: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float = 0.0,
    out: Array | None = None,
    n_threads: int = 1,
    backend: str | None = None,
) -> Array:
    """The Hessian of L at ``params`` times ``vector``, exact; indefinite in general.

    One forward and one backward pass of values and of their derivatives along ``vector`` (the R-operator, Pearlmutter,
    Neural Computation 6, 1994), about twice the cost of a gradient. ReLU counts as having no second derivative.

    Args:
        params: (P,) float32 or float64.
        observations: (B, O), same dtype.
        actions: (B, D), same dtype for a Gaussian head, else int32.
        old_log_probs: (B,), same dtype, nats.
        advantages: (B,), same dtype.
        vector: (P,), same dtype.
        layout: network and head.
        ent_coef: finite.
        out: (P,), same dtype, or None to allocate; must not overlap an input.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        ``out``: the product (P,).

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    kernel = "surrogate_hessian_vector_product"
    dtype, params, sample = _checked(kernel, params, (observations, actions, old_log_probs, advantages), layout)
    vector = _check.array_of(f"{kernel}: vector", vector, dtype, (layout.n_params,))
    out = _check.output(f"{kernel}: out", out, dtype, (layout.n_params,))
    _check.check_no_overlap(f"{kernel}: out", out, (params, *sample, vector))
    backends.resolve("surrogate", backend).surrogate_hessian_vector_product(
        params,
        *sample,
        vector,
        layout=layout,
        ent_coef=_check.check_finite(f"{kernel}: ent_coef", ent_coef),
        out=out,
        n_threads=_check.check_threads(kernel, n_threads),
    )
    return out


def _checked(
    kernel: str, params: Array, sample: tuple[Array, Array, Array, Array], layout: PolicyLayout
) -> tuple[np.dtype[Any], Array, PolicySample]:
    """(dtype, parameters, samples), checked against ``layout`` and each other."""
    dtype = _check.float_dtype(f"{kernel}: params", params)
    params = _check.array_of(f"{kernel}: params", params, dtype, (layout.n_params,))
    shape = ("B", layout.observation_size)
    observations = _check.array_of(f"{kernel}: observations", sample[0], dtype, shape)
    n_samples = len(observations)
    actions = checked_actions(kernel, sample[1], layout.head, dtype, n_samples)
    columns = [
        _check.array_of(f"{kernel}: {name}", array, dtype, (n_samples,))
        for name, array in zip(("old_log_probs", "advantages"), sample[2:], strict=True)
    ]
    return dtype, params, PolicySample(observations, actions, *columns)
