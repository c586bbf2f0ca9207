"""A clip range that follows what it achieves: the rule of a trust radius on eps, with samples held out to measure it.

    rho = gain of mean(r A) over samples that the update did not see / gain of the clipped surrogate over those it saw

A small rho says that the surrogate is over-fitted: eps shrinks. A rho near 1 with ratios at the boundary says that eps
is what limited the update: it grows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastpg.kernels.clipped_loss import LossSample
from fastpg.kernels.philox import STREAM_HOLD_OUT, permutation
from fastpg.types import Array, Batch
from fastpg.updates.radius import RadiusController


@dataclass(frozen=True)
class Gains:
    """What a clipped update gained.

    Attributes:
        predicted: of the clipped surrogate, mean over the samples that were trained on.
        actual: of mean(r A), over the samples that were held out.
        is_at_boundary: whether a ratio that was trained on reached the clip range.
    """

    predicted: float
    actual: float
    is_at_boundary: bool


@dataclass(frozen=True, kw_only=True)
class AdaptiveClipRange:
    """Eps as a state of the optimiser.

    Attributes:
        start: eps of the first update.
        hold_out: share of the samples that an update does not train on, in (0, 1).
        controller: how eps changes; its bounds keep it in [0.02, 0.5].
    """

    start: float = 0.2
    hold_out: float = 0.1
    controller: RadiusController = field(default_factory=lambda: RadiusController(minimum=0.02, maximum=0.5))

    def split(self, n_samples: int, seed: int, update_index: int) -> tuple[Array, Array]:
        """(rows to train on, rows held out), sorted; at least one of each if there are two."""
        order = permutation(seed, STREAM_HOLD_OUT, update_index, out=np.empty(n_samples, np.int64))
        n_held = min(max(round(self.hold_out * n_samples), 1), n_samples - 1)
        return np.sort(order[n_held:]), np.sort(order[:n_held])

    def next_value(self, clip_range: float, gains: Gains) -> float:
        """Eps for the next update."""
        actual = gains.actual if gains.predicted > 0 else float("nan")  # nothing was gained: shrink
        return self.controller.next_radius(
            clip_range, actual=actual, predicted=gains.predicted, is_at_boundary=gains.is_at_boundary
        )


def rows_of(batch: Batch, rows: Array) -> Batch:
    """The samples ``rows`` of ``batch``."""
    return Batch(**{name: np.ascontiguousarray(getattr(batch, name)[rows]) for name in LossSample._fields})


def gains(ratio: Array, advantages: Array, clip_range: float, split: tuple[Array, Array]) -> Gains:
    """Of ratios (B,) with standardised advantages (B,); ``split`` as ``AdaptiveClipRange.split`` gives it."""
    trained, held = split
    r, a = ratio[trained], advantages[trained]
    clipped = np.minimum(r * a, np.clip(r, 1 - clip_range, 1 + clip_range) * a)
    return Gains(
        predicted=float((clipped - a).mean()),
        actual=float(((ratio[held] - 1) * advantages[held]).mean()),
        is_at_boundary=bool((np.sign(a) * (r - 1) >= clip_range).any()),
    )
