"""Distributions against independent formulas, by enumeration, and by Monte Carlo within standard errors."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import HeadLayout
from tests.kernels import oracles
from tests.kernels.cases import BERNOULLI, GAUSSIAN, HEADS, MULTI_CATEGORICAL, random_head

Array = NDArray[Any]
DISCRETE = {name: head for name, head in HEADS.items() if head.kind != "gaussian"}
NO_LOG_STD = np.zeros(0)


def every_action(head: HeadLayout) -> Array:
    """All joint actions (n, D)."""
    choices = [range(2)] * head.n_actions if head.kind == "bernoulli" else [range(size) for size in head.sizes]
    return np.array(list(itertools.product(*choices)), np.int32)


def joint_probabilities(head: HeadLayout, head_inputs: Array) -> Array:
    """Of ``every_action`` under one row, by plain softmax and sigmoid."""
    marginals = oracles.probabilities(head.kind, head.sizes, head_inputs)
    return np.array([math.prod(p[a] for p, a in zip(marginals, action, strict=True)) for action in every_action(head)])


def one_row(head: HeadLayout, seed: int = 0) -> tuple[Array, Array]:
    return random_head(head, 1, np.float64, np.random.default_rng(seed))


@pytest.mark.parametrize("head", DISCRETE.values(), ids=DISCRETE)
def test_discrete_heads_by_enumeration(backend: str, head: HeadLayout) -> None:
    """log_prob, entropy and KL from the table of all joint actions and their probabilities."""
    (old, _), (new, _) = one_row(head, 0), one_row(head, 1)
    p, q = joint_probabilities(head, old[0]), joint_probabilities(head, new[0])
    rows = np.repeat(old, len(p), axis=0)
    log_probs = kernels.log_prob(rows, NO_LOG_STD, every_action(head), head=head, backend=backend)
    np.testing.assert_allclose(log_probs, np.log(p), rtol=0, atol=1e-13)
    entropy = kernels.entropy(old, NO_LOG_STD, head=head, backend=backend)
    assert entropy[0] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-13)
    kl = kernels.kl_old_new(old, NO_LOG_STD, new, NO_LOG_STD, head=head, backend=backend)
    assert kl[0] == pytest.approx((p * np.log(p / q)).sum(), abs=1e-13), "the direction is KL(old || new)"


def test_gaussian_against_the_standard_library(backend: str) -> None:
    (old, old_log_std), (new, new_log_std) = one_row(GAUSSIAN, 0), one_row(GAUSSIAN, 1)
    action = np.array([[0.3, -1.2]])
    distributions = [statistics.NormalDist(m, math.exp(s)) for m, s in zip(old[0], old_log_std, strict=True)]
    log_prob = kernels.log_prob(old, old_log_std, action, head=GAUSSIAN, backend=backend)
    densities = [d.pdf(a) for d, a in zip(distributions, action[0], strict=True)]
    assert log_prob[0] == pytest.approx(math.log(math.prod(densities)), abs=1e-13)
    entropy = kernels.entropy(old, old_log_std, head=GAUSSIAN, backend=backend)
    variances = [d.variance for d in distributions]
    assert entropy[0] == pytest.approx(0.5 * sum(math.log(2 * math.pi * math.e * v) for v in variances), abs=1e-13)
    kl = kernels.kl_old_new(old, old_log_std, new, new_log_std, head=GAUSSIAN, backend=backend)
    new_variances = np.exp(2 * new_log_std)
    terms = np.log(new_variances / variances) + (variances + (old[0] - new[0]) ** 2) / new_variances - 1
    assert kl[0] == pytest.approx(terms.sum() / 2, abs=1e-13)


def test_gaussian_entropy_and_kl_are_expectations_of_samples(backend: str) -> None:
    """Monte Carlo within five standard errors, so that sampling, density, entropy and KL agree with each other."""
    n = 40_000
    (old, old_log_std), (new, new_log_std) = one_row(GAUSSIAN, 2), one_row(GAUSSIAN, 3)
    old, new = np.repeat(old, n, axis=0), np.repeat(new, n, axis=0)
    draws = kernels.sample(old, old_log_std, head=GAUSSIAN, seed=3, stream=1, step=0, backend=backend)
    log_p = kernels.log_prob(old, old_log_std, draws, head=GAUSSIAN, backend=backend)
    log_q = kernels.log_prob(new, new_log_std, draws, head=GAUSSIAN, backend=backend)
    entropy = kernels.entropy(old[:1], old_log_std, head=GAUSSIAN, backend=backend)[0]
    kl = kernels.kl_old_new(old[:1], old_log_std, new[:1], new_log_std, head=GAUSSIAN, backend=backend)[0]
    for estimate, exact in ((-log_p, entropy), (log_p - log_q, kl)):
        assert abs(estimate.mean() - exact) < 5 * estimate.std() / math.sqrt(n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("head", DISCRETE.values(), ids=DISCRETE)
def test_discrete_samples_have_their_frequencies(backend: str, head: HeadLayout, dtype: Any) -> None:
    """Every joint action within five standard errors of its probability: marginals and independence of dimensions."""
    n = 30_000
    row, _ = one_row(head, 4)
    rows = np.repeat(row, n, axis=0).astype(dtype)
    draws = kernels.sample(rows, NO_LOG_STD.astype(dtype), head=head, seed=5, stream=1, step=2, backend=backend)
    assert draws.dtype == np.int32
    p = joint_probabilities(head, row[0])
    for action, probability in zip(every_action(head), p, strict=True):
        frequency = (draws == action).all(axis=1).mean()
        assert abs(frequency - probability) < 5 * math.sqrt(probability * (1 - probability) / n) + 1 / n


def test_gaussian_samples_have_their_moments(backend: str) -> None:
    n = 50_000
    mean, log_std = np.array([[1.0, -2.0]]), np.array([0.5, -1.0])
    rows = np.repeat(mean, n, axis=0)
    draws = kernels.sample(rows, log_std, head=GAUSSIAN, seed=6, stream=1, step=0, backend=backend)
    std = np.exp(log_std)
    assert (np.abs(draws.mean(axis=0) - mean[0]) < 5 * std / math.sqrt(n)).all()
    assert (np.abs(draws.var(axis=0) - std**2) < 5 * std**2 * math.sqrt(2 / n)).all()
    assert abs(np.corrcoef(draws.T)[0, 1]) < 5 / math.sqrt(n)


def test_discrete_samples_invert_the_distribution_function(backend: str) -> None:
    """The smallest k with u * total < cumulative sum, one uniform number per dimension."""
    n = 500
    rows, _ = random_head(MULTI_CATEGORICAL, n, np.float64, np.random.default_rng(1))
    u = kernels.uniform(7, 1, 9, out=np.empty((n, 3)), backend="reference")
    draws = kernels.sample(rows, NO_LOG_STD, head=MULTI_CATEGORICAL, seed=7, stream=1, step=9, backend=backend)
    for i in range(n):
        for d, p in enumerate(oracles.probabilities("categorical", MULTI_CATEGORICAL.sizes, rows[i])):
            assert draws[i, d] == np.searchsorted(np.cumsum(p)[:-1], u[i, d], side="right")


def test_bernoulli_samples_compare_with_the_sigmoid(backend: str) -> None:
    n = 500
    rows, _ = random_head(BERNOULLI, n, np.float64, np.random.default_rng(1))
    u = kernels.uniform(7, 1, 9, out=np.empty((n, 3)), backend="reference")
    draws = kernels.sample(rows, NO_LOG_STD, head=BERNOULLI, seed=7, stream=1, step=9, backend=backend)
    np.testing.assert_array_equal(draws, u < 1 / (1 + np.exp(-rows)))


@pytest.mark.parametrize("head", DISCRETE.values(), ids=DISCRETE)
def test_the_mode_is_the_most_probable_action(backend: str, head: HeadLayout) -> None:
    for seed in range(5):
        row, _ = one_row(head, seed)
        best = every_action(head)[joint_probabilities(head, row[0]).argmax()]
        np.testing.assert_array_equal(kernels.mode(row, NO_LOG_STD, head=head, backend=backend)[0], best)


def test_ties_go_to_the_first(backend: str) -> None:
    zeros = np.zeros((1, 10))
    assert kernels.mode(zeros, NO_LOG_STD, head=MULTI_CATEGORICAL, backend=backend).tolist() == [[0, 0, 0]]
    assert kernels.mode(zeros[:, :3], NO_LOG_STD, head=BERNOULLI, backend=backend).tolist() == [[0, 0, 0]]


LOGITS = [1e4, -1e4, 80.0, -80.0, 1.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(backend: str, dtype: Any) -> None:
    """No overflow, probabilities of sum 1, entropy in [0, log of the number of choices], KL of a pair with itself 0."""
    head = HeadLayout("categorical", (3,))
    rows = np.array(list(itertools.product(LOGITS, repeat=3)), dtype)
    none = np.zeros(0, dtype)
    total = np.zeros(len(rows))
    for action in range(3):
        actions = np.full((len(rows), 1), action, np.int32)
        total += np.exp(kernels.log_prob(rows, none, actions, head=head, backend=backend).astype(np.float64))
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)
    entropy = kernels.entropy(rows, none, head=head, backend=backend)
    assert (entropy >= 0).all()
    assert (entropy <= math.log(3) + 1e-6).all()
    assert (kernels.kl_old_new(rows, none, rows, none, head=head, backend=backend) == 0).all()
    draws = kernels.sample(rows, none, head=head, seed=0, stream=1, step=0, backend=backend)
    chosen = np.take_along_axis(rows, draws, axis=1)[:, 0]
    assert (rows.max(axis=1) - chosen <= 80.0).all(), "a choice of probability e^-1e4 was drawn"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_bernoulli_logits(backend: str, dtype: Any) -> None:
    head = HeadLayout("bernoulli", (1,))
    rows, none = np.array(LOGITS, dtype)[:, None], np.zeros(0, dtype)
    log_probs = [
        kernels.log_prob(rows, none, np.full(rows.shape, a, np.int32), head=head, backend=backend) for a in (0, 1)
    ]
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=0), 1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(log_probs[1][:4], [0, -1e4, 0, -80], rtol=1e-6, atol=1e-30)
    entropy = kernels.entropy(rows, none, head=head, backend=backend)
    assert ((entropy >= 0) & (entropy <= math.log(2) + 1e-6)).all()
    assert (kernels.kl_old_new(rows, none, rows, none, head=head, backend=backend) == 0).all()


FINITE = st.floats(-30, 30)


@given(old=arrays(np.float64, (1, 10), elements=FINITE), new=arrays(np.float64, (1, 10), elements=FINITE))
@settings(max_examples=40, deadline=None)
def test_kl_is_not_negative_and_shifts_of_logits_do_not_matter(backend: str, old: Array, new: Array) -> None:
    kl = kernels.kl_old_new(old, NO_LOG_STD, new, NO_LOG_STD, head=MULTI_CATEGORICAL, backend=backend)
    assert kl[0] >= -1e-13
    shifted = kernels.kl_old_new(old + 3, NO_LOG_STD, new - 5, NO_LOG_STD, head=MULTI_CATEGORICAL, backend=backend)
    assert shifted[0] == pytest.approx(kl[0], abs=1e-12)
