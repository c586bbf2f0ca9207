"""The inner loop of a proximal update: epochs of minibatch Adam steps, in one kernel call or in several stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastpg.errors import NumericsError
from fastpg.kernels.clipped_loss import LossSample
from fastpg.kernels.ppo_update import PPOUpdateResult, PPOUpdateStats, ppo_update
from fastpg.types import Array, Batch
from fastpg.updates.problem import SampledData
from fastpg.updates.schedules import Schedule
from fastpg.updates.state import OptimizerState

ADVICE = "Fix: lower learning_rate, scale the rewards (normalize=True), or lower max_grad_norm."


@dataclass(frozen=True, kw_only=True)
class MinibatchAdam:
    """``n_epochs`` passes over shuffled minibatches, one Adam step on the norm-clipped gradient of each.

    Attributes:
        learning_rate: step size, or a schedule of it.
        n_epochs: passes over the batch.
        batch_size: samples of a minibatch, None for all of them at once.
        max_grad_norm: bound on the global norm of the gradient, inf for none.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
    """

    learning_rate: Schedule
    n_epochs: int
    batch_size: int | None
    max_grad_norm: float
    beta1: float
    beta2: float
    epsilon: float

    def arguments(self, batch: Batch) -> dict[str, Any]:
        """Arguments of the kernel, but for the learning rate and the number of epochs."""
        return {
            "batch_size": len(batch) if self.batch_size is None else self.batch_size,
            "max_grad_norm": self.max_grad_norm,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.epsilon,
        }


@dataclass(frozen=True, kw_only=True)
class KLStop:
    """End the update before the first step whose minibatch has approx_kl > 1.5 * target_kl.

    Attributes:
        target_kl: in nats, None to never stop.
    """

    target_kl: float | None


class Descent:
    """An inner loop in progress: kernel calls, each of some epochs, that together are one update.

    As long as nothing is changed between them, the calls compute the bits of a single one.

    Args:
        old: theta_old with moments; ``first_step`` optimiser steps were taken before.
        problem: the networks, and how kernels run.
        batch: the samples to train on.
        arguments: of the kernel, that stay the same.
        n_epochs: epochs to run in all.
        first_step: optimiser steps taken before.

    Attributes:
        params: (P,) theta so far.
        n_epochs_left: epochs still to be run; 0 after a stop by KL.
    """

    def __init__(
        self,
        old: OptimizerState,
        problem: SampledData,
        batch: Batch,
        arguments: dict[str, Any],
        *,
        n_epochs: int,
        first_step: int,
    ) -> None:
        self.params: Array = old.params
        self.n_epochs_left = n_epochs
        self._moments = (old.first_moment, old.second_moment)
        self._step = first_step
        self._n_epochs = n_epochs
        self._samples = tuple(getattr(batch, name) for name in LossSample._fields)
        machine = {"layout": problem.layout, "n_threads": problem.n_threads, "backend": problem.backend}
        self._arguments = {**arguments, **machine, "old_params": old.params}
        self._stages: list[PPOUpdateStats] = []

    def run(self, n_epochs: int | None = None, **changes: Any) -> None:
        """The next ``n_epochs`` epochs (all that are left if None), with ``changes`` of the arguments."""
        count = self.n_epochs_left if n_epochs is None else n_epochs
        result = ppo_update(
            self.params,
            *self._moments,
            *self._samples,
            n_epochs=count,
            first_epoch=self._n_epochs - self.n_epochs_left,
            adam_step=self._step,
            **{**self._arguments, **changes},
        )
        self.params = result.params
        self._moments = (result.first_moment, result.second_moment)
        self._step = result.adam_step
        self._stages.append(result.stats)
        self.n_epochs_left = 0 if result.stats.stopped_by_kl else self.n_epochs_left - count

    @property
    def result(self) -> PPOUpdateResult:
        """State and statistics of everything that was run."""
        return PPOUpdateResult(self.params, *self._moments, self._step, joined(self._stages))


def joined(stages: list[PPOUpdateStats]) -> PPOUpdateStats:
    """The statistics of stages that follow one another as those of one update."""
    if len(stages) == 1:
        return stages[0]
    last = stages[-1]
    n_minibatches = [stage.n_optimizer_steps + stage.stopped_by_kl for stage in stages]
    names = ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction")
    means: dict[str, Any] = {name: _mean([getattr(stage, name) for stage in stages], n_minibatches) for name in names}
    n_steps = [stage.n_optimizer_steps for stage in stages]
    return replace(
        last,
        **means,
        gradient_norm=_mean([stage.gradient_norm for stage in stages], n_steps),
        n_epochs_run=sum(stage.n_epochs_run for stage in stages),
        n_optimizer_steps=sum(n_steps),
    )


def _mean(values: list[float], weights: list[int]) -> float:
    """Weighted; 0 without any weight."""
    return float(np.average(values, weights=weights)) if any(weights) else 0.0


def committed(old: OptimizerState, result: PPOUpdateResult, *, counts_steps: bool = True) -> OptimizerState:
    """``old`` with the outcome of an inner loop; its step counter moves only if it ``counts_steps``.

    Raises:
        NumericsError: the outcome or its losses are not finite.
    """
    new = replace(
        old,
        params=result.params,
        first_moment=result.first_moment,
        second_moment=result.second_moment,
        step=result.adam_step if counts_steps else old.step,
    )
    new.check_finite(ADVICE)
    for name in ("loss", "policy_gradient_loss", "value_loss"):
        if not math.isfinite(getattr(result.stats, name)):
            raise NumericsError(
                f"{name}: expected a finite number, got {getattr(result.stats, name)}. Nothing was committed; the "
                f"model is as after its last finished iteration. {ADVICE}"
            )
    return new
