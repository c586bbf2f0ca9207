"""What an update says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class UpdateStatus(Enum):
    """How an update ended; the value is a sentence."""

    COMPLETED = "every epoch was run"
    KL_STOP = "stopped before the last epoch because approx_kl exceeded 1.5 * target_kl"


@dataclass(frozen=True, kw_only=True)
class UpdateReport:
    """The numbers of one update. Losses are minimised; means over minibatches weigh every minibatch alike.

    Attributes:
        status: how the update ended.
        policy_gradient_loss: minus the clipped surrogate, mean over all minibatches of all epochs.
        value_loss: mean squared error of the value function, mean over all minibatches.
        entropy_loss: minus the mean entropy (nats), mean over all minibatches.
        loss: the whole loss at the last minibatch.
        approx_kl: mean((r - 1) - log r) with the ratio r, an estimate of KL(old || new) in nats; mean over the last
            epoch that was run.
        clip_fraction: fraction of samples with abs(r - 1) > clip_range, mean over all minibatches.
        gradient_norm: global norm before clipping, mean over all minibatches that made a step.
        n_epochs: epochs run; one that was stopped early counts.
        n_optimizer_steps: optimiser steps taken.
        learning_rate: step size used.
        clip_range: clip range used.
        clip_range_vf: clip range of the value function used, None without value clipping.
    """

    status: UpdateStatus
    policy_gradient_loss: float
    value_loss: float
    entropy_loss: float
    loss: float
    approx_kl: float
    clip_fraction: float
    gradient_norm: float
    n_epochs: int
    n_optimizer_steps: int
    learning_rate: float
    clip_range: float
    clip_range_vf: float | None
