"""Arguments of TONGA's direction, for the algorithms that offer it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastpg.algorithms.checks import Choice, Integer, Real, argument
from fastpg.algorithms.config import MAX_COUNT, OnPolicyConfig, unused_options
from fastpg.kernels.layout import PolicyLayout
from fastpg.updates.gradient_step import TongaDirection
from fastpg.updates.tonga import Tonga, work_bytes

_PAPER = "Le Roux et al. 2007"
_OPTIONS = ("tonga_rank", "tonga_n_minibatches", "tonga_decay", "tonga_damping", "tonga_block")


@dataclass(frozen=True, kw_only=True)
class TongaConfig(OnPolicyConfig):
    """The covariance of the gradients."""

    #: The argument that selects TONGA.
    tonga_chosen_by: ClassVar[str]

    tonga_rank: int = argument(
        8, Integer(1, MAX_COUNT), "Eigenvectors of each block of the covariance that are kept.", source="fastpg"
    )
    tonga_n_minibatches: int = argument(
        8, Integer(1, MAX_COUNT), "Gradients that an update adds to the covariance.", source="fastpg"
    )
    tonga_decay: float = argument(0.9, Real(0.0, 1.0 - 1e-6), "Decay of the covariance per update.", source="fastpg")
    tonga_damping: float = argument(
        0.1,
        Real(1e-6, 1e12),
        "Added to the covariance, in multiples of the mean trace of a block; large values give the plain gradient.",
        source="fastpg",
    )
    tonga_block: str = argument(
        "neuron",
        Choice(("neuron", "layer")),
        "Block of the covariance: the weights into one neuron, or a whole layer.",
        source=_PAPER,
    )

    def update_bytes(self, layout: PolicyLayout) -> int:
        """The rows that stand for the covariance."""
        if getattr(self, self.tonga_chosen_by) != "tonga":
            return super().update_bytes(layout)
        return work_bytes(
            layout,
            rank=self.tonga_rank,
            n_minibatches=self.tonga_n_minibatches,
            block=self.tonga_block,  # type: ignore[arg-type]  # checked by Choice
        )


def tonga_contradictions(
    config_class: type[TongaConfig], values: Mapping[str, Any], rejected: set[str]
) -> Iterable[tuple[set[str], str]]:
    """What is wrong with the options of TONGA."""
    chooser = config_class.tonga_chosen_by
    if values[chooser] != "tonga":
        yield from unused_options(config_class, values, _OPTIONS, because=(chooser, "'tonga'"))
        return
    sizes = {"n_steps", "n_envs", "tonga_n_minibatches"}
    if sizes & rejected:
        return
    n_samples = values["n_steps"] * values["n_envs"]
    if values["tonga_n_minibatches"] > n_samples:
        yield (
            sizes,
            f"tonga_n_minibatches: expected at most n_steps * n_envs = {n_samples}, got "
            f"{values['tonga_n_minibatches']}",
        )


def tonga_direction(config: TongaConfig, *, is_measured: bool = False, metric_damping: float = 0.0) -> TongaDirection:
    """The direction; ``is_measured`` with its curvature in the damped metric of the KL divergence."""
    return TongaDirection(
        is_measured=is_measured,
        metric_damping=metric_damping,
        tonga=Tonga(
            rank=config.tonga_rank,
            n_minibatches=config.tonga_n_minibatches,
            decay=config.tonga_decay,
            damping=config.tonga_damping,
            block=config.tonga_block,  # type: ignore[arg-type]  # checked by Choice
        ),
    )
