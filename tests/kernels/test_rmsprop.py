"""RMSprop against the rule written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg import kernels


@given(seed=st.integers(0, 1000), rate=st.floats(0, 1), alpha=st.floats(0, 0.9999), epsilon=st.floats(1e-10, 1e-2))
@settings(max_examples=30, deadline=None)
def test_it_is_the_documented_rule(backend: str, seed: int, rate: float, alpha: float, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    params, gradient = rng.standard_normal((2, 11))
    v = rng.random(11)
    options: dict[str, Any] = {"learning_rate": rate, "alpha": alpha, "epsilon": epsilon, "backend": backend}
    state = kernels.rmsprop_step(params, gradient, v, **options)
    new_v = alpha * v + (1 - alpha) * gradient**2
    np.testing.assert_allclose(state.square_average, new_v, rtol=1e-13, atol=0)
    step = rate * gradient / (np.sqrt(new_v) + epsilon)
    np.testing.assert_allclose(state.params, params - step, rtol=0, atol=1e-13 * (1 + np.abs(step).max()))


def test_the_first_step_from_nothing(backend: str) -> None:
    """V = (1 - alpha) g^2: every parameter moves by rate / sqrt(1 - alpha), whatever its gradient; none by 0."""
    gradient = np.array([3.0, -1e-2, 0.0])
    state = kernels.rmsprop_step(
        np.zeros(3), gradient, np.zeros(3), learning_rate=0.1, alpha=0.99, epsilon=1e-12, backend=backend
    )
    np.testing.assert_allclose(state.params, [-1.0, 1.0, 0.0], rtol=1e-8, atol=0)


def test_bad_arguments_are_named() -> None:
    zeros = np.zeros(3)
    for name, bad in (("learning_rate", -1.0), ("alpha", 1.0), ("epsilon", -1e-9)):
        with pytest.raises(ValueError, match=f"rmsprop_step: {name}: expected"):
            kernels.rmsprop_step(zeros, zeros, zeros, **{"learning_rate": 0.1, name: bad})
    with pytest.raises(ValueError, match="rmsprop_step: out: expected two arrays, got 3"):
        kernels.rmsprop_step(zeros, zeros, zeros, learning_rate=0.1, out=(zeros, zeros, zeros))  # type: ignore[arg-type]
