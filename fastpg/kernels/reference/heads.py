"""Action distributions in NumPy: one class per kind of head, the same methods in each.

Arrays: ``inputs`` (B, K), ``log_std`` (D,) or (0,), ``actions`` (B, D). Methods named ``..._gradient`` return the
derivatives of the summed quantity of each sample by its head inputs (B, K) and by log_std (B, size of log_std).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import HeadLayout
from fastpg.kernels.reference import philox

Array = NDArray[Any]
_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


@np.errstate(all="ignore")
def log_prob(head_inputs: Array, log_std: Array, actions: Array, *, head: HeadLayout, out: Array) -> None:
    """Sum over d of log p(a_d)."""
    out[:] = distribution(head).log_prob(head_inputs, log_std, actions)


@np.errstate(all="ignore")
def entropy(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None:
    """Sum over d of -E[log p(a_d)]."""
    out[:] = distribution(head).entropy(head_inputs, log_std)


@np.errstate(all="ignore")
def kl_old_new(
    old_head_inputs: Array,
    old_log_std: Array,
    new_head_inputs: Array,
    new_log_std: Array,
    *,
    head: HeadLayout,
    out: Array,
) -> None:
    """Sum over d of E_old[log p_old(a_d) - log p_new(a_d)]."""
    out[:] = distribution(head).kl_old_new(old_head_inputs, old_log_std, new_head_inputs, new_log_std)


@np.errstate(all="ignore")
def sample(
    head_inputs: Array, log_std: Array, *, head: HeadLayout, seed: int, stream: int, step: int, out: Array
) -> None:
    """Inversion, one random number per action dimension."""
    distribution(head).sample(head_inputs, log_std, (seed, stream, step), out)


def mode(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None:
    """The most probable action."""
    distribution(head).mode(head_inputs, out)


class Distribution(Protocol):
    """What every head offers."""

    def log_prob(self, inputs: Array, log_std: Array, actions: Array) -> Array:
        """(B,)."""

    def log_prob_gradient(self, inputs: Array, log_std: Array, actions: Array) -> tuple[Array, Array]:
        """(B, K) and (B, size of log_std)."""

    def entropy(self, inputs: Array, log_std: Array) -> Array:
        """(B,)."""

    def entropy_gradient(self, inputs: Array, log_std: Array) -> tuple[Array, Array]:
        """(B, K) and (B, size of log_std)."""

    def kl_old_new(self, old: Array, old_log_std: Array, new: Array, new_log_std: Array) -> Array:
        """(B,)."""

    def fisher_factors(self, inputs: Array, log_std: Array) -> Array:
        """(B, K, K): f with the Fisher matrix of sample b by its head inputs = sum over r of f[b, r] f[b, r]'."""

    def kl_old_new_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """By the new policy: (B, K) and (B, size of log_std)."""

    def kl_new_old_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """By the new policy: (B, K) and (B, size of log_std)."""

    def sample(self, inputs: Array, log_std: Array, counter: tuple[int, int, int], out: Array) -> None:
        """Into ``out`` (B, D)."""

    def mode(self, inputs: Array, out: Array) -> None:
        """Into ``out`` (B, D)."""


def distribution(head: HeadLayout) -> Distribution:
    """The distribution that ``head`` describes."""
    kinds: dict[str, Callable[[HeadLayout], Distribution]] = {
        "categorical": Categorical,
        "bernoulli": Bernoulli,
        "gaussian": Gaussian,
    }
    return kinds[head.kind](head)


class Categorical:
    """p = softmax(logits) in each action dimension."""

    def __init__(self, head: HeadLayout) -> None:
        self._columns = np.cumsum((0, *head.sizes)).tolist()

    def log_prob(self, inputs: Array, log_std: Array, actions: Array) -> Array:
        """l_a - log sum exp l."""
        chosen = (_pick(_log_softmax(z), actions[:, d]) for d, z in enumerate(self._parts(inputs)))
        return _total(chosen, inputs)

    def log_prob_gradient(self, inputs: Array, log_std: Array, actions: Array) -> tuple[Array, Array]:
        """1[k = a] - p_k."""
        gradient = np.empty_like(inputs)
        parts = zip(self._parts(inputs), self._parts(gradient), strict=True)
        for d, (logits, part) in enumerate(parts):
            part[:] = -np.exp(_log_softmax(logits))
            part[np.arange(len(part)), actions[:, d]] += 1
        return gradient, _no_log_std(inputs)

    def entropy(self, inputs: Array, log_std: Array) -> Array:
        """-sum p log p."""
        return _total((_expectation(z, -_log_softmax(z)) for z in self._parts(inputs)), inputs)

    def entropy_gradient(self, inputs: Array, log_std: Array) -> tuple[Array, Array]:
        """-p_k (log p_k + entropy)."""
        gradient = np.empty_like(inputs)
        for logits, part in zip(self._parts(inputs), self._parts(gradient), strict=True):
            log_p = _log_softmax(logits)
            part[:] = -np.exp(log_p) * (log_p + _expectation(logits, -log_p)[:, None])
        return gradient, _no_log_std(inputs)

    def kl_old_new(self, old: Array, old_log_std: Array, new: Array, new_log_std: Array) -> Array:
        """Sum p_old (log p_old - log p_new)."""
        old, new = old.astype(np.float64), new.astype(np.float64)  # see Bernoulli
        pairs = zip(self._parts(old), self._parts(new), strict=True)
        return _total((_expectation(a, _log_softmax(a) - _log_softmax(b)) for a, b in pairs), old)

    def fisher_factors(self, inputs: Array, log_std: Array) -> Array:
        """sqrt(p_k) (e_k - p): the sum of their outer products is diag(p) - p p'."""
        factors = np.zeros((*inputs.shape, inputs.shape[1]), inputs.dtype)
        for logits, first, end in zip(self._parts(inputs), self._columns, self._columns[1:], strict=False):
            p = np.exp(_log_softmax(logits))
            scores = np.eye(end - first, dtype=p.dtype) - p[:, None, :]
            factors[:, first:end, first:end] = np.sqrt(p)[:, :, None] * scores
        return factors

    def kl_old_new_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """P_new - p_old."""
        gradient = np.empty_like(new)
        for a, b, part in zip(self._parts(old), self._parts(new), self._parts(gradient), strict=True):
            part[:] = np.exp(_log_softmax(b)) - np.exp(_log_softmax(a))
        return gradient, _no_log_std(new)

    def kl_new_old_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """P_new (log p_new - log p_old - KL)."""
        gradient = np.empty_like(new)
        for a, b, part in zip(self._parts(old), self._parts(new), self._parts(gradient), strict=True):
            log_ratio = _log_softmax(b) - _log_softmax(a)
            part[:] = np.exp(_log_softmax(b)) * (log_ratio - _expectation(b, log_ratio)[:, None])
        return gradient, _no_log_std(new)

    def sample(self, inputs: Array, log_std: Array, counter: tuple[int, int, int], out: Array) -> None:
        """Smallest k with u sum_j w_j < sum_{j<=k} w_j, w = exp(l - max l)."""
        u = np.empty(out.shape, inputs.dtype)
        philox.uniform(*counter, out=u)
        for d, logits in enumerate(self._parts(inputs)):
            cumulative = np.cumsum(np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1)
            below = u[:, d, None] * cumulative[:, -1:] < cumulative
            below[:, -1] = True  # guards against rounding, and against NaN
            out[:, d] = below.argmax(axis=1)

    def mode(self, inputs: Array, out: Array) -> None:
        """First largest logit."""
        for d, logits in enumerate(self._parts(inputs)):
            out[:, d] = logits.argmax(axis=1)

    def _parts(self, array: Array) -> list[Array]:
        """The columns of each action dimension, as views."""
        return [array[:, a:b] for a, b in zip(self._columns, self._columns[1:], strict=False)]


class Bernoulli:
    """P(a = 1) = sigmoid(logit) in each action dimension."""

    def __init__(self, head: HeadLayout) -> None:
        pass

    def log_prob(self, inputs: Array, log_std: Array, actions: Array) -> Array:
        """Log sigmoid(l) where a = 1, log sigmoid(-l) where a = 0."""
        return _sum(_log_sigmoid(np.where(actions == 1, inputs, -inputs)))

    def log_prob_gradient(self, inputs: Array, log_std: Array, actions: Array) -> tuple[Array, Array]:
        """A - sigmoid(l)."""
        return actions.astype(inputs.dtype) - _sigmoid(inputs), _no_log_std(inputs)

    def entropy(self, inputs: Array, log_std: Array) -> Array:
        """-p log p - (1 - p) log(1 - p)."""
        terms = _sigmoid(inputs) * _log_sigmoid(inputs) + _sigmoid(-inputs) * _log_sigmoid(-inputs)
        return -_sum(terms)

    def entropy_gradient(self, inputs: Array, log_std: Array) -> tuple[Array, Array]:
        """-l p (1 - p)."""
        return -inputs * _sigmoid(inputs) * _sigmoid(-inputs), _no_log_std(inputs)

    def kl_old_new(self, old: Array, old_log_std: Array, new: Array, new_log_std: Array) -> Array:
        """Expectation of the difference of the log-probabilities over both outcomes, in double precision.

        Of nearly equal distributions the divergence is smaller than the rounding error of a float32 logarithm.
        """
        old, new = old.astype(np.float64), new.astype(np.float64)
        if_one = _sigmoid(old) * (_log_sigmoid(old) - _log_sigmoid(new))
        if_zero = _sigmoid(-old) * (_log_sigmoid(-old) - _log_sigmoid(-new))
        return _sum(if_one + if_zero)

    def fisher_factors(self, inputs: Array, log_std: Array) -> Array:
        """sqrt(p (1 - p)) e_d."""
        return _diagonal(np.sqrt(_sigmoid(inputs) * _sigmoid(-inputs)))

    def kl_old_new_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """P_new - p_old."""
        return _sigmoid(new) - _sigmoid(old), _no_log_std(new)

    def kl_new_old_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """P_new (1 - p_new) (l_new - l_old)."""
        return _sigmoid(new) * _sigmoid(-new) * (new - old), _no_log_std(new)

    def sample(self, inputs: Array, log_std: Array, counter: tuple[int, int, int], out: Array) -> None:
        """U < sigmoid(l)."""
        u = np.empty(out.shape, inputs.dtype)
        philox.uniform(*counter, out=u)
        out[:] = u < _sigmoid(inputs)

    def mode(self, inputs: Array, out: Array) -> None:
        """L > 0."""
        out[:] = inputs > 0


class Gaussian:
    """Independent normal distributions with standard deviation exp(log_std)."""

    def __init__(self, head: HeadLayout) -> None:
        pass

    def log_prob(self, inputs: Array, log_std: Array, actions: Array) -> Array:
        """-z^2 / 2 - log_std - log(2 pi) / 2, z = (a - mean) / std."""
        z = (actions - inputs) * np.exp(-log_std)
        return _sum(-z * z / 2 - log_std - inputs.dtype.type(_HALF_LOG_2PI))

    def log_prob_gradient(self, inputs: Array, log_std: Array, actions: Array) -> tuple[Array, Array]:
        """Z / std by the mean, z^2 - 1 by log_std."""
        z = (actions - inputs) * np.exp(-log_std)
        return z * np.exp(-log_std), z * z - 1

    def entropy(self, inputs: Array, log_std: Array) -> Array:
        """log_std + (1 + log(2 pi)) / 2."""
        return np.full(len(inputs), (log_std + inputs.dtype.type(0.5 + _HALF_LOG_2PI)).sum(), inputs.dtype)

    def entropy_gradient(self, inputs: Array, log_std: Array) -> tuple[Array, Array]:
        """0 by the mean, 1 by log_std."""
        return np.zeros_like(inputs), np.ones((len(inputs), len(log_std)), inputs.dtype)

    def kl_old_new(self, old: Array, old_log_std: Array, new: Array, new_log_std: Array) -> Array:
        """log(std_new / std_old) + (std_old^2 + (mean_old - mean_new)^2) / (2 std_new^2) - 1/2."""
        ratio = np.exp(old_log_std - new_log_std)
        z = (old - new) * np.exp(-new_log_std)
        return _sum(new_log_std - old_log_std + (ratio * ratio + z * z - 1) / 2)

    def fisher_factors(self, inputs: Array, log_std: Array) -> Array:
        """e_d / std; that of log_std is 2 and belongs to no sample."""
        return _diagonal(np.broadcast_to(np.exp(-log_std), inputs.shape))

    def kl_old_new_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """(mean_new - mean_old) / std_new^2 and 1 - (std_old^2 + (mean_old - mean_new)^2) / std_new^2."""
        ratio = np.exp(old_log_std - new_log_std)
        z = (new - old) * np.exp(-new_log_std)
        return z * np.exp(-new_log_std), 1 - (ratio * ratio + z * z)

    def kl_new_old_gradient(
        self, old: Array, old_log_std: Array, new: Array, new_log_std: Array
    ) -> tuple[Array, Array]:
        """(mean_new - mean_old) / std_old^2 and std_new^2 / std_old^2 - 1."""
        ratio = np.exp(new_log_std - old_log_std)
        by_mean = (new - old) * np.exp(-2 * old_log_std)
        return by_mean, np.broadcast_to(ratio * ratio - 1, by_mean.shape)

    def sample(self, inputs: Array, log_std: Array, counter: tuple[int, int, int], out: Array) -> None:
        """Mean + std z."""
        philox.normal(*counter, out=out)
        out[:] = inputs + np.exp(log_std) * out

    def mode(self, inputs: Array, out: Array) -> None:
        """The mean."""
        out[:] = inputs


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _expectation(logits: Array, values: Array) -> Array:
    """Sum_k softmax(logits)_k values_k, (B,)."""
    return _sum(np.exp(_log_softmax(logits)) * values)


def _log_sigmoid(logits: Array) -> Array:
    result: Array = np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))
    return result


def _sigmoid(logits: Array) -> Array:
    """1 / (1 + exp(-l)) without overflow."""
    small = np.exp(-np.abs(logits))
    result: Array = np.where(logits >= 0, 1, small) / (1 + small)
    return result


def _diagonal(values: Array) -> Array:
    """(B, K) on the diagonals of (B, K, K)."""
    result: Array = values[:, :, None] * np.eye(values.shape[1], dtype=values.dtype)
    return result


def _pick(values: Array, actions: Array) -> Array:
    picked: Array = values[np.arange(len(values)), actions]
    return picked


def _sum(values: Array) -> Array:
    """Over the last axis."""
    total: Array = values.sum(axis=1)
    return total


def _total(terms: Iterable[Array], like: Array) -> Array:
    """Sum of the terms (B,) of the action dimensions."""
    return sum(terms, start=np.zeros(len(like), like.dtype))


def _no_log_std(inputs: Array) -> Array:
    return np.empty((len(inputs), 0), inputs.dtype)
