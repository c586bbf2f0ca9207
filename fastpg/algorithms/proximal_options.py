"""What the options of PPO's proximal side mean together: contradictions between them, and the parts made from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from fastpg.kernels.clipped_loss import KLDirection
from fastpg.updates.constraint import Backtrack, Barrier, Constraint, ExactPenalty, Mask
from fastpg.updates.kl_penalty import KLPenalty, paper_rule, rllib_rule
from fastpg.updates.schedules import LinearSchedule

if TYPE_CHECKING:
    from fastpg.algorithms.ppo import PPOConfig

#: The value of ``clip_range`` that asks for the rule of ``AdaptiveClipRange``.
ADAPTIVE = "adaptive"
Contradiction = tuple[set[str], str]


def minibatch_contradictions(values: Mapping[str, Any], rejected: set[str]) -> Iterable[Contradiction]:
    """Sizes of rollout and minibatch that do not fit each other, or the standardisation of advantages."""
    rollout = {"n_steps", "n_envs"}
    n_samples = 0 if rollout & rejected else values["n_steps"] * values["n_envs"]
    sizes = f"n_steps * n_envs = {values['n_steps']} * {values['n_envs']} = {n_samples}"
    batch_size, is_normalized = values["batch_size"], values["normalize_advantage"]
    needed = rollout | {"normalize_advantage"}
    if n_samples == 1 and is_normalized is True:
        yield (
            needed,
            f"n_steps: expected n_steps * n_envs >= 2 to standardise advantages, got {sizes} (or "
            "normalize_advantage=False)",
        )
    if "batch_size" in rejected:
        return
    if batch_size == 1 and is_normalized is True:
        yield (
            {"batch_size", "normalize_advantage"},
            "batch_size: expected an integer >= 2 to standardise advantages, got 1 (or normalize_advantage=False)",
        )
    elif 0 < n_samples < batch_size:
        yield rollout | {"batch_size"}, f"batch_size: expected at most {sizes}, got {batch_size}"


def proximal_contradictions(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Options of clipping, penalty and constraint that exclude or need each other; each names both."""
    yield from _steering_contradictions(values)
    penalty, constraint = values["penalty"], values["constraint"]
    is_clipped = constraint in ("clip", "mask") or (constraint is None and penalty is None)
    if values["dual_clip"] is not None and not is_clipped:
        yield (
            {"dual_clip", "constraint", "penalty"},
            f"dual_clip: expected None where ratios are not clipped (constraint={constraint!r}, penalty={penalty!r}), "
            f"got {values['dual_clip']!r}",
        )
    if values["constraint_coef"] is not None and constraint not in ("barrier", "penalty"):
        yield (
            {"constraint_coef", "constraint"},
            f"constraint_coef: expected None with constraint={constraint!r} (only 'barrier' and 'penalty' have a "
            f"weight), got {values['constraint_coef']!r}",
        )
    clip_range = values["clip_range"]
    if clip_range == ADAPTIVE and not is_clipped:
        yield (
            {"clip_range", "constraint", "penalty"},
            f"clip_range: expected a number or a schedule where ratios are not clipped (constraint={constraint!r}, "
            f"penalty={penalty!r}), got 'adaptive'",
        )
    if constraint == "barrier" and isinstance(clip_range, LinearSchedule) and not clip_range(0.0) > 0.0:
        yield (
            {"clip_range", "constraint"},
            f"clip_range: expected a schedule that ends above 0 with constraint='barrier', got {str(clip_range)!r}",
        )


def _steering_contradictions(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Around ``target_kl``."""
    adaptive_kl, steps = values["adaptive_kl"], values["adaptive_learning_rate"]
    if adaptive_kl is not None and values["penalty"] is None:
        yield (
            {"adaptive_kl", "penalty"},
            f"adaptive_kl: expected None without penalty='kl', got {adaptive_kl!r} with penalty=None",
        )
    if adaptive_kl is not None and steps is True:
        yield (
            {"adaptive_kl", "adaptive_learning_rate"},
            f"adaptive_kl: expected None with adaptive_learning_rate=True (both steer to target_kl), "
            f"got {adaptive_kl!r}",
        )
    if values["target_kl"] is None and (adaptive_kl is not None or steps is True):
        name = "adaptive_learning_rate=True" if steps is True else f"adaptive_kl={adaptive_kl!r}"
        yield (
            {"target_kl", "adaptive_kl", "adaptive_learning_rate"},
            f"target_kl: expected a number > 0 to steer to with {name}, got None",
        )
    if steps is True and callable(values["learning_rate"]):
        yield (
            {"learning_rate", "adaptive_learning_rate"},
            "learning_rate: expected a number to start from with adaptive_learning_rate=True, got a schedule",
        )


def make_kl_penalty(config: PPOConfig) -> KLPenalty | None:
    """The KL penalty that ``config`` asks for."""
    if config.penalty is None:
        return None
    rules = {"paper": paper_rule, "rllib": rllib_rule}
    rule = None if config.adaptive_kl is None else rules[config.adaptive_kl](config.target_kl or 0.0)
    return KLPenalty(coefficient=config.kl_coef, direction=cast(KLDirection, config.kl_direction), rule=rule)


def make_constraint(config: PPOConfig) -> Constraint | None:
    """The constraint that ``config`` asks for; None leaves clipping to the surrogate, without measuring anything."""
    weight = {} if config.constraint_coef is None else {"coefficient": config.constraint_coef}
    constraints: dict[str | None, Constraint] = {
        "clip": Mask(),
        "mask": Mask(),
        "backtrack": Backtrack(tolerance=config.constraint_tolerance),
        "barrier": Barrier(**weight),
        "penalty": ExactPenalty(**weight, tolerance=config.constraint_tolerance),
    }
    return constraints.get(config.constraint)
