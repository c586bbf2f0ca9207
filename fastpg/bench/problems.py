"""Inputs of the benchmarks: seeded, of the size and kind that training produces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import Activation, ActorCriticLayout, HeadLayout, MLPLayout, PolicyLayout
from fastpg.kernels.philox import STREAM_SHUFFLE

Array = NDArray[Any]

SEED = 0
#: Standard deviation of the logarithm of the ratios of new to old probability: both sides of a clip range of 0.2.
RATIO_SPREAD = 0.35


def two_networks(
    observation_size: int, head: HeadLayout, *, hidden: tuple[int, ...] = (64, 64), activation: Activation = "tanh"
) -> ActorCriticLayout:
    """Separate networks of the same hidden layers for policy and value."""
    policy = MLPLayout((observation_size, *hidden, head.n_inputs), activation)
    return ActorCriticLayout(policy, MLPLayout((observation_size, *hidden, 1), activation), head)


def with_hidden(layout: ActorCriticLayout, hidden: tuple[int, ...]) -> ActorCriticLayout:
    """``layout`` with other hidden layers."""
    return two_networks(layout.observation_size, layout.head, hidden=hidden, activation=layout.policy.activation)


#: The shapes of the tables: those of CartPole-v1 and of HalfCheetah-v5, stable-baselines3's default networks.
SMALL = two_networks(4, HeadLayout("categorical", (2,)))
LARGE = two_networks(17, HeadLayout("gaussian", (1,) * 6))


@dataclass(frozen=True)
class PolicyProblem:
    """An actor-critic with parameters (P,) float32."""

    layout: ActorCriticLayout
    params: Array


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
    rollout: dict[str, Array]
    order: Array
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
    observations: Array
    vector: Array
    gradient: Array
    damping: float

    @property
    def layout(self) -> PolicyLayout:
        """Of the actor."""
        return self.policy.layout.actor

    @property
    def params(self) -> Array:
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
    rollout: dict[str, Array]
    orders: Array
    arguments: dict[str, Any]

    @property
    def n_samples(self) -> int:
        """B."""
        return len(self.rollout["advantages"])


@cache
def policy_problem(layout: ActorCriticLayout) -> PolicyProblem:
    """Weights of scale 1 / sqrt(inputs), so that activations neither vanish nor saturate."""
    rng = np.random.default_rng(SEED)
    params = np.empty(layout.n_params, np.float32)
    policy, log_std, value = layout.split(params)
    for network, shape in ((policy, layout.policy), (value, layout.value)):
        for weight, bias in shape.views(network):
            weight[:] = rng.standard_normal(weight.shape) / np.sqrt(len(weight))
            bias[:] = 0.1 * rng.standard_normal(bias.shape)
    log_std[:] = -0.5
    return PolicyProblem(layout, params)


def random_rollout(problem: PolicyProblem, n_samples: int) -> dict[str, Array]:
    """The arrays of a batch whose actions are those of a policy near that of ``problem``."""
    rng, layout = np.random.default_rng(SEED + 1), problem.layout
    observations = rng.standard_normal((n_samples, layout.observation_size)).astype(np.float32)
    policy, log_std, value = layout.split(problem.params)
    head_inputs = kernels.mlp_forward(policy, observations, layout=layout.policy, backend="reference")
    actions = kernels.sample(
        head_inputs, log_std, head=layout.head, seed=SEED, stream=STREAM_SHUFFLE + 1, step=0, backend="reference"
    )
    log_probs = kernels.log_prob(head_inputs, log_std, actions, head=layout.head, backend="reference")
    values = kernels.mlp_forward(value, observations, layout=layout.value, backend="reference")[:, 0]
    noise = rng.standard_normal((4, n_samples))
    fields = {
        "old_log_probs": log_probs + RATIO_SPREAD * noise[0],
        "advantages": 0.3 + 2.0 * noise[1],
        "returns": values + noise[2],
        "old_values": values + 0.3 * noise[3],
    }
    arrays = {name: array.astype(np.float32) for name, array in fields.items()}
    return {"observations": observations, "actions": actions, **arrays}


@cache
def update_problem(layout: ActorCriticLayout, batch_size: int, n_minibatches: int) -> UpdateProblem:
    """``n_minibatches`` full minibatches with stable-baselines3's default arguments and an entropy term."""
    problem = policy_problem(layout)
    n_samples = batch_size * n_minibatches
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
    return UpdateProblem(problem, random_rollout(problem, n_samples), order, arguments)


@cache
def fisher_problem(layout: ActorCriticLayout, n_samples: int) -> FisherProblem:
    """A random vector and the gradient of the surrogate."""
    problem = policy_problem(layout)
    rollout, actor = random_rollout(problem, n_samples), layout.actor
    samples = (rollout[name] for name in ("observations", "actions", "old_log_probs", "advantages"))
    params = problem.params[: actor.n_params]
    gradient, _ = kernels.surrogate_gradient(params, *samples, layout=actor, backend="reference")
    vector = np.random.default_rng(SEED + 2).standard_normal(actor.n_params).astype(np.float32)
    return FisherProblem(problem, rollout["observations"], vector, gradient, damping=0.1)


@cache
def trust_region_problem(layout: ActorCriticLayout, n_samples: int) -> TrustRegionProblem:
    """sb3-contrib's defaults."""
    problem = policy_problem(layout)
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
    orders = np.empty((10, n_samples), np.int64)
    for epoch, order in enumerate(orders):
        kernels.permutation(SEED, STREAM_SHUFFLE, epoch, out=order, backend="reference")
    return TrustRegionProblem(problem, random_rollout(problem, n_samples), orders, arguments)


@cache
def gae_data(n_steps: int, n_envs: int) -> dict[str, Array]:
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
