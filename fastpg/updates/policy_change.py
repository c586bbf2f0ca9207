"""What an update did to the policy, measured on the samples by forward passes: ratios and KL divergence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastpg.kernels.clipped_loss import KLDirection
from fastpg.kernels.elementary import exp
from fastpg.kernels.heads import kl_old_new, log_prob
from fastpg.kernels.mlp import mlp_forward
from fastpg.types import Array
from fastpg.updates.problem import SampledData


@dataclass(frozen=True)
class PolicyChange:
    """From theta_old to theta on the samples of ``problem``; each policy costs a forward pass when it is asked for.

    Attributes:
        problem: the samples, drawn with theta_old.
        old_params: (P,).
        params: (P,).
    """

    problem: SampledData
    old_params: Array
    params: Array

    @cached_property
    def ratio(self) -> Array:
        """pi(a|s) / pi_old(a|s), (B,) float64."""
        batch, layout = self.problem.batch, self.problem.layout
        head_inputs, log_std = self._new
        log_probs = log_prob(head_inputs, log_std, batch.actions, head=layout.head, backend=self.problem.backend)
        return exp(log_probs - batch.old_log_probs)

    def kl(self, direction: KLDirection) -> float:
        """Mean KL divergence, exact, in nats, summed over action dimensions."""
        return float(self.kl_by_sample(direction).mean(dtype=np.float64))

    def kl_by_sample(self, direction: KLDirection) -> Array:
        """KL divergence of every sample, (B,), exact, in nats, summed over action dimensions."""
        pair = (*self._old, *self._new) if direction == "old_new" else (*self._new, *self._old)
        return kl_old_new(*pair, head=self.problem.layout.head, backend=self.problem.backend)

    @cached_property
    def _old(self) -> tuple[Array, Array]:
        return self._outputs(self.old_params)

    @cached_property
    def _new(self) -> tuple[Array, Array]:
        return self._outputs(self.params)

    def _outputs(self, params: Array) -> tuple[Array, Array]:
        """Head inputs (B, K) and log standard deviations."""
        policy, log_std, _ = self.problem.layout.split(params)
        head_inputs = mlp_forward(
            policy,
            self.problem.batch.observations,
            layout=self.problem.layout.policy,
            n_threads=self.problem.n_threads,
            backend=self.problem.backend,
        )
        return head_inputs, log_std


def standardized(advantages: Array) -> Array:
    """(A - mean) / (std + 1e-8) with divisor B - 1, (B,) float64; as they are for a single sample."""
    double = advantages.astype(np.float64)
    if len(double) < 2:
        return double
    scaled: Array = (double - double.mean()) / (double.std(ddof=1) + 1e-8)
    return scaled
