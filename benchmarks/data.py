"""Inputs of the workloads: seeded, of the size and kind that training produces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout

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


def policy_problem(observation_size: int, head: HeadLayout) -> PolicyProblem:
    """64x64 tanh networks with weights of a trained size."""
    policy = MLPLayout((observation_size, 64, 64, head.n_inputs), "tanh")
    layout = ActorCriticLayout(policy, MLPLayout((observation_size, 64, 64, 1), "tanh"), head)
    rng = np.random.default_rng(SEED)
    params = np.zeros(layout.n_params, np.float32)
    policy_params, _, value_params = layout.split(params)
    for mlp, part in ((layout.policy, policy_params), (layout.value, value_params)):
        for weight, _ in mlp.views(part):
            weight[:] = rng.standard_normal(weight.shape) / np.sqrt(len(weight))
    return PolicyProblem(layout, params)


def update_problem(observation_size: int, head: HeadLayout, batch_size: int, n_minibatches: int) -> UpdateProblem:
    """``n_minibatches`` full minibatches of on-policy data."""
    from fastpg.kernels import heads
    from fastpg.kernels.mlp import mlp_forward
    from fastpg.kernels.philox import STREAM_SHUFFLE, permutation

    problem = policy_problem(observation_size, head)
    layout = problem.layout
    n_samples = batch_size * n_minibatches
    rng = np.random.default_rng(SEED + 1)
    observations = rng.standard_normal((n_samples, observation_size)).astype(np.float32)
    policy, log_std, value = layout.split(problem.params)
    head_inputs = mlp_forward(policy, observations, layout=layout.policy, backend="reference")
    actions = np.empty((n_samples, head.n_actions), head.action_dtype(np.dtype(np.float32)))
    draw = {"head": head, "seed": SEED, "stream": 1, "step": 0, "out": actions}
    heads.sample(head_inputs, log_std, backend="reference", **draw)
    old_values = mlp_forward(value, observations, layout=layout.value, backend="reference")[:, 0]
    advantages = rng.standard_normal(n_samples).astype(np.float32)
    rollout = {
        "observations": observations,
        "actions": actions,
        "old_log_probs": heads.log_prob(head_inputs, log_std, actions, head=head, backend="reference"),
        "advantages": advantages,
        "returns": advantages + old_values,
        "old_values": np.ascontiguousarray(old_values),
    }
    order = np.empty(n_samples, np.int64)
    permutation(SEED, STREAM_SHUFFLE, 0, out=order, backend="reference")
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
