"""Random numbers: known answers, counters, distributions."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels import philox
from fastpg.kernels.reference.philox import philox4x32
from tests.kernels import oracles

ALL = 0xFFFFFFFF

#: Random123's kat_vectors for philox4x32-10: counter, key, output.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ALL] * 4, [ALL] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter: list[int], key: list[int], expected: list[int]) -> None:
    assert oracles.philox4x32(counter, key) == expected
    assert philox4x32(np.array(counter), (key[0], key[1])).tolist() == expected


def words(seed: int, stream: int, step: int, row: int, column: int) -> int:
    """The output word of one element, by the definition in the module's documentation."""
    counter = [row, column // 4, step & ALL, (stream << 24) | (step >> 32)]
    return oracles.philox4x32(counter, [seed & ALL, seed >> 32])[column % 4]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_known_answers_reach_the_user(backend: str, dtype: Any) -> None:
    """Of every implementation: the first block of the all-zero counter and key is that of Random123."""
    out = kernels.uniform(0, 0, 0, out=np.empty((1, 4), dtype), backend=backend)
    np.testing.assert_array_equal(out[0], [(word >> 8) * 2.0**-24 for word in KNOWN_ANSWERS[0][2]])


@given(
    seed=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 255),
    step=st.integers(0, 2**56 - 1),
    n_rows=st.integers(0, 4),
    n_columns=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_uniform_by_its_definition(
    backend: str, seed: int, stream: int, step: int, n_rows: int, n_columns: int
) -> None:
    out = kernels.uniform(seed, stream, step, out=np.empty((n_rows, n_columns), np.float32), backend=backend)
    for i in range(n_rows):
        for j in range(n_columns):
            assert out[i, j] == np.float32((words(seed, stream, step, i, j) >> 8) * 2.0**-24)


@given(seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**56 - 1))
@settings(max_examples=20, deadline=None)
def test_normal_by_its_definition(backend: str, seed: int, step: int) -> None:
    """Against the inverse of the normal distribution function in float64; Giles gives 4e-7 relative, tails included."""
    out = kernels.normal(seed, 1, step, out=np.empty((3, 5), np.float64), backend=backend)
    for i in range(3):
        for j in range(5):
            x = (2 * (words(seed, 1, step, i, j) >> 8) + 1 - 2**24) * 2.0**-24
            expected = statistics.NormalDist().inv_cdf((1 + x) / 2)
            assert out[i, j] == pytest.approx(expected, rel=2e-6, abs=1e-9)


@given(seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**56 - 1), n=st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_permutation_by_its_definition(backend: str, seed: int, step: int, n: int) -> None:
    expected = list(range(n))
    for k, i in enumerate(range(n - 1, 0, -1)):
        j = words(seed, 2, step, k // 4, k % 4) * (i + 1) >> 32
        expected[i], expected[j] = expected[j], expected[i]
    out = kernels.permutation(seed, 2, step, out=np.empty(n, np.int64), backend=backend)
    assert out.tolist() == expected


def sample_moments(values: NDArray[Any]) -> tuple[float, float]:
    return float(values.mean()), float(values.var())


def test_uniform_and_normal_have_their_moments(backend: str) -> None:
    """Within five standard errors: of the mean sd/sqrt(n), of the variance sqrt((fourth moment - variance^2)/n)."""
    n = 200_000
    mean, variance = sample_moments(kernels.uniform(1, 2, 3, out=np.empty((n // 8, 8)), backend=backend))
    assert abs(mean - 1 / 2) < 5 * math.sqrt(1 / 12 / n)
    assert abs(variance - 1 / 12) < 5 * math.sqrt((1 / 80 - 1 / 144) / n)
    values = kernels.normal(1, 2, 3, out=np.empty((n // 8, 8)), backend=backend)
    mean, variance = sample_moments(values)
    assert abs(mean) < 5 / math.sqrt(n)
    assert abs(variance - 1) < 5 * math.sqrt(2 / n)
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert abs(np.mean(values > 1.959964) - 0.025) < 5 * math.sqrt(0.025 * 0.975 / n)


def test_every_place_is_equally_likely_in_a_permutation(backend: str) -> None:
    n, n_draws = 6, 3000
    counts = np.zeros((n, n))
    out = np.empty(n, np.int64)
    for step in range(n_draws):
        kernels.permutation(9, philox.STREAM_SHUFFLE, step, out=out, backend=backend)
        counts[np.arange(n), out] += 1
    standard_error = math.sqrt(n_draws * (1 / n) * (1 - 1 / n))
    assert np.abs(counts - n_draws / n).max() < 5 * standard_error


def test_streams_steps_and_seeds_differ(backend: str) -> None:
    draws = [
        tuple(kernels.uniform(*counter, out=np.empty((1, 4)), backend=backend)[0])
        for counter in [(0, 1, 0), (1, 1, 0), (2**32, 1, 0), (0, 2, 0), (0, 1, 1), (0, 1, 2**32)]
    ]
    assert len(set(draws)) == len(draws)


def test_rows_do_not_depend_on_the_number_of_rows(backend: str) -> None:
    few = kernels.normal(5, 1, 7, out=np.empty((3, 2), np.float32), backend=backend)
    many = kernels.normal(5, 1, 7, out=np.empty((300, 2), np.float32), backend=backend)
    np.testing.assert_array_equal(few, many[:3])
