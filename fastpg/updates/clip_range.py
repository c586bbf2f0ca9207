"""A clip range that follows what it achieves: the rule of a trust radius on eps, with samples held out to measure it.

    rho = gain of mean(r A) over samples that the update did not see / gain of the clipped surrogate over those it saw

A small rho says that the surrogate is over-fitted: eps shrinks. A rho near 1 with ratios at the boundary says that eps
is what limited the update: it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fastpg.types import Array
from fastpg.updates.hold_out import Gains, HeldOutRule, Split, surrogate_gain
from fastpg.updates.policy_change import PolicyChange
from fastpg.updates.radius import RadiusController


@dataclass(frozen=True, kw_only=True)
class AdaptiveClipRange(HeldOutRule):
    """Eps as a state of the optimiser.

    Attributes:
        start: eps of the first update.
        controller: how eps changes; its bounds keep it in [0.02, 0.5].
    """

    start: float = 0.2
    controller: RadiusController = field(default_factory=lambda: RadiusController(minimum=0.02, maximum=0.5))

    name: ClassVar[str] = "clip_range"

    def measured(self, change: PolicyChange, advantages: Array, arguments: Mapping[str, Any], split: Split) -> Gains:
        """What the clipped surrogate gained; eps limited it where a ratio that was trained on reached the range."""
        return gains(change.ratio, advantages, arguments["clip_range"], split)


def gains(ratio: Array, advantages: Array, clip_range: float, split: Split) -> Gains:
    """Of ratios (B,) with standardised advantages (B,)."""
    trained, held = split
    r, a = ratio[trained], advantages[trained]
    clipped = np.minimum(r * a, np.clip(r, 1 - clip_range, 1 + clip_range) * a)
    return Gains(
        predicted=float((clipped - a).mean()),
        actual=surrogate_gain(ratio[held], advantages[held]),
        is_at_boundary=bool((np.sign(a) * (r - 1) >= clip_range).any()),
    )
