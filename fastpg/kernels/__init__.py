"""Kernels: arrays in, arrays out. No policy, environment, configuration or logger objects.

Every family has one entry point (signature, documentation, checks, allocation) and three implementations beside it; see
``fastpg.kernels.backends``. Inputs are never modified; results go to ``out`` where it is given.
"""

from fastpg.kernels.actor import Actor, bind_actor
from fastpg.kernels.adam import AdamState, adam_step
from fastpg.kernels.backends import BackendInfo, available, default, which
from fastpg.kernels.cholesky import cholesky_solve
from fastpg.kernels.clipped_loss import ClippedLossStats, clipped_loss_gradient
from fastpg.kernels.dense_solve import DenseSolution, DenseStatus, solve_cholesky, solve_woodbury
from fastpg.kernels.fisher import Fisher, bind_fisher, fisher_factors
from fastpg.kernels.gae import gae
from fastpg.kernels.gradient_norm import clip_global_norm
from fastpg.kernels.heads import entropy, kl_old_new, log_prob, mode, sample
from fastpg.kernels.kl_gradient import kl_gradient
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout, PolicyLayout
from fastpg.kernels.linear_solve import CGSolution, CGStatus, conjugate_gradient
from fastpg.kernels.mlp import mlp_backward, mlp_forward
from fastpg.kernels.philox import normal, permutation, uniform
from fastpg.kernels.ppo_update import PPOUpdateResult, PPOUpdateStats, ppo_update
from fastpg.kernels.rmsprop import RMSpropState, rmsprop_step
from fastpg.kernels.running_moments import normalize, update_moments
from fastpg.kernels.surrogate import (
    SurrogateEvaluation,
    SurrogateValue,
    surrogate_evaluate,
    surrogate_gradient,
    surrogate_hessian_vector_product,
)
from fastpg.kernels.value_update import ValueUpdateResult, ValueUpdateStats, value_update
from fastpg.kernels.warm_up import warm_up

__all__ = [
    "Actor",
    "ActorCriticLayout",
    "AdamState",
    "BackendInfo",
    "CGSolution",
    "CGStatus",
    "ClippedLossStats",
    "DenseSolution",
    "DenseStatus",
    "Fisher",
    "HeadLayout",
    "MLPLayout",
    "PPOUpdateResult",
    "PPOUpdateStats",
    "PolicyLayout",
    "RMSpropState",
    "SurrogateEvaluation",
    "SurrogateValue",
    "ValueUpdateResult",
    "ValueUpdateStats",
    "adam_step",
    "available",
    "bind_actor",
    "bind_fisher",
    "cholesky_solve",
    "clip_global_norm",
    "clipped_loss_gradient",
    "conjugate_gradient",
    "default",
    "entropy",
    "fisher_factors",
    "gae",
    "kl_gradient",
    "kl_old_new",
    "log_prob",
    "mlp_backward",
    "mlp_forward",
    "mode",
    "normal",
    "normalize",
    "permutation",
    "ppo_update",
    "rmsprop_step",
    "sample",
    "solve_cholesky",
    "solve_woodbury",
    "surrogate_evaluate",
    "surrogate_gradient",
    "surrogate_hessian_vector_product",
    "uniform",
    "update_moments",
    "value_update",
    "warm_up",
    "which",
]
