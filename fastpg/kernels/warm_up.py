"""Compiling kernels before they are needed, so that the first iteration of a run is like the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastpg.errors import ConfigError
from fastpg.kernels import backends
from fastpg.kernels.actor import bind_actor
from fastpg.kernels.adam import adam_step
from fastpg.kernels.cholesky import cholesky_solve
from fastpg.kernels.clipped_loss import clipped_loss_gradient
from fastpg.kernels.fisher import bind_fisher, fisher_factors
from fastpg.kernels.gae import gae
from fastpg.kernels.gradient_norm import clip_global_norm
from fastpg.kernels.heads import entropy, kl_old_new, log_prob, mode, sample
from fastpg.kernels.kl_gradient import kl_gradient
from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout, PolicyLayout
from fastpg.kernels.mlp import mlp_backward, mlp_forward
from fastpg.kernels.philox import normal, permutation, uniform
from fastpg.kernels.ppo_update import ppo_update
from fastpg.kernels.rmsprop import rmsprop_step
from fastpg.kernels.running_moments import normalize, update_moments
from fastpg.kernels.surrogate import surrogate_evaluate, surrogate_gradient, surrogate_hessian_vector_product
from fastpg.kernels.value_update import value_update

Array = NDArray[Any]

_HEAD = HeadLayout("categorical", (2,))
_NETWORK, _CRITIC = MLPLayout((1, 2, 2), "tanh"), MLPLayout((1, 2, 1), "tanh")
_LAYOUT, _POLICY = ActorCriticLayout(_NETWORK, _CRITIC, _HEAD), PolicyLayout(_NETWORK, _HEAD)
_COUNTER: dict[str, Any] = {"seed": 0, "stream": 0, "step": 0}
_LOSS: dict[str, Any] = {"clip_range": 0.2, "vf_coef": 0.5, "ent_coef": 0.0, "normalize_advantage": True}
_STEPS: dict[str, Any] = {
    "n_epochs": 1,
    "batch_size": 2,
    "learning_rate": 0.0,
    "adam_step": 0,
    "seed": 0,
    "update_index": 0,
}


def warm_up(*families: str, dtype: DTypeLike = np.float32, backend: str | None = None) -> dict[str, float]:
    """Call every kernel of ``families`` once on two samples, which compiles what a compiler at run time has to.

    What is compiled depends on the dtype alone, not on sizes, layouts or options, so that one warm-up serves all models
    of the process. The ``native`` and ``reference`` implementations have nothing to compile.

    Args:
        families: names from ``fastpg.kernels.backends.FAMILIES``; none for all. PPO needs ``"ppo_update"``,
            ``"actor"`` and ``"gae"``.
        dtype: float32 or float64.
        backend: implementation, None for the default.

    Returns:
        Seconds that the calls of each family took.

    Raises:
        ConfigError: a family or the implementation is unknown.
    """
    unknown = [family for family in families if family not in _CALLS]
    if unknown:
        raise ConfigError(
            f"warm_up: families: expected some of {', '.join(_CALLS)}, got {unknown[0]!r}. Fix: choose from these."
        )
    arrays = _Arrays(np.dtype(dtype), backend)
    seconds = {}
    for family in families or _CALLS:
        start = time.perf_counter()
        _CALLS[family](arrays)
        seconds[family] = time.perf_counter() - start
    return seconds


class _Arrays:
    """Two samples, and parameters 0, of which every kernel takes what it needs."""

    def __init__(self, dtype: np.dtype[Any], backend: str | None) -> None:
        self.dtype, self.backend = dtype, backends.which(backend).name
        self.theta = np.zeros(_LAYOUT.n_params, dtype)
        self.policy, _, self.critic = _LAYOUT.split(self.theta)
        self.observations = np.zeros((2, 1), dtype)
        self.actions = np.zeros((2, 1), np.int32)
        self.column = np.zeros(2, dtype)
        self.head_inputs = np.zeros((2, 2), dtype)
        self.log_std = np.zeros(0, dtype)
        self.sample = (self.observations, self.actions, self.column, self.column)

    def act(self) -> None:
        """One step on bound buffers, sampled and deterministic."""
        buffers = (np.zeros((1, 2, 1), self.dtype), np.zeros((1, 2, 1), np.int32))
        columns = np.zeros((1, 2), self.dtype), np.zeros((1, 2), self.dtype)
        actor = bind_actor(*buffers, *columns, layout=_LAYOUT, seed=0, stream=0, backend=self.backend)
        actor.set_parameters(self.theta)
        actor.act(0, 0)
        actor.act_deterministic(0)

    def heads(self) -> None:
        """Log-probability, entropy, divergence, sample and mode."""
        options: dict[str, Any] = {"head": _HEAD, "backend": self.backend}
        log_prob(self.head_inputs, self.log_std, self.actions, **options)
        entropy(self.head_inputs, self.log_std, **options)
        kl_old_new(self.head_inputs, self.log_std, self.head_inputs, self.log_std, **options)
        sample(self.head_inputs, self.log_std, seed=0, stream=0, step=0, **options)
        mode(self.head_inputs, self.log_std, **options)

    def fisher(self) -> None:
        """Product and diagonal, exact and empirical, and the gradients of the factors."""
        for actions in (None, self.actions):
            options: dict[str, Any] = {"layout": _POLICY, "actions": actions, "backend": self.backend}
            operator = bind_fisher(self.policy, self.observations, **options)
            operator.product(self.policy)
            operator.diagonal()
            fisher_factors(self.policy, self.observations, **options)

    def surrogate(self) -> None:
        """Gradient, evaluation and curvature."""
        options: dict[str, Any] = {"layout": _POLICY, "ent_coef": 0.0, "backend": self.backend}
        surrogate_gradient(self.policy, *self.sample, **options)
        surrogate_evaluate(self.policy, *self.sample, self.head_inputs, self.log_std, **options)
        surrogate_hessian_vector_product(self.policy, *self.sample, self.policy, **options)

    def gae(self) -> None:
        """One step of two environments."""
        row, flags = self.column[None], np.zeros((1, 2), bool)
        gae(row, row, row, flags, flags, gamma=0.99, gae_lambda=0.95, backend=self.backend)

    def ppo(self) -> None:
        """One minibatch."""
        state, columns = (self.theta, self.theta, self.theta), (self.column, self.column)
        options: dict[str, Any] = {**_LOSS, **_STEPS, "max_grad_norm": 1.0, "backend": self.backend}
        ppo_update(*state, *self.sample, *columns, layout=_LAYOUT, **options)

    def moments(self) -> None:
        """Of two samples."""
        mean, variance = np.zeros(1), np.ones(1)
        update_moments(mean, variance, 1.0, self.observations, backend=self.backend)
        normalize(self.observations, mean, variance, epsilon=1e-8, clip=10.0, backend=self.backend)

    def philox(self) -> None:
        """Uniform and normal numbers and a permutation."""
        counter = {**_COUNTER, "backend": self.backend}
        uniform(**counter, out=np.empty((1, 1), np.float32))
        normal(**counter, out=np.empty((1, 1), np.float32))
        permutation(**counter, out=np.empty(2, np.int64))


_CALLS: dict[str, Callable[[_Arrays], Any]] = {
    "philox": _Arrays.philox,
    "gae": _Arrays.gae,
    "mlp": lambda a: (
        mlp_forward(a.policy, a.observations, layout=_NETWORK, backend=a.backend),
        mlp_backward(a.policy, a.observations, a.head_inputs, layout=_NETWORK, backend=a.backend),
    ),
    "heads": _Arrays.heads,
    "clipped_loss": lambda a: clipped_loss_gradient(
        a.theta, *a.sample, a.column, a.column, layout=_LAYOUT, **_LOSS, backend=a.backend
    ),
    "kl_gradient": lambda a: kl_gradient(
        a.policy,
        a.observations,
        a.head_inputs,
        a.log_std,
        a.column,
        layout=_POLICY,
        direction="old_new",
        backend=a.backend,
    ),
    "gradient_norm": lambda a: clip_global_norm(a.theta, max_norm=1.0, backend=a.backend),
    "adam": lambda a: adam_step(a.theta, a.theta, a.theta, a.theta, step=1, learning_rate=0.0, backend=a.backend),
    "running_moments": _Arrays.moments,
    "ppo_update": _Arrays.ppo,
    "actor": _Arrays.act,
    "surrogate": _Arrays.surrogate,
    "value_update": lambda a: value_update(
        a.critic, a.critic, a.critic, a.observations, a.column, a.column, layout=_CRITIC, **_STEPS, backend=a.backend
    ),
    "rmsprop": lambda a: rmsprop_step(a.theta, a.theta, a.theta, learning_rate=0.0, backend=a.backend),
    "fisher": _Arrays.fisher,
    "cholesky": lambda a: cholesky_solve(np.eye(2, dtype=a.dtype), a.column, backend=a.backend),
}
