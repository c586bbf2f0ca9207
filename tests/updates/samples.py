"""Samples of a small policy in float64, whose old log-probabilities are those of its parameters."""

from __future__ import annotations

import numpy as np

from fastpg.kernels.heads import log_prob
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from fastpg.kernels.mlp import mlp_forward
from fastpg.policies.problem import SampledProblem
from fastpg.types import Array, Batch
from fastpg.updates.state import OptimizerState

BACKEND = "reference"
CATEGORICAL = HeadLayout("categorical", (3,))
GAUSSIAN = HeadLayout("gaussian", (1, 1))


def make_data(seed: int, head: HeadLayout = CATEGORICAL, n_samples: int = 40) -> tuple[OptimizerState, SampledProblem]:
    """theta_old and ``n_samples`` samples with it."""
    rng = np.random.default_rng(seed)
    layout = ActorCriticLayout(MLPLayout((3, 6, head.n_inputs), "tanh"), MLPLayout((3, 6, 1), "tanh"), head)
    params = 0.5 * rng.standard_normal(layout.n_params)
    observations = rng.standard_normal((n_samples, 3))
    is_discrete = head.kind != "gaussian"
    actions = rng.integers(0, 2, (n_samples, head.n_actions)) if is_discrete else rng.standard_normal((n_samples, 2))
    actions = actions.astype(head.action_dtype(params.dtype))
    batch = Batch(
        observations=observations,
        actions=actions,
        old_log_probs=log_probs(layout, params, observations, actions),
        advantages=rng.standard_normal(n_samples),
        returns=rng.standard_normal(n_samples),
        old_values=rng.standard_normal(n_samples),
    )
    return OptimizerState.start(params), SampledProblem(batch=batch, layout=layout, backend=BACKEND)


def log_probs(layout: ActorCriticLayout, params: Array, observations: Array, actions: Array) -> Array:
    """log pi(a|s) at ``params`` (P,), all parameters."""
    network, log_std, _ = layout.split(params)
    inputs = mlp_forward(network, observations, layout=layout.policy, backend=BACKEND)
    return log_prob(inputs, log_std, actions, head=layout.head, backend=BACKEND)
