"""The samples of one update with the policy that drew them: what a step rule may ask about theta.

An update sees theta only through such a problem: surrogate, gradient, KL divergence, Fisher matrix. It is made once per
update, by the training loop, and owns what the kernels cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from fastpg.kernels.dense_solve import DenseSolution, solve_cholesky, solve_woodbury
from fastpg.kernels.fisher import Fisher, bind_fisher
from fastpg.kernels.heads import kl_old_new
from fastpg.kernels.kl_gradient import kl_gradient
from fastpg.kernels.layout import ActorCriticLayout, PolicyLayout
from fastpg.kernels.mlp import mlp_forward
from fastpg.kernels.surrogate import (
    SurrogateEvaluation,
    SurrogateValue,
    surrogate_evaluate,
    surrogate_gradient,
    surrogate_hessian_vector_product,
)
from fastpg.types import Array, Batch

#: Added to the standard deviation of the advantages. Source: stable-baselines3.
ADVANTAGE_EPSILON = 1e-8
_SAMPLES = ("observations", "actions", "old_log_probs", "advantages")


@dataclass(frozen=True, kw_only=True)
class SampledPolicy:
    """The policy's part of an update on B samples, all at theta_old unless parameters are given.

    Attributes:
        params: (P,) theta_old of the policy alone.
        layout: network and head.
        observations: (B, O).
        actions: (B, D).
        old_log_probs: (B,), nats.
        advantages: (B,), as the surrogate weighs them.
        ent_coef: weight of the mean entropy in the surrogate.
        n_threads: threads of the kernels.
        backend: implementation of the kernels.
    """

    params: Array
    layout: PolicyLayout
    observations: Array
    actions: Array
    old_log_probs: Array
    advantages: Array
    ent_coef: float = 0.0
    n_threads: int = 1
    backend: str | None = None

    @property
    def n_samples(self) -> int:
        """B."""
        return len(self.advantages)

    @property
    def kl_terms(self) -> int:
        """D for Gaussian and Bernoulli actions, else 1 (sb3-contrib sums over several categorical ones)."""
        return 1 if self.layout.head.kind == "categorical" else self.layout.head.n_actions

    def surrogate_gradient(self, params: Array | None = None) -> tuple[Array, SurrogateValue]:
        """The gradient (P,) of L, the direction of ascent, and L."""
        return surrogate_gradient(
            self.params if params is None else params, *self._sample, **self._options, ent_coef=self.ent_coef
        )

    def evaluate(self, params: Array) -> SurrogateEvaluation:
        """L and the divergences from theta_old at ``params``; one forward pass."""
        return surrogate_evaluate(params, *self._sample, *self._old_policy, **self._options, ent_coef=self.ent_coef)

    def fisher(self, kind: Literal["exact", "empirical"] = "exact") -> Fisher:
        """F with the activations of theta_old; the expectation over actions, or the actions that were taken.

        Made once, and kept as long as this problem is.
        """
        if kind not in self._fishers:
            actions = None if kind == "exact" else self.actions
            self._fishers[kind] = bind_fisher(self.params, self.observations, actions=actions, **self._options)
        return self._fishers[kind]

    def hessian_vector_product(self, vector: Array) -> Array:
        """The Hessian of L times ``vector`` (P,)."""
        return surrogate_hessian_vector_product(
            self.params, *self._sample, vector, **self._options, ent_coef=self.ent_coef
        )

    def solve_dense(
        self,
        gradient: Array,
        *,
        solver: Literal["cholesky", "woodbury"],
        kind: Literal["exact", "empirical"] = "exact",
        damping: float = 0.0,
        damping_scale: Array | None = None,
    ) -> DenseSolution:
        """(F + damping diag(scale))^-1 ``gradient`` by a factorisation in float64.

        Raises:
            ValueError: the problem is too large for it, or its damping is not positive.
        """
        solve = {"cholesky": solve_cholesky, "woodbury": solve_woodbury}[solver]
        return solve(
            self.params,
            self.observations,
            gradient,
            layout=self.layout,
            actions=None if kind == "exact" else self.actions,
            damping=damping,
            damping_scale=damping_scale,
            backend=self.backend,
        )

    def kl_old_new(self, params: Array) -> Array:
        """KL(old || new) of every sample (B,), nats, with the new policy at ``params``."""
        network, log_std = self.layout.split(params)
        options: dict[str, Any] = {"n_threads": self.n_threads, "backend": self.backend}
        inputs = mlp_forward(network, self.observations, layout=self.layout.policy, **options)
        return kl_old_new(*self._old_policy, inputs, log_std, head=self.layout.head, backend=self.backend)

    def kl_gradient(self, params: Array, weights: Array | None = None) -> tuple[Array, float]:
        """The gradient (P,) of the sum of ``weights`` (B,) times KL(old || new), and that sum; None: the mean."""
        if weights is None:
            weights = np.full(self.n_samples, 1.0 / max(self.n_samples, 1))
        gradient = kl_gradient(
            params,
            self.observations,
            *self._old_policy,
            weights.astype(params.dtype),
            direction="old_new",
            **self._options,
        )
        return gradient, float(np.sum(weights * self.kl_old_new(params), dtype=np.float64))

    def part(self, index: int, n_parts: int) -> SampledPolicy:
        """The problem with samples ``index``, ``index + n_parts``, ...; all where there are too few."""
        return self if self.n_samples < n_parts else self.select(np.arange(index, self.n_samples, n_parts))

    def select(self, rows: Array) -> SampledPolicy:
        """The problem with the samples ``rows`` (n,) int64, whose advantages stay as they are."""
        return self._with(lambda array: array[rows], self.params)

    def in_double(self) -> SampledPolicy:
        """The same problem in float64."""

        def double(array: Array) -> Array:
            return array if array.dtype.kind == "i" else array.astype(np.float64)

        return self._with(double, self.params.astype(np.float64))

    @property
    def max_abs_advantage(self) -> float:
        """The largest absolute advantage; 0 without samples."""
        return float(np.abs(self.advantages).max(initial=0.0))

    def _with(self, change: Callable[[Array], Array], params: Array) -> SampledPolicy:
        """This problem with ``change`` applied to every array of samples."""
        samples: dict[str, Any] = {name: change(getattr(self, name)) for name in _SAMPLES}
        return replace(self, params=params, **samples)

    @property
    def _sample(self) -> tuple[Array, Array, Array, Array]:
        return self.observations, self.actions, self.old_log_probs, self.advantages

    @property
    def _options(self) -> dict[str, Any]:
        return {"layout": self.layout, "n_threads": self.n_threads, "backend": self.backend}

    @cached_property
    def _fishers(self) -> dict[str, Fisher]:
        """The Fisher matrices that were asked for, by their kind."""
        return {}

    @cached_property
    def _old_policy(self) -> tuple[Array, Array]:
        """(head inputs (B, K), log_std) of theta_old."""
        network, log_std = self.layout.split(self.params)
        inputs = mlp_forward(
            network, self.observations, layout=self.layout.policy, n_threads=self.n_threads, backend=self.backend
        )
        return inputs, log_std


@dataclass(frozen=True, kw_only=True)
class SampledProblem:
    """A batch, the networks and how kernels run.

    Attributes:
        batch: B samples, drawn with the old policy.
        layout: how theta describes the networks.
        n_threads: threads of the kernels; no result depends on it.
        backend: ``native``, ``jit``, ``reference`` or None for the default.
    """

    batch: Batch
    layout: ActorCriticLayout
    n_threads: int = 1
    backend: str | None = None

    def policy_problem(
        self, params: Array, *, normalize_advantage: bool, ent_coef: float = 0.0, samples: Array | None = None
    ) -> SampledPolicy:
        """The problem of the policy at ``params`` (P,), all parameters.

        Args:
            params: theta_old.
            normalize_advantage: standardise the advantages of the samples that are used.
            ent_coef: weight of the mean entropy in the surrogate.
            samples: (n,) int64, the samples to use; None for all.
        """
        batch = self.batch
        fields = (batch.observations, batch.actions, batch.old_log_probs, batch.advantages)
        observations, actions, old_log_probs, advantages = (
            array if samples is None else array[samples] for array in fields
        )
        return SampledPolicy(
            params=params[: self.layout.actor.n_params],
            layout=self.layout.actor,
            observations=observations,
            actions=actions,
            old_log_probs=old_log_probs,
            advantages=standardised(advantages) if normalize_advantage else advantages,
            ent_coef=ent_coef,
            n_threads=self.n_threads,
            backend=self.backend,
        )


def standardised(advantages: Array) -> Array:
    """``advantages`` (B,) minus their mean, over their standard deviation (ddof 1) + 1e-8; one alone stays.

    Advantages that differ by no more than rounding are all 0: there is nothing to learn from their noise.
    """
    if len(advantages) < 2:
        return advantages
    values = advantages.astype(np.float64)
    deviation = float(values.std(ddof=1))
    if deviation <= float(np.finfo(advantages.dtype).eps) * float(np.abs(values).max()):
        return np.zeros_like(advantages)
    standard: Array = ((values - values.mean()) / (deviation + ADVANTAGE_EPSILON)).astype(advantages.dtype)
    return standard
