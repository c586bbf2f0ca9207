"""The comparisons: what is measured, who takes part, how the results are checked against each other.

fastpg's ``reference`` kernels in float64 say what is right. Peers whose random numbers differ are checked through
quantities that do not depend on them. Kernels alone are compared with each other on the cases of their tests.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks import data, trust_region
from benchmarks.contenders import fastpg_contenders, jax, relative_error, sb3, sb3_contrib
from benchmarks.harness import Run, Workload
from benchmarks.trainings import training
from fastpg import kernels
from fastpg.kernels.philox import STREAM_ACTION
from tests.kernels.cases import CASES, LAYOUTS, KernelCase, loss_flops

GAMMA, GAE_LAMBDA = 0.99, 0.95


def ppo_update(title: str, layout: str, batch_size: int, n_minibatches: int) -> Workload:
    """One epoch of minibatch updates in one call."""
    problem = partial(data.update_problem, layout, batch_size, n_minibatches)

    def update(dtype: type, backend: str) -> Run:
        policy, rollout = problem().policy, problem().rollout
        params = policy.params.astype(dtype)
        samples = (array.astype(dtype) if array.dtype.kind == "f" else array for array in rollout.values())
        arrays = (params, np.zeros_like(params), np.zeros_like(params), *samples)
        options = {"layout": policy.layout, "n_epochs": 1, "adam_step": 0, "seed": data.SEED, "update_index": 0}
        run = partial(kernels.ppo_update, *arrays, backend=backend, **options, **problem().arguments)
        return lambda: run().params

    def check(params: np.ndarray) -> None:
        expected = update(np.float64, "reference")()
        change = expected - problem().policy.params
        assert relative_error(params, expected, scale=change) < 2e-4

    fast = fastpg_contenders(partial(update, np.float32), "native", "jit")
    return Workload(
        name=f"ppo_update-{layout}-{batch_size}",
        title=title,
        unit="minibatch",
        n_units=n_minibatches,
        contenders=(*fast, sb3("ppo_update", problem), jax("ppo_update", problem)),
        check=check,
        flops=loss_flops(LAYOUTS[layout])(batch_size * n_minibatches),
    )


def act(n_envs: int) -> Workload:
    """Action, log-probability and value for ``n_envs`` observations, on bound buffers."""
    problem = partial(data.policy_problem, "cartpole")
    observations = np.random.default_rng(1).standard_normal((n_envs, 4)).astype(np.float32)

    def prepare(backend: str) -> Run:
        actions = np.empty((1, n_envs, 1), np.int32)
        log_probs, values = np.empty((1, n_envs), np.float32), np.empty((1, n_envs), np.float32)
        options = {"layout": problem().layout, "seed": 0, "stream": STREAM_ACTION, "backend": backend}
        actor = kernels.bind_actor(observations[None].copy(), actions, log_probs, values, **options)
        actor.set_parameters(problem().params)
        results = actions[0], log_probs[0], values[0]

        def run() -> tuple[np.ndarray, ...]:
            actor.act(0, 0)
            return results

        return run

    def check(result: tuple[np.ndarray, ...]) -> None:
        actions, log_probs, values = result
        layout = problem().layout
        policy, log_std, value = layout.split(problem().params)
        forward = partial(kernels.mlp_forward, inputs=observations, backend="reference")
        assert relative_error(values, forward(value, layout=layout.value)[:, 0]) < 1e-5
        logits, taken = forward(policy, layout=layout.policy), actions.astype(np.int32)
        expected = kernels.log_prob(logits, log_std, taken, head=layout.head, backend="reference")
        assert relative_error(log_probs, expected) < 1e-5

    contenders = fastpg_contenders(prepare, "native", "jit")
    peers = sb3("act", problem, observations), jax("act", problem, observations)
    title = f"act for {n_envs} environment{'s' if n_envs > 1 else ''}"
    return Workload(f"act-{n_envs}", title, "step", 1, (*contenders, *peers), check)


def predict() -> Workload:
    """The public call for one observation."""
    observation = np.array([0.01, -0.02, 0.03, -0.04], np.float32)

    def prepare(backend: str) -> Run:
        import fastpg

        model = fastpg.PPO("MlpPolicy", "CartPole-v1", backend=backend, seed=0)
        return lambda: model.predict(observation, deterministic=True)[0]

    def check(action: np.ndarray) -> None:
        assert action in (0, 1)

    peer = sb3("predict", partial(data.policy_problem, "cartpole"), observation)
    contenders = (*fastpg_contenders(prepare, "native", "jit"), peer)
    return Workload("predict-1", "model.predict for one observation", "call", 1, contenders, check)


def gae(n_steps: int, n_envs: int) -> Workload:
    """Generalised advantage estimation of a whole rollout."""
    arrays = data.gae_data(n_steps, n_envs)

    def prepare(backend: str, dtype: type = np.float32) -> Run:
        inputs = [array.astype(dtype) if array.dtype.kind == "f" else array for array in arrays.values()]
        return partial(kernels.gae, *inputs, gamma=GAMMA, gae_lambda=GAE_LAMBDA, backend=backend)

    def check(advantages: np.ndarray) -> None:
        assert relative_error(advantages, prepare("reference", np.float64)()) < 1e-5

    contenders = fastpg_contenders(prepare, "native", "jit")
    peers = tuple(peer("gae", arrays, GAMMA, GAE_LAMBDA) for peer in (sb3, jax))
    return Workload(f"gae-{n_steps}x{n_envs}", f"GAE {n_steps} x {n_envs}", "rollout", 1, (*contenders, *peers), check)


def kernel(case: KernelCase, size: int) -> Workload:
    """One of the cases that the kernels are tested on."""

    def prepare(backend: str) -> Run:
        return partial(case.function, **case.inputs(size, "float32"), backend=backend)

    def check(result: Any) -> None:
        case.assert_close(case.outputs(result), case.call("reference", case.inputs(size, "float32")), "float32")

    contenders = fastpg_contenders(prepare, "native", "jit")
    flops, n_bytes = case.flops(size), case.bytes(size, 4)
    return Workload(f"kernel-{case.name}-{size}", f"{case.name}, {size}", "call", 1, contenders, check, flops, n_bytes)


@cache
def kernel_workloads() -> tuple[Workload, ...]:
    """Every kernel of the case table."""
    return tuple(kernel(case, size) for case in CASES for size in case.bench_sizes)


@cache
def comparisons() -> tuple[Workload, ...]:
    """Every comparison with the peers, in the order of the table."""
    return (
        ppo_update("PPO minibatch update, 64 samples, obs 4, 2 actions", "cartpole", 64, 32),
        ppo_update("PPO minibatch update, 2048 samples, obs 4, 2 actions", "cartpole", 2048, 4),
        ppo_update("PPO minibatch update, 64 samples, obs 17, 6 Gaussian actions", "halfcheetah", 64, 32),
        ppo_update("PPO minibatch update, 2048 samples, obs 17, 6 Gaussian actions", "halfcheetah", 2048, 4),
        act(1),
        act(8),
        act(1024),
        predict(),
        gae(2048, 1),
        gae(128, 1024),
        *trust_region.comparisons(),
        training("PPO", "CartPole-v1", 8, peer=sb3, least_return=40.0),
        training("TRPO", "CartPole-v1", 8, peer=sb3_contrib, least_return=40.0),
    )
