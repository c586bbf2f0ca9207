"""Running mean and variance, and normalisation by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends

Array = NDArray[Any]
_DOUBLE = np.dtype(np.float64)


def update_moments(
    mean: Array,
    variance: Array,
    count: float,
    batch: Array,
    *,
    out: tuple[Array, Array] | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, float]:
    """Merge the moments of ``batch`` into running ones.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1982).
    With n = count, b = B and d = batch mean - mean:

        mean' = mean + d b / (n + b),  variance' = (variance n + batch variance b + d^2 n b / (n + b)) / (n + b)

    Both variances are those of a population (divisor n). An empty batch changes nothing.

    Args:
        mean: (O,) float64.
        variance: (O,) float64, >= 0.
        count: number of samples so far, >= 0; a fraction stands for a weak prior.
        batch: (B, O) float32 or float64; sums are taken in float64.
        out: (mean, variance), float64 (O,), or None to allocate; each may be the input of the same role.
        backend: implementation, None for the default.

    Returns:
        New mean, variance and count.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    mean = _check.array_of("update_moments: mean", mean, _DOUBLE, ("O",))
    variance = _check.array_of("update_moments: variance", variance, _DOUBLE, mean.shape)
    dtype = _check.float_dtype("update_moments: batch", batch)
    batch = _check.array_of("update_moments: batch", batch, dtype, ("B", len(mean)))
    count = _check.check_non_negative("update_moments: count", count)
    given = out or (None, None)
    new_mean = _check.output("update_moments: out[0]", given[0], _DOUBLE, mean.shape)
    new_variance = _check.output("update_moments: out[1]", given[1], _DOUBLE, mean.shape)
    _check.check_same_or_apart("update_moments: out[0]", new_mean, mean)
    _check.check_same_or_apart("update_moments: out[1]", new_variance, variance)
    _check.check_no_overlap("update_moments: out[0]", new_mean, (variance, new_variance, batch))
    _check.check_no_overlap("update_moments: out[1]", new_variance, (mean, batch))
    new = new_mean, new_variance
    backends.resolve("running_moments", backend).update_moments(mean, variance, count, batch, new)
    return new_mean, new_variance, count + len(batch)


def normalize(
    inputs: Array,
    mean: Array,
    variance: Array,
    *,
    epsilon: float,
    clip: float,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """(inputs - mean) / sqrt(variance + epsilon), clipped to [-clip, clip].

    Args:
        inputs: (B, O) float32 or float64.
        mean: (O,) float64.
        variance: (O,) float64, >= 0.
        epsilon: >= 0, added to the variance; if it is > 0, a constant input is mapped to 0.
        clip: > 0, infinity for no clipping.
        out: (B, O), dtype of ``inputs``, or None to allocate; may be ``inputs`` itself.
        backend: implementation, None for the default.

    Returns:
        ``out``. NaN stays NaN. Computed in float64, then rounded.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype = _check.float_dtype("normalize: inputs", inputs)
    inputs = _check.array_of("normalize: inputs", inputs, dtype, ("B", "O"))
    mean = _check.array_of("normalize: mean", mean, _DOUBLE, (inputs.shape[1],))
    variance = _check.array_of("normalize: variance", variance, _DOUBLE, mean.shape)
    out = _check.output("normalize: out", out, dtype, inputs.shape)
    _check.check_same_or_apart("normalize: out", out, inputs)
    _check.check_no_overlap("normalize: out", out, (mean, variance))
    epsilon = _check.check_non_negative("normalize: epsilon", epsilon)
    clip = _check.check_positive("normalize: clip", clip)
    backends.resolve("running_moments", backend).normalize(inputs, mean, variance, epsilon, clip, out)
    return out
