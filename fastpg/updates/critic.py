"""How the value network follows the returns, beside an update of the policy that leaves it alone.

A critic is called after the policy has made its step, on the same samples. The value network's parameters and moments
are the tail of the flat vectors (``ActorCriticLayout``); everything before stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from fastpg.errors import NumericsError
from fastpg.kernels.value_update import value_update
from fastpg.types import Array
from fastpg.updates.problem import SampledData
from fastpg.updates.schedules import Schedule, evaluate_schedule
from fastpg.updates.state import OptimizerState

ADVICE = "Fix: lower learning_rate or scale the rewards (normalize=True)."


@dataclass(frozen=True, kw_only=True)
class CriticReport:
    """What a critic says about its update.

    Attributes:
        value_loss: mean squared error, mean over all minibatches, before their steps; None without a critic.
        n_optimizer_steps: steps taken.
        learning_rate: step size used; None where there is none.
        critic_damping: lambda for the next update, where the fit is damped.
    """

    value_loss: float | None = None
    n_optimizer_steps: int = 0
    learning_rate: float | None = None
    critic_damping: float | None = None


class Critic(Protocol):
    """A new state in which only the value network, its moments and what is remembered may differ."""

    def __call__(
        self, old: OptimizerState, problem: SampledData, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, CriticReport]:
        """The state after fitting the values to the returns of ``problem``, and a report."""


@dataclass(frozen=True)
class NoCritic:
    """Leaves the value network as it is."""

    def __call__(
        self, old: OptimizerState, problem: SampledData, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, CriticReport]:
        """``old`` and an empty report."""
        return old, CriticReport()


@dataclass(frozen=True, kw_only=True)
class AdamCritic:
    """``n_epochs`` passes over shuffled minibatches, one Adam step on the squared error of each; one kernel call.

    Attributes:
        learning_rate: step size, or a schedule of it.
        n_epochs: passes over the batch.
        batch_size: samples of a minibatch.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
        clip_range_vf: bound on the change of a value estimate per update, inside a maximum of both errors (OpenAI
            baselines); None for none.
        max_grad_norm: bound on the norm of the gradient; sb3-contrib has none.
        is_centred: begin the first update with ``recentred``; sb3-contrib does not.
    """

    learning_rate: Schedule
    n_epochs: int
    batch_size: int
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-5
    clip_range_vf: float | None = None
    max_grad_norm: float = math.inf
    is_centred: bool = False

    def __call__(
        self, old: OptimizerState, problem: SampledData, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, CriticReport]:
        """One update of the value network; ``old.step`` counts its optimiser steps.

        Raises:
            NumericsError: the loss, a parameter or a moment is not finite.
            ConfigError: the schedule returned something else than a number >= 0.
        """
        learning_rate = evaluate_schedule("learning_rate", self.learning_rate, progress_remaining)
        value_at = problem.layout.actor.n_params
        batch = problem.batch
        start = old.params[value_at:]
        result = value_update(
            recentred(start, batch.returns, batch.old_values) if self.is_centred and old.step == 0 else start,
            old.first_moment[value_at:],
            old.second_moment[value_at:],
            batch.observations,
            batch.returns,
            batch.old_values,
            layout=problem.layout.value,
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            clip_range_vf=self.clip_range_vf,
            max_grad_norm=self.max_grad_norm,
            learning_rate=learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            adam_step=old.step,
            seed=seed,
            update_index=update_index,
            n_threads=problem.n_threads,
            backend=problem.backend,
        )
        if not math.isfinite(result.stats.value_loss):
            raise NumericsError(
                f"value_loss: expected a finite number, got {result.stats.value_loss}. Nothing was committed; the "
                f"model is as after its last finished iteration. {ADVICE}"
            )
        new = replace(
            old,
            params=with_tail(old.params, result.params),
            first_moment=with_tail(old.first_moment, result.first_moment),
            second_moment=with_tail(old.second_moment, result.second_moment),
            step=result.adam_step,
        )
        new.check_finite(ADVICE)
        return new, CriticReport(
            value_loss=result.stats.value_loss,
            n_optimizer_steps=result.stats.n_optimizer_steps,
            learning_rate=learning_rate,
        )


def recentred(params: Array, returns: Array, values: Array) -> Array:
    """``params`` (P,) of a value network, its output bias shifted by mean(R - V).

    This is the least squares of mean((R - V - c)^2) over c. Adam would take thousands of steps to where it leads when
    the first returns are near -60: it moves a value by some multiple of the step size, wherever its targets are.

    Args:
        params: parameters of a network with one output; the bias of it is the last.
        returns: (B,), the targets R.
        values: (B,), V at ``params`` for the same samples.
    """
    shifted: Array = params.copy()
    shifted[-1] += returns.mean(dtype=np.float64) - values.mean(dtype=np.float64)
    return shifted


def with_tail(array: Array, tail: Array) -> Array:
    """A copy of ``array`` (P,) whose end is ``tail``."""
    return np.concatenate([array[: len(array) - len(tail)], tail])


def with_head(array: Array, head: Array) -> Array:
    """A copy of ``array`` (P,) whose beginning is ``head``."""
    return np.concatenate([head, array[len(head) :]])
