"""The experiments that train: PPO against TRPO, NPG on CartPole, the whole family on four tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastpg.errors import ConfigError
from fastpg.experiments.bands import Band, confidence_band, read_curves, write_bands, write_table
from fastpg.experiments.experiment import Experiment, Options
from fastpg.experiments.figures import COLOURS, DASHES, Panel, Style, draw_figure
from fastpg.experiments.settings import TASKS, Task, arguments_for, find_task
from fastpg.experiments.training_run import TrainingRun, short_name
from fastpg.training.loading import ALGORITHMS
from fastpg.training.run_directory import EVALUATION

STEPS, SECONDS = "time/total_timesteps", "time/cpu_time"
RETURN, CLIP_FRACTION = "rollout/ep_rew_mean", "train/clip_fraction"
#: KL(old || new) of an update: exact where the algorithm has it, otherwise the estimate.
KL = ("train/kl_old_new", "train/approx_kl")


@dataclass(frozen=True)
class Member:
    """One line of the figures.

    Attributes:
        label: its name there.
        algorithm: a key of ``ALGORITHMS``.
        options: beside the settings of the task.
    """

    label: str
    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)


#: Algorithms with other options than their own defaults.
VARIANTS = (
    Member("REINFORCE", "VPG", {"use_critic": False, "gae_lambda": 1.0}),
    Member("TRPO, adaptive radius", "TRPO", {"adaptive_radius": "signal"}),
    Member("PPO, KL penalty", "PPO", {"penalty": "kl", "adaptive_kl": "paper", "target_kl": 0.01}),
)


def _members() -> tuple[Member, ...]:
    """Every algorithm, each followed by its variants."""
    members = []
    for algorithm in ALGORITHMS:
        members += [Member(algorithm, algorithm), *(variant for variant in VARIANTS if variant.algorithm == algorithm)]
    return tuple(members)


MEMBERS = _members()


def styles_of(members: Sequence[Member]) -> dict[str, Style]:
    """Label -> style: a colour for the algorithm, dashes for its variants; the same in all figures."""
    algorithms = list(dict.fromkeys(member.algorithm for member in members))
    styles = {}
    for index, algorithm in enumerate(algorithms):
        labels = [member.label for member in members if member.algorithm == algorithm]
        for label, dashes in zip(labels, DASHES, strict=False):
            styles[label] = Style(COLOURS[index % len(COLOURS)], dashes)
    return styles


def choose_members(members: Iterable[Member], names: Sequence[str]) -> list[Member]:
    """The members called ``names``, by label or algorithm, in any case; all of them without names.

    A label may be given with hyphens, ``trpo-adaptive-radius``, which a list with commas needs.

    Raises:
        ConfigError: there is none of such a name.
    """
    members = list(members)
    chosen = {short_name(name) for name in names}
    known = {short_name(name) for member in members for name in (member.label, member.algorithm)}
    if not chosen <= known:
        labels = ", ".join(short_name(member.label) for member in members)
        raise ConfigError(f"members: expected names among {labels}, got {', '.join(sorted(chosen - known))}.")
    return [m for m in members if not chosen or {short_name(m.label), short_name(m.algorithm)} & chosen]


def plan_runs(options: Options, members: Sequence[Member], envs: Sequence[str]) -> list[TrainingRun]:
    """Every chosen member on every chosen task with every seed; seeds outermost, so that all lines grow alike."""
    tasks = [find_task(name) for name in options.tasks or envs]
    outside = [task.env for task in tasks if task.env not in envs]
    if outside:
        raise ConfigError(f"tasks: this experiment has {', '.join(envs)}, got {', '.join(outside)}.")
    runs = [
        TrainingRun(
            root=options.runs,
            label=member.label,
            algorithm=member.algorithm,
            env=task.env,
            seed=seed,
            total_timesteps=options.total_timesteps or task.total_timesteps,
            arguments=arguments_for(task, member.algorithm, settings=options.settings) | dict(member.options),
        )
        for seed in range(options.n_seeds)
        for task in tasks
        for member in choose_members(members, options.members)
    ]
    for run in runs[: len(runs) // options.n_seeds]:
        run.check()
    return runs


def group_runs(runs: Sequence[TrainingRun]) -> dict[tuple[str, str], list[Path]]:
    """(environment, label) -> directories of its seeds, in the order of the plan."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for run in runs:
        groups.setdefault((run.env, run.label), []).append(run.directory)
    return groups


def bands_of(runs: Sequence[TrainingRun], env: str, keys: Sequence[str], x_key: str = STEPS) -> dict[str, Band]:
    """Label -> band of the first of ``keys`` that its runs on ``env`` have; labels without a value are left out."""
    curves = {
        label: read_curves(directories, keys, x_key)
        for (run_env, label), directories in group_runs(runs).items()
        if run_env == env
    }
    return {
        label: confidence_band(of_label, is_geometric=x_key == SECONDS)
        for label, of_label in curves.items()
        if of_label
    }


def write_summary(path: Path, runs: Sequence[TrainingRun]) -> Path:
    """One row per run: its evaluation and its time."""
    rows = []
    for run in runs:
        evaluation = json.loads((run.directory / EVALUATION).read_text(encoding="utf-8"))
        seconds = [curve.y[-1] for curve in read_curves([run.directory], [SECONDS], STEPS)]
        results = (evaluation["mean_return"], evaluation["std_return"], float(seconds[0]) if seconds else "")
        rows.append((run.env, run.label, run.seed, run.total_timesteps, *results))
    columns = ("env", "label", "seed", "total_timesteps", "mean_return", "std_return", "training_s")
    return write_table(path, columns, rows)


def return_panel(runs: Sequence[TrainingRun], task: Task, *, x_key: str = STEPS) -> Panel:
    """Return of the training episodes over steps or seconds."""
    return Panel(
        title=task.env,
        xlabel="environment steps" if x_key == STEPS else "CPU seconds of the training, one thread",
        ylabel="return, mean of 100 episodes",
        bands=bands_of(runs, task.env, [RETURN], x_key),
        levels={} if task.threshold is None else {f"solved: {task.threshold:g}": task.threshold},
        x_scale="linear" if x_key == STEPS else "log",
    )


def seeds_note(runs: Sequence[TrainingRun]) -> str:
    """What lines and bands are."""
    n_seeds = len({run.seed for run in runs})
    return "one seed" if n_seeds == 1 else f"mean of {n_seeds} seeds; band: 95 % confidence interval of the mean"


def _texts(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """What lines and bands are, and how they look."""
    return {"note": seeds_note(runs), "styles": styles_of(MEMBERS)}


def _draw_lunarlander(options: Options, runs: Sequence[TrainingRun]) -> list[Path]:
    task = TASKS["LunarLander-v3"]
    returns = replace(return_panel(runs, task), title="")
    kl = Panel(
        title="KL divergence of an update",
        xlabel="environment steps",
        ylabel="KL(old ‖ new), nats",
        bands=bands_of(runs, task.env, KL),
        levels={"δ of TRPO": 0.01},
    )
    clipped = Panel(
        title="Samples outside the clip range",
        xlabel="environment steps",
        ylabel="clip fraction",
        bands=bands_of(runs, task.env, [CLIP_FRACTION]),
    )
    bands = {
        (task.env, label, name): band
        for name, panel in (("return", returns), ("kl_old_new", kl), ("clip_fraction", clipped))
        for label, band in panel.bands.items()
    }
    title, texts = "PPO and TRPO on LunarLander-v3", _texts(runs)
    return [
        write_summary(options.out / "summary.csv", runs),
        write_bands(options.out / "curves.csv", bands, x_name="timesteps"),
        draw_figure(options.out / "return.png", [[returns]], title=title, **texts),
        draw_figure(options.out / "kl-and-clip-fraction.png", [[kl, clipped]], title=title, **texts),
    ]


def _draw_cartpole_npg(options: Options, runs: Sequence[TrainingRun]) -> list[Path]:
    panel = replace(return_panel(runs, TASKS["CartPole-v1"]), title="")
    bands = {("CartPole-v1", label, "return"): band for label, band in panel.bands.items()}
    return [
        write_summary(options.out / "summary.csv", runs),
        write_bands(options.out / "curves.csv", bands, x_name="timesteps"),
        draw_figure(options.out / "return.png", [[panel]], title="Natural gradient on CartPole-v1", **_texts(runs)),
    ]


def _draw_family(options: Options, runs: Sequence[TrainingRun]) -> list[Path]:
    envs = list(dict.fromkeys(run.env for run in runs))
    over_steps = [return_panel(runs, TASKS[env]) for env in envs]
    over_seconds = [return_panel(runs, TASKS[env], x_key=SECONDS) for env in envs]
    paths = [write_summary(options.out / "summary.csv", runs)]
    for x_name, panels in (("timesteps", over_steps), ("seconds", over_seconds)):
        bands = {(p.title, label, "return"): band for p in panels for label, band in p.bands.items()}
        paths.append(write_bands(options.out / f"return-over-{x_name}.csv", bands, x_name=x_name))
    title, path = "One family: return over steps and over seconds", options.out / "family.png"
    return [*paths, draw_figure(path, [over_steps, over_seconds], title=title, **_texts(runs))]


def _planner(labels: Sequence[str] | None, *envs: str) -> Callable[[Options], Sequence[TrainingRun]]:
    """A plan for the members called ``labels`` (None: all) on ``envs``."""

    def plan(options: Options) -> Sequence[TrainingRun]:
        members = [member for member in MEMBERS if labels is None or member.label in labels]
        return plan_runs(options, members, envs)

    return plan


EXPERIMENTS = {
    "lunarlander": Experiment(
        summary="PPO against TRPO on LunarLander-v3: return, KL divergence, clip fraction.",
        plan=_planner(("PPO", "TRPO"), "LunarLander-v3"),
        draw=_draw_lunarlander,
    ),
    "cartpole-npg": Experiment(
        summary="The natural gradient on CartPole-v1.",
        plan=_planner(("NPG",), "CartPole-v1"),
        draw=_draw_cartpole_npg,
    ),
    "family": Experiment(
        summary="Every algorithm on CartPole, Acrobot, Pendulum and LunarLander, over steps and over seconds.",
        plan=_planner(None, *TASKS),
        draw=_draw_family,
    ),
}
