"""What is timed: a kernel on a problem, with the check that its result is right and the operations that it costs.

The reference kernels in float64 say what is right. A result that is wrong is an error, never a figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import fastpg
from fastpg import kernels
from fastpg.bench import flops, problems
from fastpg.errors import FastPGError
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.kernels.philox import STREAM_ACTION

Array = NDArray[Any]
Run = Callable[[], Any]

GAMMA, GAE_LAMBDA = 0.99, 0.95

#: Allowed error of a float32 result, as a norm over that of the reference (an update: over that of its change).
UPDATE_TOLERANCE = 2e-4  # Adam divides by the root of a second moment, which magnifies the rounding of small gradients
KERNEL_TOLERANCE = 1e-5  # sums of up to 64 products per layer, three layers
SOLVE_TOLERANCE = 1e-3  # rounding grows with the iterations of conjugate gradient


class WrongResultError(FastPGError, ArithmeticError):
    """A benchmarked kernel did not compute what the reference computes."""


class Prepare(Protocol):
    """Everything up to the first call."""

    def __call__(self, *, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        """The function to be timed; it returns its result."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work of the kernels.

    Attributes:
        name: the stem of the names of its figures.
        title: for tables.
        shape: sizes of observations and actions, for tables.
        prepare: builds the function to be timed.
        error: of the result of the first call, relative to the reference.
        tolerance: largest error that is right.
        kind: what is done; peers name their function for it so.
        arguments: what the function of a peer takes, made when it is asked for.
        unit: of work, for example ``minibatch``; figures are per unit.
        n_units: units of work in one call.
        flops: operations in one unit that the kernel does; 0 if they are not what it costs.
        plain_flops: those of the plain algorithm, where the kernel does fewer; 0 otherwise.
    """

    name: str
    title: str
    shape: str = ""
    prepare: Prepare
    error: Callable[[Any], float]
    tolerance: float
    kind: str
    arguments: Callable[[], tuple[Any, ...]]
    unit: str
    n_units: int = 1
    flops: int = 0
    plain_flops: int = 0

    def check(self, result: Any) -> None:
        """Compare the result of a first call with the reference.

        Raises:
            WrongResultError: it is off by more than the tolerance, or not finite.
        """
        error = self.error(result)
        if not error <= self.tolerance:
            raise WrongResultError(
                f"{self.name}: the result is wrong: expected a relative error of at most {self.tolerance:g} against "
                f"the reference, got {error:.3g}. Nothing was timed. Fix: run the tests, rebuild or reinstall fastpg."
            )


def relative_error(got: Array, expected: Array, scale: Array | None = None) -> float:
    """Norm of the difference over the norm of ``scale`` (default: of ``expected``)."""
    scale = expected if scale is None else scale
    return float(np.linalg.norm(np.asarray(got, np.float64) - expected) / np.linalg.norm(scale))


def _reference(prepare: Prepare) -> Callable[[], Array]:
    """The right result, computed when it is first asked for."""

    @cache
    def result() -> Array:
        array: Array = prepare(backend="reference", dtype=np.float64)()
        return array

    return result


def ppo_update(name: str, *, layout: ActorCriticLayout, batch_size: int, n_minibatches: int) -> Task:
    """One epoch of minibatch updates in one call."""
    problem = partial(problems.update_problem, layout, batch_size, n_minibatches)

    def prepare(*, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        params = problem().policy.params.astype(dtype)
        samples = (array.astype(dtype) if array.dtype.kind == "f" else array for array in problem().rollout.values())
        arrays = (params, np.zeros_like(params), np.zeros_like(params), *samples)
        out = (np.empty_like(params), np.empty_like(params), np.empty_like(params))
        options = {"layout": layout, "n_epochs": 1, "adam_step": 0, "seed": problems.SEED, "update_index": 0}
        update: Callable[..., Any] = kernels.ppo_update
        run = partial(update, *arrays, out=out, n_threads=n_threads, backend=backend, **options, **problem().arguments)
        return lambda: run().params

    reference = _reference(prepare)

    def error(params: Array) -> float:
        expected = reference()
        return relative_error(params, expected, scale=expected - problem().policy.params)

    return Task(
        name=name,
        title=f"PPO minibatch update, {batch_size} samples",
        shape=shape_of(layout),
        prepare=prepare,
        error=error,
        tolerance=UPDATE_TOLERANCE,
        kind="ppo_update",
        arguments=lambda: (problem(),),
        unit="minibatch",
        n_units=n_minibatches,
        flops=flops.ppo_minibatch(layout, batch_size),
    )


def fisher_product(name: str, *, layout: ActorCriticLayout, n_samples: int) -> Task:
    """F v by an operator that is bound, and has multiplied once, before."""
    problem = partial(problems.fisher_problem, layout, n_samples)

    def prepare(*, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        params, observations, vector = (
            array.astype(dtype) for array in (problem().params, problem().observations, problem().vector)
        )
        fisher = kernels.bind_fisher(params, observations, layout=layout.actor, n_threads=n_threads, backend=backend)
        return partial(fisher.product, vector, out=np.empty_like(vector))

    reference = _reference(prepare)
    plain = flops.plain_fisher_product(layout.actor, n_samples)
    n_flops = flops.fisher_product(layout.actor, n_samples)
    return Task(
        name=name,
        title=f"Fisher product, {n_samples} samples",
        shape=shape_of(layout),
        prepare=prepare,
        error=lambda product: relative_error(product, reference()),
        tolerance=KERNEL_TOLERANCE,
        kind="fisher_product",
        arguments=lambda: (problem(),),
        unit="product",
        flops=n_flops,
        plain_flops=plain if plain != n_flops else 0,
    )


def conjugate_gradient(
    name: str, *, layout: ActorCriticLayout, n_samples: int, n_iterations: int, is_bound: bool = True
) -> Task:
    """(F + 0.1) x = g by a fixed number of iterations from zero; with the binding of F unless ``is_bound``."""
    problem = partial(problems.fisher_problem, layout, n_samples)

    def prepare(*, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        params, observations, gradient = (
            array.astype(dtype) for array in (problem().params, problem().observations, problem().gradient)
        )
        options: dict[str, Any] = {"layout": layout.actor, "n_threads": n_threads, "backend": backend}
        bind: Callable[[], Any] = partial(kernels.bind_fisher, params, observations, **options)
        bound = bind() if is_bound else None
        limits = {"max_iterations": n_iterations, "relative_tolerance": 0.0, "absolute_tolerance": 0.0}

        def run() -> Array:
            fisher = bind() if bound is None else bound
            solution: Array = fisher.solve(gradient, damping=problem().damping, **limits).solution
            return solution

        return run

    reference = _reference(prepare)
    n_flops = [
        flops.conjugate_gradient(product(layout.actor, n_samples), n_iterations, layout.actor.n_params)
        for product in (flops.fisher_product, flops.plain_fisher_product)
    ]
    return Task(
        name=name,
        title=f"Conjugate gradient, {n_iterations} steps" if is_bound else "The same with its forward pass",
        shape=shape_of(layout),
        prepare=prepare,
        error=lambda solution: relative_error(solution, reference()),
        tolerance=SOLVE_TOLERANCE,
        kind="conjugate_gradient",
        arguments=lambda: (problem(), n_iterations),
        unit="solve",
        flops=n_flops[0] if is_bound else 0,
        plain_flops=n_flops[1] if is_bound and n_flops[1] != n_flops[0] else 0,
    )


def act(name: str, *, layout: ActorCriticLayout, n_envs: int) -> Task:
    """Action, log-probability and value for ``n_envs`` observations: one Python call on bound buffers."""
    problem = partial(problems.policy_problem, layout)
    observations = np.random.default_rng(1).standard_normal((n_envs, layout.observation_size)).astype(np.float32)

    def prepare(*, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        actions = np.empty((1, n_envs, layout.head.n_actions), layout.head.action_dtype(np.dtype(dtype)))
        log_probs, values = np.empty((1, n_envs), dtype), np.empty((1, n_envs), dtype)
        actor = kernels.bind_actor(
            observations[None].astype(dtype),
            actions,
            log_probs,
            values,
            layout=layout,
            seed=problems.SEED,
            stream=STREAM_ACTION,
            n_threads=n_threads,
            backend=backend,
        )
        actor.set_parameters(problem().params.astype(dtype))
        results = actions[0], log_probs[0], values[0]

        def run() -> tuple[Array, ...]:
            actor.act(0, 0)
            return results

        return run

    def error(result: tuple[Array, ...]) -> float:
        actions, log_probs, values = result
        policy, log_std, value = layout.split(problem().params)
        forward = partial(kernels.mlp_forward, inputs=observations, backend="reference")
        head_inputs = forward(policy, layout=layout.policy)
        taken = actions.astype(layout.head.action_dtype(np.dtype(np.float32)), copy=False)
        expected = kernels.log_prob(head_inputs, log_std, taken, head=layout.head, backend="reference")
        expected_values = forward(value, layout=layout.value)[:, 0]
        return max(relative_error(log_probs, expected), relative_error(values, expected_values))

    n_flops = flops.act(layout, n_envs) if n_envs >= 64 else 0  # below, other things than products are the cost
    return Task(
        name=name,
        title="act for 1 environment" if n_envs == 1 else f"act for {n_envs} environments",
        shape=shape_of(layout),
        prepare=prepare,
        error=error,
        tolerance=KERNEL_TOLERANCE,
        kind="act",
        arguments=lambda: (problem(), observations),
        unit="step",
        flops=n_flops,
    )


def predict(name: str, env_id: str) -> Task:
    """The public call ``model.predict`` for one observation, the most likely action."""
    observation = np.array([0.01, -0.02, 0.03, -0.04], np.float32)

    def prepare(*, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        del dtype  # models are float32
        model = fastpg.PPO("MlpPolicy", env_id, seed=problems.SEED, n_threads=n_threads, backend=backend)
        return lambda: model.predict(observation, deterministic=True)[0]

    title = "model.predict for one observation"
    return Task(
        name=name,
        title=title,
        shape=env_id,
        prepare=prepare,
        error=lambda action: 0.0 if np.isin(action, (0, 1)) else np.inf,  # policies differ
        tolerance=0.0,
        kind="predict",
        arguments=lambda: (problems.policy_problem(problems.SMALL), observation),
        unit="call",
    )


def gae(name: str, *, n_steps: int, n_envs: int) -> Task:
    """Generalised advantage estimation of a whole rollout."""

    def prepare(*, backend: str | None, n_threads: int = 1, dtype: Any = np.float32) -> Run:
        arrays = problems.gae_data(n_steps, n_envs).values()
        inputs = [array.astype(dtype) if array.dtype.kind == "f" else array for array in arrays]
        options = {"gamma": GAMMA, "gae_lambda": GAE_LAMBDA, "n_threads": n_threads, "backend": backend}
        estimate: Callable[..., Any] = kernels.gae
        return partial(estimate, *inputs, out=np.empty((n_steps, n_envs), dtype), **options)

    reference = _reference(prepare)
    title = f"GAE, {n_steps} x {n_envs}"
    return Task(
        name=name,
        title=title,
        prepare=prepare,
        error=lambda advantages: relative_error(advantages, reference()),
        tolerance=KERNEL_TOLERANCE,
        kind="gae",
        arguments=lambda: (problems.gae_data(n_steps, n_envs), GAMMA, GAE_LAMBDA),
        unit="rollout",
    )


def shape_of(layout: ActorCriticLayout) -> str:
    """``obs 17, 6 Gaussian actions``."""
    head = layout.head
    what = f"{head.n_actions} Gaussian" if head.n_log_std else str(head.n_inputs)
    hidden = layout.policy.sizes[1:-1]
    width = "" if hidden == (64, 64) else f", {'x'.join(map(str, hidden))} networks"
    return f"obs {layout.observation_size}, {what} actions{width}"


#: The tasks of ``fastpg bench``, in the order of its table.
SHORT = (
    ppo_update("ppo_update_b64", layout=problems.SMALL, batch_size=64, n_minibatches=32),
    ppo_update("ppo_update_b2048", layout=problems.LARGE, batch_size=2048, n_minibatches=1),
    fisher_product("fvp_b2048", layout=problems.LARGE, n_samples=2048),
    conjugate_gradient("cg10_b2048", layout=problems.LARGE, n_samples=2048, n_iterations=10),
    conjugate_gradient("bind_cg10_b2048", layout=problems.LARGE, n_samples=2048, n_iterations=10, is_bound=False),
    act("act_n1", layout=problems.SMALL, n_envs=1),
    predict("predict_n1", "CartPole-v1"),
    act("act_n1024", layout=problems.SMALL, n_envs=1024),
    gae("gae_128x1024", n_steps=128, n_envs=1024),
)
