"""The surrogate: gradient against finite differences, value and divergences against the other kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import Activation, HeadLayout
from tests.kernels.case import HEADS, LAYOUTS, actor_critic
from tests.kernels.cases_surrogate import random_policy_sample

Array = NDArray[Any]
#: (machine epsilon)^(1/3): balances the truncation error h^2 against the cancellation epsilon / h.
STEP = 6e-6
ACTIVATIONS: list[Activation] = ["tanh", "relu"]
OLD_POLICY = ("old_head_inputs", "old_log_std")


def small_problem(head: HeadLayout, activation: Activation, size: int = 9) -> dict[str, Any]:
    layout = actor_critic(head, observation_size=2, hidden=(4, 3), activation=activation)
    return random_policy_sample(layout, size, np.float64, np.random.default_rng(5))


def without_old(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name not in OLD_POLICY}


def central_differences(function: Any, params: Array) -> Array:
    """Rows: derivative of ``function`` (a number or an array) by each parameter."""
    rows = []
    for i in range(len(params)):
        above, below = params.copy(), params.copy()
        above[i] += STEP
        below[i] -= STEP
        rows.append((np.asarray(function(above)) - np.asarray(function(below))) / (2 * STEP))
    return np.array(rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_gradient(backend: str, head: HeadLayout, activation: Activation) -> None:
    problem = without_old(small_problem(head, activation))
    theta = problem.pop("params")

    def surrogate(params: Array) -> float:
        return kernels.surrogate_gradient(params, **problem, ent_coef=0.3, backend=backend)[1].surrogate

    gradient, _ = kernels.surrogate_gradient(theta, **problem, ent_coef=0.3, backend=backend)
    np.testing.assert_allclose(gradient, central_differences(surrogate, theta), rtol=0, atol=2e-8)


@pytest.mark.parametrize("ent_coef", [0.0, 0.3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_hessian_vector_product(backend: str, head: HeadLayout, activation: Activation, ent_coef: float) -> None:
    """All columns against differences of the gradient, along axes and along a random direction."""
    problem = without_old(small_problem(head, activation))
    theta = problem.pop("params")

    def gradient(params: Array) -> Array:
        return kernels.surrogate_gradient(params, **problem, ent_coef=ent_coef, backend=backend)[0]

    def product(vector: Array) -> Array:
        return kernels.surrogate_hessian_vector_product(
            theta, **problem, vector=vector, ent_coef=ent_coef, backend=backend
        )

    hessian = central_differences(gradient, theta)
    columns = np.array([product(axis) for axis in np.eye(len(theta))])
    np.testing.assert_allclose(columns, hessian, rtol=0, atol=5e-8)
    np.testing.assert_allclose(columns, columns.T, rtol=0, atol=1e-12 * (1 + np.abs(columns).max()))
    vector = np.random.default_rng(8).standard_normal(len(theta))
    np.testing.assert_allclose(product(vector), columns.T @ vector, rtol=0, atol=1e-11 * (1 + np.abs(columns).max()))
    assert np.linalg.eigvalsh((columns + columns.T) / 2)[0] < 0, "the Hessian of a surrogate is indefinite"


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_gradient_is_that_of_the_unclipped_loss(backend: str, name: str) -> None:
    """PPO's loss with an infinite clip range and no value term is -L."""
    layout = LAYOUTS[name]
    problem = without_old(random_policy_sample(layout, 70, np.float64, np.random.default_rng(2)))
    del problem["layout"]
    theta = problem.pop("params")
    gradient, value = kernels.surrogate_gradient(theta, **problem, layout=layout.actor, ent_coef=0.2, backend=backend)
    zeros = np.zeros(70)
    params = np.concatenate([theta, np.zeros(layout.value.n_params)])
    loss_gradient, stats = kernels.clipped_loss_gradient(
        params,
        **problem,
        returns=zeros,
        old_values=zeros,
        layout=layout,
        clip_range=np.inf,
        vf_coef=0.0,
        ent_coef=0.2,
        normalize_advantage=False,
        backend=backend,
    )
    np.testing.assert_allclose(gradient, -loss_gradient[: len(theta)], rtol=0, atol=1e-13)
    assert value.surrogate == pytest.approx(-stats.loss, abs=1e-13)
    assert value.entropy == pytest.approx(-stats.entropy_loss, abs=1e-13)


@pytest.mark.parametrize("name", LAYOUTS)
def test_evaluation_says_what_the_heads_say(backend: str, name: str) -> None:
    layout = LAYOUTS[name].actor
    problem = random_policy_sample(LAYOUTS[name], 70, np.float64, np.random.default_rng(7))
    network, log_std = layout.split(problem["params"])
    inputs = kernels.mlp_forward(network, problem["observations"], layout=layout.policy, backend="reference")
    head: dict[str, Any] = {"head": layout.head, "backend": "reference"}
    log_ratio = kernels.log_prob(inputs, log_std, problem["actions"], **head) - problem["old_log_probs"]
    entropy = kernels.entropy(inputs, log_std, **head)
    old = problem["old_head_inputs"], problem["old_log_std"]
    old_new = kernels.kl_old_new(*old, inputs, log_std, **head)
    new_old = kernels.kl_old_new(inputs, log_std, *old, **head)
    expected = kernels.SurrogateEvaluation(
        surrogate=float((np.exp(log_ratio) * problem["advantages"]).mean() + 0.4 * entropy.mean()),
        entropy=float(entropy.mean()),
        kl_old_new=float(old_new.mean()),
        kl_old_new_max=float(old_new.max()),
        kl_new_old=float(new_old.mean()),
        kl_new_old_max=float(new_old.max()),
        approx_kl=float((np.exp(log_ratio) - 1 - log_ratio).mean()),
        ratio_max=float(np.exp(log_ratio).max()),
    )
    assert expected.kl_old_new != pytest.approx(expected.kl_new_old, rel=1e-3), "the directions must be told apart"
    evaluation = kernels.surrogate_evaluate(**problem, ent_coef=0.4, backend=backend)
    for key, value in vars(expected).items():
        assert getattr(evaluation, key) == pytest.approx(value, rel=1e-10, abs=1e-13), key


@pytest.mark.parametrize("name", LAYOUTS)
def test_evaluation_at_the_old_policy(backend: str, name: str) -> None:
    """Ratio 1, no divergence, L = mean advantage; both kernels give the same L."""
    layout = LAYOUTS[name].actor
    problem = random_policy_sample(LAYOUTS[name], 33, np.float64, np.random.default_rng(1))
    network, log_std = layout.split(problem["params"])
    inputs = kernels.mlp_forward(network, problem["observations"], layout=layout.policy, backend=backend)
    problem["old_head_inputs"], problem["old_log_std"] = inputs, log_std.copy()
    problem["old_log_probs"] = kernels.log_prob(inputs, log_std, problem["actions"], head=layout.head, backend=backend)
    evaluation = kernels.surrogate_evaluate(**problem, backend=backend)
    assert evaluation.surrogate == pytest.approx(problem["advantages"].mean(), abs=1e-13)
    assert evaluation.ratio_max == pytest.approx(1, abs=1e-13)
    for divergence in ("kl_old_new", "kl_old_new_max", "kl_new_old", "kl_new_old_max", "approx_kl"):
        assert getattr(evaluation, divergence) == pytest.approx(0, abs=1e-13)
    _, value = kernels.surrogate_gradient(**without_old(problem), backend=backend)
    assert value.surrogate == pytest.approx(evaluation.surrogate, abs=1e-13)
    assert value.entropy == pytest.approx(evaluation.entropy, abs=1e-13)


@pytest.mark.parametrize("row", [0, 20, 69])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", LAYOUTS)
def test_numbers_that_are_not_finite_are_seen(backend: str, name: str, value: float, row: int) -> None:
    """A line search must not accept a candidate because a comparison with NaN is false."""
    make = random_policy_sample
    for argument, seen in (
        ("old_head_inputs", ("kl_old_new", "kl_old_new_max", "kl_new_old", "kl_new_old_max")),
        ("old_log_probs", ("surrogate", "approx_kl") if np.isnan(value) else ()),
        ("advantages", ("surrogate",)),
    ):
        problem = make(LAYOUTS[name], 70, np.float32, np.random.default_rng(0))
        problem[argument].reshape(70, -1)[row, 0] = value
        evaluation = kernels.surrogate_evaluate(**problem, backend=backend)
        for key in seen:
            assert not np.isfinite(getattr(evaluation, key)), (argument, key)
    problem = make(LAYOUTS[name], 70, np.float32, np.random.default_rng(0))
    problem["params"][-1] = value
    evaluation = kernels.surrogate_evaluate(**problem, backend=backend)
    assert not np.isfinite([evaluation.surrogate, evaluation.kl_old_new, evaluation.kl_old_new_max]).any()


def test_ratios_beyond_all_bounds_are_seen(backend: str) -> None:
    problem = random_policy_sample(LAYOUTS["cartpole"], 70, np.float32, np.random.default_rng(0))
    problem["old_log_probs"][17] = -1e4
    evaluation = kernels.surrogate_evaluate(**problem, backend=backend)
    assert evaluation.ratio_max == np.inf
    assert not np.isfinite(evaluation.surrogate)
    assert not np.isfinite(evaluation.approx_kl)
    gradient, value = kernels.surrogate_gradient(**without_old(problem), backend=backend)
    assert not np.isfinite(value.surrogate)
    assert not np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["cartpole", "gaussian_wide"])
def test_many_samples_on_many_threads(fast_backend: str, name: str) -> None:
    """More than one chunk of rows: as the reference says, and the same bits for any number of threads."""
    problem = random_policy_sample(LAYOUTS[name], 3333, np.float64, np.random.default_rng(4))
    problem["advantages"][3000] = 40.0
    problem["old_log_probs"][3000] -= 3.0  # the largest ratio in the last chunk
    options: dict[str, Any] = {"ent_coef": 0.2}
    vector = np.random.default_rng(5).standard_normal(len(problem["params"]))

    def everything(backend: str, n_threads: int) -> list[Any]:
        how: dict[str, Any] = {**options, "backend": backend, "n_threads": n_threads}
        gradient, value = kernels.surrogate_gradient(**without_old(problem), **how)
        product = kernels.surrogate_hessian_vector_product(**without_old(problem), vector=vector, **how)
        evaluation = kernels.surrogate_evaluate(**problem, **how)
        numbers = [*vars(value).values(), *vars(evaluation).values()]
        return [gradient, product, np.array(numbers)]

    one = everything(fast_backend, 1)
    for ours, expected in zip(one, everything("reference", 1), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())
    for n_threads in (2, 4):
        for ours, expected in zip(everything(fast_backend, n_threads), one, strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_an_empty_batch_says_nothing(backend: str) -> None:
    problem = random_policy_sample(LAYOUTS["halfcheetah"], 0, np.float32, np.random.default_rng(0))
    assert set(vars(kernels.surrogate_evaluate(**problem, ent_coef=1.0, backend=backend)).values()) == {0.0}
    gradient, value = kernels.surrogate_gradient(**without_old(problem), ent_coef=1.0, backend=backend)
    assert not gradient.any()
    assert value == kernels.SurrogateValue(0.0, 0.0)
