"""Action distributions: log-probability, entropy, KL divergence, sampling, mode.

A head turns K numbers per sample (logits or means) into a distribution over D action dimensions that are independent
given the observation, so log-probabilities, entropies and divergences are sums over dimensions. All in nats.

- ``categorical``: dimension d has ``head.sizes[d]`` choices with p = softmax(logits of d); action int32, 0 ... size-1.
- ``bernoulli``: P(action = 1) = sigmoid(logit); action int32, 0 or 1.
- ``gaussian``: mean = head input, standard deviation exp(log_std), the same for every sample; action float.

``log_std`` is (D,) for ``gaussian`` and an array of size 0 for the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.layout import HeadLayout
from fastpg.kernels.philox import _check_counters

Array = NDArray[Any]


def log_prob(
    head_inputs: Array,
    log_std: Array,
    actions: Array,
    *,
    head: HeadLayout,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Log-probability (density for ``gaussian``) of ``actions``, summed over action dimensions.

    Args:
        head_inputs: (B, K) float32 or float64, logits or means.
        log_std: (D,) for ``gaussian``, else (0,); same dtype.
        actions: (B, D), same dtype for ``gaussian``, else int32 within the range of the head.
        head: kind and sizes.
        out: (B,), same dtype, or None to allocate.
        backend: implementation, None for the default.

    Returns:
        ``out``: (B,), nats.

    Raises:
        TypeError, ValueError: an argument has the wrong type or shape, or an action lies outside its range.
    """
    dtype, head_inputs, log_std = _distribution("log_prob", head_inputs, log_std, head)
    actions = checked_actions("log_prob", actions, head, dtype, len(head_inputs))
    out = _check.output("log_prob: out", out, dtype, (len(head_inputs),))
    _check.check_no_overlap("log_prob: out", out, (head_inputs, log_std, actions))
    backends.resolve("heads", backend).log_prob(head_inputs, log_std, actions, head=head, out=out)
    return out


def entropy(
    head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array | None = None, backend: str | None = None
) -> Array:
    """Entropy (differential for ``gaussian``), summed over action dimensions.

    Args:
        head_inputs: (B, K) float32 or float64, logits or means.
        log_std: (D,) for ``gaussian``, else (0,); same dtype.
        head: kind and sizes.
        out: (B,), same dtype, or None to allocate.
        backend: implementation, None for the default.

    Returns:
        ``out``: (B,), nats.

    Raises:
        TypeError, ValueError: an argument has the wrong type or shape.
    """
    dtype, head_inputs, log_std = _distribution("entropy", head_inputs, log_std, head)
    out = _check.output("entropy: out", out, dtype, (len(head_inputs),))
    _check.check_no_overlap("entropy: out", out, (head_inputs, log_std))
    backends.resolve("heads", backend).entropy(head_inputs, log_std, head=head, out=out)
    return out


def kl_old_new(
    old_head_inputs: Array,
    old_log_std: Array,
    new_head_inputs: Array,
    new_log_std: Array,
    *,
    head: HeadLayout,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """KL(old || new) = E_old[log p_old - log p_new], exact, summed over action dimensions.

    Args:
        old_head_inputs: (B, K) float32 or float64, of the distribution on the left.
        old_log_std: (D,) for ``gaussian``, else (0,); same dtype.
        new_head_inputs: (B, K), same dtype, of the distribution on the right.
        new_log_std: like ``old_log_std``.
        head: kind and sizes, the same for both.
        out: (B,), same dtype, or None to allocate.
        backend: implementation, None for the default.

    Returns:
        ``out``: (B,), nats, >= 0 up to rounding.

    Raises:
        TypeError, ValueError: an argument has the wrong type or shape.
    """
    dtype, old_head_inputs, old_log_std = _distribution("kl_old_new", old_head_inputs, old_log_std, head, "old_")
    where = "kl_old_new: new_"
    new_head_inputs = _check.array_of(f"{where}head_inputs", new_head_inputs, dtype, old_head_inputs.shape)
    new_log_std = _check.array_of(f"{where}log_std", new_log_std, dtype, (head.n_log_std,))
    out = _check.output("kl_old_new: out", out, dtype, (len(old_head_inputs),))
    _check.check_no_overlap("kl_old_new: out", out, (old_head_inputs, old_log_std, new_head_inputs, new_log_std))
    backends.resolve("heads", backend).kl_old_new(
        old_head_inputs, old_log_std, new_head_inputs, new_log_std, head=head, out=out
    )
    return out


def sample(
    head_inputs: Array,
    log_std: Array,
    *,
    head: HeadLayout,
    seed: int,
    stream: int,
    step: int,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Draw one action per row; row i uses row i of the random counter, dimension d its column d.

    - ``categorical``: the smallest k with u sum_j exp(l_j - max l) < sum_{j<=k} exp(l_j - max l).
    - ``bernoulli``: 1 where u < sigmoid(logit).
    - ``gaussian``: mean + exp(log_std) z.

    u is ``philox.uniform``, z is ``philox.normal``.

    Args:
        head_inputs: (B, K) float32 or float64, logits or means.
        log_std: (D,) for ``gaussian``, else (0,); same dtype.
        head: kind and sizes.
        seed: 0 <= seed < 2^64.
        stream: 0 <= stream < 2^8.
        step: 0 <= step < 2^56.
        out: (B, D), same dtype for ``gaussian``, else int32, or None to allocate.
        backend: implementation, None for the default.

    Returns:
        ``out``: (B, D) actions.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    dtype, head_inputs, log_std = _distribution("sample", head_inputs, log_std, head)
    _check_counters("sample", seed, stream, step)
    out = _check.output("sample: out", out, head.action_dtype(dtype), (len(head_inputs), head.n_actions))
    _check.check_no_overlap("sample: out", out, (head_inputs, log_std))
    backends.resolve("heads", backend).sample(
        head_inputs, log_std, head=head, seed=seed, stream=stream, step=step, out=out
    )
    return out


def mode(
    head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array | None = None, backend: str | None = None
) -> Array:
    """The most probable action: first largest logit, logit > 0, or mean.

    Args:
        head_inputs: (B, K) float32 or float64, logits or means.
        log_std: (D,) for ``gaussian``, else (0,); same dtype.
        head: kind and sizes.
        out: (B, D), same dtype for ``gaussian``, else int32, or None to allocate.
        backend: implementation, None for the default.

    Returns:
        ``out``: (B, D) actions.

    Raises:
        TypeError, ValueError: an argument has the wrong type or shape.
    """
    dtype, head_inputs, log_std = _distribution("mode", head_inputs, log_std, head)
    out = _check.output("mode: out", out, head.action_dtype(dtype), (len(head_inputs), head.n_actions))
    _check.check_no_overlap("mode: out", out, (head_inputs, log_std))
    backends.resolve("heads", backend).mode(head_inputs, log_std, head=head, out=out)
    return out


def checked_actions(kernel: str, actions: Array, head: HeadLayout, dtype: np.dtype[Any], n_samples: int) -> Array:
    """``actions`` (B, D) checked, contiguous; discrete ones also against the number of choices."""
    where = f"{kernel}: actions"
    actions = _check.array_of(where, actions, head.action_dtype(dtype), (n_samples, head.n_actions))
    if head.kind != "gaussian" and n_samples:
        limits = [2] * head.n_actions if head.kind == "bernoulli" else list(head.sizes)
        if np.maximum.reduce(actions.view(np.uint32), axis=None) < min(limits):  # as such, negative ones are large
            return actions
        lowest, highest = actions.min(axis=0), actions.max(axis=0)
        for dimension, limit in enumerate(limits):
            if lowest[dimension] < 0 or highest[dimension] >= limit:
                raise ValueError(
                    f"{where}: expected integers in [0, {limit - 1}] in dimension {dimension}, "
                    f"got values in [{lowest[dimension]}, {highest[dimension]}]."
                )
    return actions


def _distribution(
    kernel: str, head_inputs: Array, log_std: Array, head: HeadLayout, prefix: str = ""
) -> tuple[np.dtype[Any], Array, Array]:
    where = f"{kernel}: {prefix}"
    dtype = _check.float_dtype(f"{where}head_inputs", head_inputs)
    head_inputs = _check.array_of(f"{where}head_inputs", head_inputs, dtype, ("B", head.n_inputs))
    return dtype, head_inputs, _check.array_of(f"{where}log_std", log_std, dtype, (head.n_log_std,))
