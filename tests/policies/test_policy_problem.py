"""What a sampled policy answers beside the kernels it calls: divergences, their gradients, parts of the samples."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.policies.problem import SampledPolicy, SampledProblem
from fastpg.types import Batch

HEADS = {
    "categorical": HeadLayout("categorical", (3, 2)),
    "bernoulli": HeadLayout("bernoulli", (1, 1)),
    "gaussian": HeadLayout("gaussian", (1, 1)),
}
N_SAMPLES = 9


def make_policy(kind: str, dtype: type = np.float64) -> SampledPolicy:
    """A policy of 4 observations and samples of no particular distribution."""
    rng = np.random.default_rng(0)
    head = HEADS[kind]
    layout = ActorCriticLayout(MLPLayout((4, 5, head.n_inputs), "tanh"), MLPLayout((4, 5, 1), "tanh"), head)
    actions = rng.standard_normal((N_SAMPLES, 2)) if kind == "gaussian" else rng.integers(0, 2, (N_SAMPLES, 2))
    floats = {name: rng.standard_normal(N_SAMPLES).astype(dtype) for name in ("advantages", "returns", "old_values")}
    batch = Batch(
        observations=rng.standard_normal((N_SAMPLES, 4)).astype(dtype),
        actions=actions.astype(head.action_dtype(np.dtype(dtype))),
        old_log_probs=np.full(N_SAMPLES, -1.0, dtype),
        **floats,
    )
    params = (0.3 * rng.standard_normal(layout.n_params)).astype(dtype)
    problem = SampledProblem(batch=batch, layout=layout, backend="reference")
    return problem.policy_problem(params, normalize_advantage=True)


@pytest.fixture(params=HEADS)
def policy(request: pytest.FixtureRequest) -> SampledPolicy:
    return make_policy(request.param)


def test_divergence_is_that_of_the_evaluation(policy: SampledPolicy) -> None:
    params = policy.params + 0.1
    kl = policy.kl_old_new(params)
    evaluation = policy.evaluate(params)
    assert kl.shape == (N_SAMPLES,)
    assert kl.mean() == pytest.approx(evaluation.kl_old_new, rel=1e-12)
    assert kl.max() == pytest.approx(evaluation.kl_old_new_max, rel=1e-12)
    np.testing.assert_allclose(policy.kl_old_new(policy.params), 0.0, atol=1e-15)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_gradient_of_the_divergence(policy: SampledPolicy, is_weighted: bool) -> None:
    """Against central differences."""
    rng = np.random.default_rng(1)
    weights = rng.random(N_SAMPLES) if is_weighted else None
    params = policy.params + 0.1 * rng.standard_normal(len(policy.params))
    gradient, value = policy.kl_gradient(params, weights)

    def total(at: np.ndarray) -> float:
        kl = policy.kl_old_new(at)
        return float(kl.mean() if weights is None else weights @ kl)

    assert value == pytest.approx(total(params), rel=1e-12)
    step = 1e-6
    differences = [(total(params + step * e) - total(params - step * e)) / (2 * step) for e in np.eye(len(params))]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-9)


def test_parts_divide_the_samples() -> None:
    policy = make_policy("gaussian")
    first, second = policy.part(0, 2), policy.part(1, 2)
    assert (first.n_samples, second.n_samples) == (5, 4)
    np.testing.assert_array_equal(first.advantages, policy.advantages[::2])
    np.testing.assert_array_equal(second.observations, policy.observations[1::2])
    whole = policy.surrogate_gradient()[0]
    parts = (5 * first.surrogate_gradient()[0] + 4 * second.surrogate_gradient()[0]) / 9
    np.testing.assert_allclose(parts, whole, rtol=1e-10, atol=1e-14)
    assert first.part(0, 6) is first


def test_selected_samples_are_those_asked_for() -> None:
    policy = make_policy("categorical")
    chosen = policy.select(np.array([1, 2, 7]))
    np.testing.assert_array_equal(chosen.advantages, policy.advantages[[1, 2, 7]])
    np.testing.assert_array_equal(chosen.actions, policy.actions[[1, 2, 7]])


@pytest.mark.parametrize("kind", HEADS)
def test_double_precision(kind: str) -> None:
    single = make_policy(kind, np.float32)
    double = single.in_double()
    assert double.params.dtype == double.observations.dtype == np.float64
    assert double.actions.dtype == (np.float64 if kind == "gaussian" else np.int32)
    np.testing.assert_allclose(double.surrogate_gradient()[0], single.surrogate_gradient()[0], rtol=1e-4, atol=1e-6)
    assert double.max_abs_advantage == pytest.approx(float(np.abs(single.advantages).max()))
