"""A number that follows what it achieves: the rule of a trust radius, with samples held out to measure it.

    rho = gain over samples that the update did not see / gain over those it saw

A small rho says that the update is over-fitted: the number shrinks. A rho near 1 where the number is what limited the
update lets it grow. The clip range of PPO and the step size of MDPO are such numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastpg.kernels.clipped_loss import LossSample
from fastpg.kernels.philox import STREAM_HOLD_OUT, permutation
from fastpg.types import Array, Batch
from fastpg.updates.policy_change import PolicyChange
from fastpg.updates.radius import RadiusController


class Split(NamedTuple):
    """Rows of a batch: each is in one of the two, in ascending order.

    Attributes:
        trained: (n,) int64, that the update sees.
        held: (B - n,) int64, that it does not.
    """

    trained: Array
    held: Array


@dataclass(frozen=True)
class Gains:
    """What an update gained.

    Attributes:
        predicted: of what it climbed, mean over the samples that were trained on.
        actual: of mean(r A), over the samples that were held out; NaN if there are none.
        is_at_boundary: whether the number that is adapted is what limited the update.
        standard_error: of ``actual``; growing needs a gain that is large enough even without it.
    """

    predicted: float
    actual: float
    is_at_boundary: bool
    standard_error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class HeldOutRule(ABC):
    """A number as a state of the optimiser.

    Attributes:
        name: of the number in ``OptimizerState.scalars`` and in ``UpdateReport``.
        start: its value in the first update.
        hold_out: share of the samples that an update does not train on, in (0, 1).
        controller: how it changes, and its bounds.
    """

    start: float
    controller: RadiusController
    hold_out: float = 0.1

    name: ClassVar[str]

    @abstractmethod
    def measured(self, change: PolicyChange, advantages: Array, arguments: Mapping[str, Any], split: Split) -> Gains:
        """What an update gained.

        Args:
            change: of the policy, on all samples.
            advantages: (B,) as the surrogate uses them.
            arguments: of the kernel in this update.
            split: as ``split`` gave it.
        """

    def now(self, scalars: Mapping[str, float]) -> float:
        """The number in this update, for what an ``OptimizerState`` remembers."""
        return scalars.get(self.name, self.start)

    def adapted(self, scalars: Mapping[str, float], gains: Gains) -> dict[str, float]:
        """What to remember for the next update."""
        return {self.name: self.next_value(self.now(scalars), gains)}

    def next_value(self, value: float, gains: Gains) -> float:
        """The number for the next update after one with ``value``."""
        actual = gains.actual if gains.predicted > 0 else float("nan")  # nothing was gained: shrink
        is_certain = actual - gains.standard_error > self.controller.expand_above * gains.predicted
        return self.controller.next_radius(
            value, actual=actual, predicted=gains.predicted, is_at_boundary=gains.is_at_boundary and is_certain
        )

    def split(self, n_samples: int, seed: int, update_index: int, *, backend: str | None = None) -> Split:
        """Which of ``n_samples`` to hold out in this update; at least one of each kind if there are two."""
        order = permutation(seed, STREAM_HOLD_OUT, update_index, out=np.empty(n_samples, np.int64), backend=backend)
        n_held = min(max(round(self.hold_out * n_samples), 1), n_samples - 1)
        return Split(np.sort(order[n_held:]), np.sort(order[:n_held]))


def rows_of(batch: Batch, rows: Array) -> Batch:
    """The samples ``rows`` of ``batch``."""
    return Batch(**{name: np.ascontiguousarray(getattr(batch, name)[rows]) for name in LossSample._fields})


def surrogate_gain(ratio: Array, advantages: Array) -> float:
    """mean((r - 1) A): what mean(r A) gained since r was 1; NaN without samples."""
    if not len(ratio):
        return float("nan")
    with np.errstate(invalid="ignore"):  # an infinite ratio where A = 0
        return float(((ratio - 1) * advantages).mean())


def standard_error(ratio: Array, advantages: Array) -> float:
    """Of ``surrogate_gain``, from the spread of the samples; NaN for fewer than two."""
    if len(ratio) < 2:
        return float("nan")
    with np.errstate(invalid="ignore"):
        return float(((ratio - 1) * advantages).std(ddof=1) / np.sqrt(len(ratio)))
