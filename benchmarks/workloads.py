"""The comparisons: what is measured, who takes part, how the results are checked against each other.

fastpg's ``reference`` kernels in float64 say what is right. Peers whose random numbers differ are checked through
quantities that do not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.harness import Contender, Run, Workload
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout

DISCRETE = HeadLayout("categorical", (2,))
GAUSSIAN = HeadLayout("gaussian", (1,) * 6)
GAMMA, GAE_LAMBDA = 0.99, 0.95
TRAINING_STEPS = 8 * 2048 * 2


def sb3(function: str, *arguments: Any, **options: Any) -> Contender:
    """The workload ``function`` of benchmarks/peers/sb3.py."""

    def prepare() -> Run:
        from benchmarks.peers import sb3 as peer

        return getattr(peer, function)(*_values(arguments), **options)

    return Contender("stable-baselines3", prepare, requires="stable_baselines3")


def jax(function: str, *arguments: Any) -> Contender:
    """The workload ``function`` of benchmarks/peers/jax_ppo.py."""

    def prepare() -> Run:
        from benchmarks.peers import jax_ppo as peer

        return getattr(peer, function)(*_values(arguments))

    return Contender("JAX", prepare, requires="jax")


def fastpg_contenders(prepare: Callable[..., Run], *backends: str) -> tuple[Contender, ...]:
    """fastpg once per kernel implementation."""
    return tuple(Contender(f"fastpg {name}", partial(prepare, backend=name), backend=name) for name in backends)


def _values(arguments: tuple[Any, ...]) -> list[Any]:
    """Data is made when it is needed: arguments that are functions are called."""
    return [argument() if callable(argument) else argument for argument in arguments]


def relative_error(got: np.ndarray, expected: np.ndarray, scale: np.ndarray | None = None) -> float:
    """Norm of the difference over the norm of ``scale`` (default: of ``expected``)."""
    scale = expected if scale is None else scale
    return float(np.linalg.norm(np.asarray(got, np.float64) - expected) / np.linalg.norm(scale))


def minibatch_flops(layout: ActorCriticLayout, batch_size: int) -> float:
    """Multiplications and additions of the matrix products of one minibatch: forward, dW, and dX but for layer one."""
    total = 0
    for mlp in (layout.policy, layout.value):
        products = [n_in * n_out for n_in, n_out in zip(mlp.sizes, mlp.sizes[1:], strict=False)]
        total += 3 * sum(products) - products[0]
    return 2.0 * batch_size * total


def ppo_update(title: str, observation_size: int, head: HeadLayout, batch_size: int, n_minibatches: int) -> Workload:
    """One epoch of minibatch updates in one call."""
    problem = cache(partial(data.update_problem, observation_size, head, batch_size, n_minibatches))

    def update(dtype: type, backend: str) -> Any:
        from fastpg.kernels.ppo_update import ppo_update as kernel

        policy, rollout = problem().policy, problem().rollout
        params = policy.params.astype(dtype)
        floats = (a.astype(dtype) if a.dtype.kind == "f" else a for a in rollout.values())
        arrays = (params, np.zeros_like(params), np.zeros_like(params), *floats)
        options = {"layout": policy.layout, "n_epochs": 1, "adam_step": 0, "seed": data.SEED, "update_index": 0}
        return partial(kernel, *arrays, backend=backend, **options, **problem().arguments)

    def prepare(backend: str) -> Run:
        run = update(np.float32, backend)
        return lambda: run().params

    def check(params: np.ndarray) -> None:
        expected = update(np.float64, "reference")().params
        change = expected - problem().policy.params
        assert relative_error(params, expected, scale=change) < 2e-4

    return Workload(
        name=f"ppo_update-{batch_size}-{head.kind}",
        title=title,
        unit="minibatch",
        n_units=n_minibatches,
        contenders=(
            *fastpg_contenders(prepare, "native", "jit"),
            sb3("ppo_update", problem),
            jax("ppo_update", problem),
        ),
        check=check,
        flops=n_minibatches * minibatch_flops(data.policy_problem(observation_size, head).layout, batch_size),
    )


def act(n_envs: int) -> Workload:
    """Action, log-probability and value for ``n_envs`` observations, on bound buffers."""
    problem = cache(partial(data.policy_problem, 4, DISCRETE))
    observations = np.random.default_rng(1).standard_normal((n_envs, 4)).astype(np.float32)

    def prepare(backend: str) -> Run:
        from fastpg.kernels.actor import bind_actor
        from fastpg.kernels.philox import STREAM_ACTION

        actions = np.empty((1, n_envs, 1), np.int32)
        log_probs, values = np.empty((1, n_envs), np.float32), np.empty((1, n_envs), np.float32)
        options = {"layout": problem().layout, "seed": 0, "stream": STREAM_ACTION, "backend": backend}
        actor = bind_actor(observations[None].copy(), actions, log_probs, values, **options)
        actor.set_parameters(problem().params)
        results = actions[0], log_probs[0], values[0]

        def run() -> tuple[np.ndarray, ...]:
            actor.act(0, 0)
            return results

        return run

    def check(result: tuple[np.ndarray, ...]) -> None:
        from fastpg.kernels import heads
        from fastpg.kernels.mlp import mlp_forward

        actions, log_probs, values = result
        layout = problem().layout
        policy, log_std, value = layout.split(problem().params)
        expected = mlp_forward(value, observations, layout=layout.value, backend="reference")[:, 0]
        assert relative_error(values, expected) < 1e-5
        logits = mlp_forward(policy, observations, layout=layout.policy, backend="reference")
        taken = heads.log_prob(logits, log_std, actions.astype(np.int32), head=layout.head, backend="reference")
        assert relative_error(log_probs, taken) < 1e-5

    contenders = fastpg_contenders(prepare, "native", "jit")
    peers = sb3("act", problem, observations), jax("act", problem, observations)
    title = f"act for {n_envs} environment{'s' if n_envs > 1 else ''}"
    return Workload(f"act-{n_envs}", title, "step", 1, (*contenders, *peers), check)


def gae(n_steps: int, n_envs: int) -> Workload:
    """Generalized advantage estimation of a whole rollout."""
    arrays = data.gae_data(n_steps, n_envs)

    def prepare(backend: str, dtype: type = np.float32) -> Run:
        from fastpg.kernels.gae import gae as kernel

        inputs = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays.values()]
        return partial(kernel, *inputs, gamma=GAMMA, gae_lambda=GAE_LAMBDA, backend=backend)

    def check(advantages: np.ndarray) -> None:
        assert relative_error(advantages, prepare("reference", np.float64)()) < 1e-5

    contenders = fastpg_contenders(prepare, "native", "jit")
    peers = tuple(peer("gae", arrays, GAMMA, GAE_LAMBDA) for peer in (sb3, jax))
    return Workload(f"gae-{n_steps}x{n_envs}", f"GAE {n_steps} x {n_envs}", "rollout", 1, (*contenders, *peers), check)


def training(env_id: str, n_envs: int, least_return: float) -> Workload:
    """PPO with default settings through Gymnasium's own environment, construction included."""

    def prepare(backend: str) -> Run:
        import fastpg

        def run() -> float:
            model = fastpg.PPO("MlpPolicy", env_id, n_envs=n_envs, seed=0, backend=backend)
            model.learn(TRAINING_STEPS)
            return float(model.collector.episodes.ep_rew_mean)

        return run

    def check(mean_return: float) -> None:
        assert mean_return > least_return

    contenders = fastpg_contenders(prepare, "native", "jit")
    peer = sb3("train", env_id, n_envs, TRAINING_STEPS)
    title = f"PPO end to end, {env_id}, {n_envs} environments"
    name = f"train-{env_id}-{n_envs}"
    options = {"rounds": 3, "is_rate": True}
    return Workload(name, title, "step", TRAINING_STEPS, (*contenders, peer), check, **options)


@cache
def all_workloads() -> tuple[Workload, ...]:
    """Every comparison, in the order of the table."""
    return (
        ppo_update("PPO minibatch update, 64 samples, obs 4, 2 actions", 4, DISCRETE, 64, 32),
        ppo_update("PPO minibatch update, 2048 samples, obs 4, 2 actions", 4, DISCRETE, 2048, 4),
        ppo_update("PPO minibatch update, 64 samples, obs 17, 6 Gaussian actions", 17, GAUSSIAN, 64, 32),
        ppo_update("PPO minibatch update, 2048 samples, obs 17, 6 Gaussian actions", 17, GAUSSIAN, 2048, 4),
        act(1),
        act(8),
        act(1024),
        gae(2048, 1),
        gae(128, 1024),
        training("CartPole-v1", 8, least_return=40.0),
    )
