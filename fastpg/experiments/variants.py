"""The experiment ``variants``: every way of taking a step, beside the default of its algorithm, on CartPole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastpg.experiments.bands import write_bands
from fastpg.experiments.experiment import Experiment, Options
from fastpg.experiments.family import Member, plan_runs, return_panel, seeds_note, write_summary
from fastpg.experiments.figures import COLOURS, DASHES, Style, draw_figure
from fastpg.experiments.settings import TASKS
from fastpg.experiments.training_run import TrainingRun

ENV = "CartPole-v1"
#: All variants of an algorithm share these; the rest are its defaults. At 100k steps and 8 environments PPO makes 48
#: updates and TRPO 24, so that the lines are curves.
SHARED: Mapping[str, Mapping[str, Any]] = {"PPO": {"n_steps": 256}, "TRPO": {"n_steps": 512}}
#: Options that differ from the defaults, by algorithm and label. TRPO's penalty="theory" is left out: its steps are too
#: small to learn by, and each takes a hundred evaluations in float64.
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "PPO": {
        "PPO": {},
        "PPO, KL penalty": {"penalty": "kl"},
        "PPO, KL penalty of the paper": {"penalty": "kl", "adaptive_kl": "paper", "target_kl": 0.01},
        "PPO, KL penalty of RLlib": {"penalty": "kl", "adaptive_kl": "rllib", "target_kl": 0.01},
        "PPO, adaptive clip range": {"clip_range": "adaptive"},
        "PPO, adaptive learning rate": {"adaptive_learning_rate": True, "target_kl": 0.01},
        "PPO, dual clip": {"dual_clip": 3.0},
        "PPO, constraint by backtracking": {"constraint": "backtrack"},
        "PPO, constraint by a barrier": {"constraint": "barrier"},
        "PPO, constraint by a penalty": {"constraint": "penalty"},
    },
    "TRPO": {
        "TRPO": {},
        "TRPO, sufficient increase": {"accept_ratio": 0.1},
        "TRPO, KL alone": {"check_improvement": False},
        "TRPO, largest KL": {"constraint": "max_kl"},
        "TRPO, radius by the signal": {"adaptive_radius": "signal"},
        "TRPO, radius by the surrogate": {"adaptive_radius": "surrogate"},
        "TRPO, radius by the return": {"adaptive_radius": "return"},
        "TRPO, Newton": {"direction": "newton"},
        "TRPO, Krylov": {"direction": "ksd"},
    },
    "NPG": {
        "NPG": {},
        "NPG, fixed step": {"step_rule": "fixed", "step_size": 0.1},
        "NPG, truncated": {"cg_max_steps": 3},
        "NPG, Fletcher's damping": {"damping_metric": "diag"},
        "NPG, adaptive damping": {"damping": "adaptive"},
        "NPG, empirical Fisher": {"fisher": "empirical"},
        "NPG, Hessian-free": {"preset": "hessian_free"},
        "NPG, Krylov": {"direction": "ksd"},
        "NPG, Newton": {"direction": "newton"},
        "NPG, TONGA": {"direction": "tonga"},
    },
    "VPG, A2C, MDPO": {
        "VPG": {},
        "VPG, gradient ascent": {"optimizer": "sgd", "learning_rate": 1.0},
        "VPG, normalised gradient": {"preset": "normalized"},
        "VPG, TONGA": {"preset": "tonga"},
        "VPG, REINFORCE": {"preset": "reinforce"},
        "VPG, Levenberg-Marquardt critic": {"critic_solver": "lm"},
        "A2C": {},
        "MDPO": {},
        "MDPO, schedule of Shani": {"t_schedule": "shani"},
        "MDPO, adaptive step size": {"t_schedule": "adaptive"},
        "MDPO, Tsallis": {"tsallis_q": 2.0},
    },
}


def _member(label: str, options: Mapping[str, Any]) -> Member:
    algorithm = label.partition(",")[0]
    return Member(label, algorithm, {**SHARED.get(algorithm, {}), **options})


MEMBERS = tuple(_member(label, options) for group in VARIANTS.values() for label, options in group.items())


def _plan(options: Options) -> Sequence[TrainingRun]:
    """Always from the defaults: tuned settings would hide what an option does."""
    return plan_runs(replace(options, settings="defaults"), MEMBERS, [ENV])


def _draw(options: Options, runs: Sequence[TrainingRun]) -> list[Path]:
    panel = return_panel(runs, TASKS[ENV])
    groups = {
        title: {label: panel.bands[label] for label in group if label in panel.bands}
        for title, group in VARIANTS.items()
    }
    panels = [replace(panel, title=title, bands=bands) for title, bands in groups.items() if bands]
    styles = {
        label: Style(COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS)])
        for group in VARIANTS.values()
        for index, label in enumerate(group)
    }
    bands = {(ENV, label, "return"): band for label, band in panel.bands.items()}
    return [
        write_summary(options.out / "summary.csv", runs),
        write_bands(options.out / "curves.csv", bands, x_name="timesteps"),
        draw_figure(
            options.out / "variants.png",
            [panels],
            title="Every way of taking a step, on CartPole-v1",
            note=seeds_note(runs),
            styles=styles,
            has_legend_per_panel=True,
        ),
    ]


VARIANTS_OF_STEPS = Experiment(
    summary="Every variant of every algorithm's step beside its default, on CartPole-v1.", plan=_plan, draw=_draw
)
