"""The samples of one update with the policy that drew them: what a step rule may ask about theta.

An update sees theta only through such a problem: surrogate, gradient, KL divergence, Fisher matrix. It is made once per
update, by the training loop, and owns what the kernels cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpg.kernels.layout import ActorCriticLayout
from fastpg.types import Batch


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
