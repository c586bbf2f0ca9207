"""Which direction NPG and TRPO take: the natural gradient, or one of the experimental ones beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastpg.algorithms.checks import Choice, Integer, Optional, argument
from fastpg.algorithms.config import unused_options
from fastpg.algorithms.natural import NaturalGradientConfig, natural_gradient
from fastpg.algorithms.tonga import TongaConfig, tonga_contradictions, tonga_direction
from fastpg.updates.directions import Direction
from fastpg.updates.krylov import KrylovDescent
from fastpg.updates.newton import Newton

#: Krylov vectors. Source: Vinyals and Povey 2012, section 4, who use 20; half of that gains nearly as much per product.
DEFAULT_KRYLOV_DIM = 10
#: What only the natural gradient's own linear system has: argument -> the value that means "not used".
_OF_THE_NATURAL_GRADIENT = {
    "solver": "cg",
    "cg_warm_start": 0.0,
    "cg_backtracking": False,
    "damping_metric": "identity",
    "prediction": "linear",
}


@dataclass(frozen=True, kw_only=True)
class DirectionConfig(NaturalGradientConfig, TongaConfig):
    """Arguments that choose the direction. The first base's defaults win, those of its critic among them."""

    tonga_chosen_by = "direction"

    direction: str = argument(
        "natural",
        Choice(("natural", "newton", "ksd", "tonga")),
        "Direction of a step: natural gradient; experimental: newton (Hessian of the surrogate), ksd (Krylov subspace "
        "descent), tonga (covariance of the gradients).",
        source="fastpg",
    )
    metric: str = argument(
        "fisher",
        Choice(("fisher", "hessian")),
        "Metric of the trust region with direction='newton': Fisher matrix, or the Hessian where it is definite.",
        source="fastpg",
    )
    krylov_dim: int | None = argument(
        None,
        Optional(Integer(1, 1000)),
        f"Krylov vectors with direction='ksd'; None takes {DEFAULT_KRYLOV_DIM}.",
        source="Vinyals and Povey 2012",
    )

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        yield from tonga_contradictions(cls, values, rejected)
        direction = values["direction"]
        if direction == "tonga":
            names = ("cg_max_steps", "cg_tolerance", "damping", "fisher")
            yield from unused_options(cls, values, names, because=("direction", "'natural'"))
        if direction == "ksd":
            of_cg = ("cg_max_steps", "cg_tolerance", "damped_scale")
            yield from unused_options(cls, values, of_cg, because=("direction", "'natural'"))
        if values["metric"] != "fisher" and direction != "newton":
            yield (
                {"metric", "direction"},
                f"metric: expected 'fisher' with direction={direction!r}, got {values['metric']!r} (or "
                "direction='newton')",
            )
        if values["krylov_dim"] is not None and direction != "ksd":
            yield (
                {"krylov_dim", "direction"},
                f"krylov_dim: expected None with direction={direction!r}, got {values['krylov_dim']!r} (or "
                "direction='ksd')",
            )
        if direction == "natural":
            return
        for name, others in (
            ("adaptive_radius", "None, 'surrogate' or 'return'"),
            ("damping", "'fixed' or 'adaptive'"),
        ):
            if values[name] == "signal":
                yield (
                    {name, "direction"},
                    f"{name}: expected {others} with direction={direction!r}, which does not solve for the natural "
                    "gradient of the noise, got 'signal' (or direction='natural')",
                )
        for name, default in _OF_THE_NATURAL_GRADIENT.items():
            if values[name] != default:
                yield (
                    {name, "direction"},
                    f"{name}: expected {default!r} with direction={direction!r}, got {values[name]!r} (or "
                    "direction='natural')",
                )


def make_direction(config: DirectionConfig) -> Direction:
    """The direction that the arguments describe."""
    if config.direction == "tonga":
        return tonga_direction(config, is_measured=True, metric_damping=config.cg_damping)
    natural = natural_gradient(config)
    if config.direction == "newton":
        return Newton(
            metric=config.metric,  # type: ignore[arg-type]  # checked by Choice
            damping=natural.damping,
            max_iterations=config.cg_max_steps,
            relative_tolerance=config.cg_tolerance,
            fallback=natural,
        )
    if config.direction == "ksd":
        dimension = DEFAULT_KRYLOV_DIM if config.krylov_dim is None else config.krylov_dim
        return KrylovDescent(dimension=dimension, damping=natural.damping, fisher=natural.fisher)
    return natural
