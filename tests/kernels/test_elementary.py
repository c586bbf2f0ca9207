"""The exponential function beside the kernels: near that of NumPy, with the same bits on every machine."""

from __future__ import annotations

import numpy as np

from fastpg.kernels.elementary import exp
from tests.bits import digest


def test_exp_is_near_that_of_numpy() -> None:
    x = np.concatenate([np.linspace(-700.0, 709.0, 100_001), np.linspace(-1.0, 1.0, 100_001)])
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=5e-16, atol=0.0)


def test_exp_of_float32_is_that_of_the_same_numbers() -> None:
    x = np.linspace(-3.0, 3.0, 101, dtype=np.float32)
    np.testing.assert_array_equal(exp(x), exp(x.astype(np.float64)))


def test_exp_at_the_ends() -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 709.78, 709.79, 1e300, -745.0, -746.0])
    expected = [1.0, 1.0, np.inf, 0.0, np.nan, 1.7928227943945155e308, np.inf, np.inf, 5e-324, 0.0]
    np.testing.assert_allclose(exp(x), expected, rtol=5e-16)


def test_exp_has_known_bits() -> None:
    """On every processor."""
    assert digest([exp(np.arange(-4000.0, 4000.0) / 32.0)]) == "465169b915af7374"
