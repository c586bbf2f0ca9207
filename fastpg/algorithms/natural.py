"""Arguments and parts that the natural gradient methods share: the linear system, its damping, the trust radius."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastpg.algorithms.checks import Choice, Flag, Integer, Optional, Real, argument
from fastpg.algorithms.config import MAX_COUNT, unused_options
from fastpg.algorithms.critic import CriticConfig
from fastpg.errors import ConfigError
from fastpg.kernels.dense_solve import check_cholesky_size, check_woodbury_size
from fastpg.kernels.layout import PolicyLayout
from fastpg.updates.damping import FixedDamping, MarquardtDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.local_model import Ratio
from fastpg.updates.radius import RadiusController
from fastpg.updates.return_review import ReturnReview
from fastpg.updates.step_length import AdaptiveRadius, KLRadius

_CONTRIB = "sb3-contrib"
_NOCEDAL = "Nocedal and Wright 2006, Algorithm 4.1"
#: Ratio of consecutive iteration numbers whose iterates CG-backtracking looks at. Source: Martens 2010, section 4.6.
ITERATE_SPACING = 1.3
#: Bounds of an adaptive radius where none are given, as multiples of ``target_kl``. Measured: with ten times instead of
#: three TRPO on CartPole-v1 ends lower than with a fixed radius, because the surrogate approves of its own samples.
RADIUS_RANGE = (0.1, 3.0)
DAMPINGS = ("fixed", "adaptive", "signal")
DAMPING_HELP = (
    "Damping: fixed; adaptive by the ratio of actual to predicted improvement (Levenberg-Marquardt); signal: by "
    "that ratio as far as the gradient is signal."
)
DAMPED_SCALE_HELP = "Measure the length of a step with the damped matrix: shorter steps."
_OF_THE_RADIUS = (
    "radius_shrink",
    "radius_expand",
    "radius_shrink_below",
    "radius_expand_above",
    "radius_min",
    "radius_max",
)


@dataclass(frozen=True, kw_only=True)
class NaturalGradientConfig(CriticConfig):
    """Arguments of NPG and TRPO; sb3-contrib's names and defaults where it has them."""

    target_kl: float = argument(
        0.01,
        Real(0.0, is_above=True),
        "Trust radius: bound on the mean KL(old || new) of an update in nats, summed over action dimensions.",
        source=_CONTRIB,
    )
    cg_max_steps: int = argument(15, Integer(1, MAX_COUNT), "Iterations of conjugate gradient.", source=_CONTRIB)
    cg_damping: float = argument(
        0.1, Real(0.0), "Added to the diagonal of the Fisher matrix; where an adaptive damping starts.", source=_CONTRIB
    )
    cg_tolerance: float = argument(
        1e-5, Real(0.0), "Residual, relative to the gradient, at which conjugate gradient ends.", source="fastpg"
    )
    cg_warm_start: float = argument(
        0.0,
        Real(0.0, 1.0),
        "Conjugate gradient starts at this times the last solution; 0 starts at 0.",
        source="fastpg",
    )
    cg_backtracking: bool = argument(
        False, Flag(), "Go back to the iterate of conjugate gradient with the best surrogate.", source="fastpg"
    )
    solver: str = argument(
        "cg",
        Choice(("cg", "cholesky", "woodbury")),
        "Linear solver: cg, or a factorisation in parameter (cholesky) or sample space (woodbury) for small problems.",
        source=_CONTRIB,
    )
    damping: str | None = argument("fixed", Choice(DAMPINGS), DAMPING_HELP, source=_CONTRIB)
    damping_metric: str = argument(
        "identity",
        Choice(("identity", "diag")),
        "What cg_damping multiplies: the identity, or the diagonal of the Fisher matrix (Fletcher).",
        source=_CONTRIB,
    )
    damped_scale: bool = argument(True, Flag(), DAMPED_SCALE_HELP, source=_CONTRIB)
    fisher: str = argument(
        "exact",
        Choice(("exact", "empirical")),
        "Fisher matrix: exact expectation over actions, or from the actions that were taken.",
        source=_CONTRIB,
    )
    prediction: str = argument(
        "linear",
        Choice(("linear", "quadratic")),
        "Local model that predicts the improvement: linear (g's), or quadratic (g's - s'(F + damping)s / 2).",
        source="Schulman et al. 2015, Appendix C",
    )
    ent_coef: float = argument(0.0, Real(), "Weight of the entropy in the surrogate.", source="fastpg")
    sub_sampling_factor: int = argument(
        1, Integer(1, MAX_COUNT), "The policy step uses one sample in so many; 1 uses all.", source=_CONTRIB
    )
    adaptive_radius: str | None = argument(
        None,
        Optional(Choice(("signal", "surrogate", "return"))),
        "Let the trust radius follow the ratio of actual to predicted improvement: of the surrogate as far as the "
        "gradient is signal, of the surrogate as it is, or of the return of the next rollout; target_kl is its start.",
        source=_CONTRIB,
    )
    radius_shrink: float = argument(
        0.5, Real(0.0, 1.0, is_above=True), "Factor of the radius after a bad step.", source="Conn et al. 2000"
    )
    radius_expand: float = argument(2.0, Real(1.0), "Factor of the radius after a good step.", source=_NOCEDAL)
    radius_shrink_below: float = argument(0.25, Real(0.0), "Ratio below which a step was bad.", source=_NOCEDAL)
    radius_expand_above: float = argument(0.75, Real(0.0), "Ratio above which it was good.", source=_NOCEDAL)
    radius_min: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "Lower bound of the radius, nats; None: a tenth of target_kl.",
        source="fastpg",
    )
    radius_max: float | None = argument(
        None,
        Optional(Real(0.0, is_above=True)),
        "Upper bound of the radius, nats; None: three times target_kl.",
        source="fastpg",
    )

    def _cautions(self) -> list[str]:
        if self.cg_damping > 0.0:
            return super()._cautions()
        return [
            "cg_damping=0 leaves the Fisher matrix singular where samples are few or inputs are dead: conjugate "
            "gradient may break down, and such an update takes no step or a poor one. 1e-3 is a usual small value.",
            *super()._cautions(),
        ]

    @property
    def effective_damping(self) -> str:
        """``damping`` with its default."""
        return "fixed" if self.damping is None else self.damping

    @property
    def is_signal_measured(self) -> bool:
        """Whether radius or damping follow the signal."""
        return "signal" in (self.adaptive_radius, self.effective_damping)

    @property
    def n_samples_kept(self) -> int:
        """Samples that the Fisher matrix is taken of."""
        return -(-self.n_steps * self.n_envs // self.sub_sampling_factor)

    def check_layout(self, layout: PolicyLayout) -> None:
        """Raise ConfigError if the problem is too large for the solver."""
        try:
            if self.solver == "cholesky":
                check_cholesky_size(layout)
            elif self.solver == "woodbury":
                check_woodbury_size(layout, self.n_samples_kept, is_empirical=self.fisher == "empirical")
        except ValueError as error:
            raise ConfigError(
                f"solver={self.solver!r} does not suit this policy and rollout (solver='cg' does): {error}"
            ) from error

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any], rejected: set[str]) -> Iterable[tuple[set[str], str]]:
        yield from super()._contradictions(values, rejected)
        yield from _solver_contradictions(values)
        if values["solver"] in ("cholesky", "woodbury"):
            yield from unused_options(cls, values, ("cg_max_steps", "cg_tolerance"), because=("solver", "'cg'"))
        if values["adaptive_radius"] is None:
            yield from unused_options(cls, values, _OF_THE_RADIUS, because=("adaptive_radius", "'surrogate'"))
        yield from _damping_contradictions(values)
        yield from _radius_contradictions(values)
        n_needed = 2 if values["normalize_advantage"] is True else 1
        sizes = {"n_steps", "n_envs", "sub_sampling_factor"}
        if not sizes & rejected and values["sub_sampling_factor"] > 1:
            n_samples = -(-values["n_steps"] * values["n_envs"] // values["sub_sampling_factor"])
            if n_samples < n_needed:
                yield (
                    sizes,
                    f"sub_sampling_factor: expected at least {n_needed} samples left of n_steps * n_envs = "
                    f"{values['n_steps'] * values['n_envs']}, got {values['sub_sampling_factor']}, which leaves "
                    f"{n_samples}",
                )


def _solver_contradictions(values: Mapping[str, Any]) -> Iterable[tuple[set[str], str]]:
    if values["solver"] == "cg":
        return
    for name, is_used in (
        ("cg_warm_start", values["cg_warm_start"] != 0.0),
        ("cg_backtracking", values["cg_backtracking"]),
    ):
        if is_used:
            yield (
                {name, "solver"},
                f"{name}: expected solver='cg', which alone has iterates, got solver={values['solver']!r} with "
                f"{name}={values[name]!r}",
            )
    if values["solver"] == "woodbury" and values["cg_damping"] == 0.0:
        yield (
            {"cg_damping", "solver"},
            "cg_damping: expected a number > 0 with solver='woodbury', which divides by it, got 0",
        )


def _damping_contradictions(values: Mapping[str, Any]) -> Iterable[tuple[set[str], str]]:
    if values["damping"] in ("adaptive", "signal") and not can_damping_follow(values["cg_damping"]):
        low, high = MarquardtDamping.minimum, MarquardtDamping.maximum
        yield (
            {"cg_damping", "damping"},
            f"cg_damping: expected a number in [{low:g}, {high:g}] with damping={values['damping']!r}, which starts "
            f"there and multiplies, got {values['cg_damping']!r}",
        )


def can_damping_follow(cg_damping: Any) -> bool:
    """Whether damping that multiplies can start at ``cg_damping``."""
    return MarquardtDamping.minimum <= _number(cg_damping) <= MarquardtDamping.maximum


def _radius_contradictions(values: Mapping[str, Any]) -> Iterable[tuple[set[str], str]]:
    if values["adaptive_radius"] is None:
        return
    start = _number(values["target_kl"])
    low, high = (_bound(values[name], start, part) for name, part in zip(_BOUNDS, RADIUS_RANGE, strict=True))
    if not low <= start <= high:
        yield (
            {"target_kl", "radius_min", "radius_max"},
            f"target_kl: expected a number in [radius_min, radius_max] = [{low:g}, {high:g}], where adaptive_radius "
            f"starts, got {start:g}",
        )
    below, above = _number(values["radius_shrink_below"]), _number(values["radius_expand_above"])
    if not below <= above:
        yield (
            {"radius_shrink_below", "radius_expand_above"},
            f"radius_shrink_below: expected at most radius_expand_above = {above:g}, got {below:g}",
        )


_BOUNDS = ("radius_min", "radius_max")


def _bound(given: Any, target_kl: float, multiple: float) -> float:
    """A bound of the radius in nats: as given, or a ``multiple`` of ``target_kl``."""
    return multiple * target_kl if given is None else _number(given)


def _number(value: Any) -> float:
    """``value`` where it is a number; NaN where it was rejected anyway."""
    return float(value) if isinstance(value, int | float) else float("nan")


def ratio(config: NaturalGradientConfig) -> Ratio:
    """The surrogate."""
    return Ratio(
        normalize_advantage=config.normalize_advantage,
        ent_coef=config.ent_coef,
        sub_sampling_factor=config.sub_sampling_factor,
    )


def natural_gradient(config: NaturalGradientConfig) -> NaturalGradient:
    """The direction."""
    cg = ConjugateGradient(
        max_iterations=config.cg_max_steps,
        relative_tolerance=config.cg_tolerance,
        warm_start=config.cg_warm_start,
        spacing=ITERATE_SPACING if config.cg_backtracking else None,
    )
    rule = config.effective_damping
    adaptive = MarquardtDamping(initial=config.cg_damping, is_weighed=rule == "signal")
    return NaturalGradient(
        solver=cg if config.solver == "cg" else config.solver,  # type: ignore[arg-type]  # checked by Choice
        damping=FixedDamping(config.cg_damping) if rule == "fixed" else adaptive,
        damping_metric=config.damping_metric,  # type: ignore[arg-type]  # checked by Choice
        fisher=config.fisher,  # type: ignore[arg-type]  # checked by Choice
        is_quadratic=config.prediction == "quadratic",
    )


def kl_radius(config: NaturalGradientConfig) -> KLRadius:
    """The step length on the boundary of the trust region, fixed or adaptive."""
    if config.adaptive_radius is None:
        return KLRadius(target_kl=config.target_kl, is_damped=config.damped_scale)
    return AdaptiveRadius(
        target_kl=config.target_kl,
        is_damped=config.damped_scale,
        controller=_controller(config),
        is_reviewed=config.adaptive_radius == "return",
        is_weighed=config.adaptive_radius == "signal",
    )


def return_review(config: NaturalGradientConfig) -> ReturnReview | None:
    """The judgement of steps by the return, if the radius follows it."""
    if config.adaptive_radius != "return":
        return None
    return ReturnReview(gamma=config.gamma, controller=_controller(config), target_kl=config.target_kl)


def _controller(config: NaturalGradientConfig) -> RadiusController:
    """The rule of the radius."""
    return RadiusController(
        eta_accept=min(RadiusController.eta_accept, config.radius_shrink_below),
        shrink_below=config.radius_shrink_below,
        expand_above=config.radius_expand_above,
        shrink=config.radius_shrink,
        expand=config.radius_expand,
        minimum=_bound(config.radius_min, config.target_kl, RADIUS_RANGE[0]),
        maximum=_bound(config.radius_max, config.target_kl, RADIUS_RANGE[1]),
    )
