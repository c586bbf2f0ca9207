"""Inputs of the workloads: seeded, of the size and kind that training produces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.kernels.philox import STREAM_SHUFFLE
from tests.kernels.cases import LAYOUTS, random_actor_critic_params, random_samples

SEED = 0


@dataclass(frozen=True)
class PolicyProblem:
    """An actor-critic with parameters (P,) float32."""

    layout: ActorCriticLayout
    params: np.ndarray


@dataclass(frozen=True)
class UpdateProblem:
    """One epoch of PPO.

    Attributes:
        policy: layout and parameters.
        rollout: fields of a fastpg ``Batch``, float32.
        order: (B,) int64, the permutation that fastpg draws for this update.
        arguments: PPO's arguments, the same for everybody.
    """

    policy: PolicyProblem
    rollout: dict[str, np.ndarray]
    order: np.ndarray
    arguments: dict[str, Any]


@cache
def policy_problem(layout: str) -> PolicyProblem:
    """One of the layouts of the kernel cases, with weights of a trained size."""
    chosen = LAYOUTS[layout]
    return PolicyProblem(chosen, random_actor_critic_params(chosen, np.float32, np.random.default_rng(SEED)))


@cache
def update_problem(layout: str, batch_size: int, n_minibatches: int) -> UpdateProblem:
    """``n_minibatches`` full minibatches of data whose ratios reach both sides of the clip range."""
    problem = policy_problem(layout)
    n_samples = batch_size * n_minibatches
    rollout = random_samples(problem.layout, problem.params, n_samples, np.random.default_rng(SEED + 1))
    order = kernels.permutation(SEED, STREAM_SHUFFLE, 0, out=np.empty(n_samples, np.int64), backend="reference")
    arguments = {
        "learning_rate": 3e-4,
        "batch_size": batch_size,
        "clip_range": 0.2,
        "vf_coef": 0.5,
        "ent_coef": 0.01,
        "max_grad_norm": 0.5,
        "normalize_advantage": True,
    }
    return UpdateProblem(problem, rollout, order, arguments)


def gae_data(n_steps: int, n_envs: int) -> dict[str, np.ndarray]:
    """A rollout of ``n_envs`` that never truncates; the value of the true successor is that of the next row."""
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((n_steps + 1, n_envs)).astype(np.float32)
    terminated = rng.random((n_steps, n_envs)) < 0.02
    return {
        "rewards": rng.standard_normal((n_steps, n_envs)).astype(np.float32),
        "values": np.ascontiguousarray(values[:-1]),
        "next_values": np.where(terminated, np.float32(0.0), values[1:]),
        "terminated": terminated,
        "truncated": np.zeros_like(terminated),
    }
