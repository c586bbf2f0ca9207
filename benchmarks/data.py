"""Inputs of the workloads: seeded, of the size and kind that training produces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fastpg import kernels
from fastpg.kernels.layout import ActorCriticLayout, PolicyLayout
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


@dataclass(frozen=True)
class FisherProblem:
    """The Fisher matrix of an actor on a batch, and what to do with it.

    Attributes:
        policy: layout and parameters of actor and critic.
        observations: (B, O) float32.
        vector: (P,) float32, to be multiplied.
        gradient: (P,) float32, right-hand side of a solve.
        damping: added to the matrix in a solve.
    """

    policy: PolicyProblem
    observations: np.ndarray
    vector: np.ndarray
    gradient: np.ndarray
    damping: float

    @property
    def layout(self) -> PolicyLayout:
        """Of the actor."""
        return self.policy.layout.actor

    @property
    def params(self) -> np.ndarray:
        """(P,) of the actor."""
        return self.policy.params[: self.layout.n_params]


@dataclass(frozen=True)
class TrustRegionProblem:
    """One update of TRPO.

    Attributes:
        policy: layout and parameters.
        rollout: fields of a fastpg ``Batch``, float32.
        orders: (E, B) int64, the permutations of the critic's epochs that fastpg draws for this update.
        arguments: TRPO's arguments, the same for everybody.
    """

    policy: PolicyProblem
    rollout: dict[str, np.ndarray]
    orders: np.ndarray
    arguments: dict[str, Any]

    @property
    def n_samples(self) -> int:
        """B."""
        return len(self.rollout["advantages"])


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


@cache
def fisher_problem(layout: str, n_samples: int) -> FisherProblem:
    """A random vector and the gradient of the surrogate at parameters of a trained size."""
    problem = policy_problem(layout)
    rng = np.random.default_rng(SEED + 1)
    rollout = random_samples(problem.layout, problem.params, n_samples, rng)
    actor = problem.layout.actor
    samples = (rollout[name] for name in ("observations", "actions", "old_log_probs", "advantages"))
    gradient, _ = kernels.surrogate_gradient(
        problem.params[: actor.n_params], *samples, layout=actor, backend="reference"
    )
    vector = rng.standard_normal(actor.n_params).astype(np.float32)
    return FisherProblem(problem, rollout["observations"], vector, gradient, damping=0.1)


@cache
def trust_region_problem(layout: str, n_samples: int) -> TrustRegionProblem:
    """sb3-contrib's defaults."""
    problem = policy_problem(layout)
    rollout = random_samples(problem.layout, problem.params, n_samples, np.random.default_rng(SEED + 1))
    arguments = {
        "learning_rate": 1e-3,
        "batch_size": 128,
        "cg_max_steps": 15,
        "cg_damping": 0.1,
        "line_search_shrinking_factor": 0.8,
        "line_search_max_iter": 10,
        "n_critic_updates": 10,
        "normalize_advantage": True,
        "target_kl": 0.01,
    }
    orders = np.empty((arguments["n_critic_updates"], n_samples), np.int64)
    for epoch, order in enumerate(orders):
        kernels.permutation(SEED, STREAM_SHUFFLE, epoch, out=order, backend="reference")
    return TrustRegionProblem(problem, rollout, orders, arguments)


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
