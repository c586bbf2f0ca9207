"""The experiment on random MDPs: how far each tabular method is from the optimum after k iterations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastpg.errors import ConfigError
from fastpg.experiments.bands import Band, confidence_band, write_bands
from fastpg.experiments.experiment import Experiment, Options
from fastpg.experiments.figures import Panel, draw_figure
from fastpg.plotting.curves import Curve
from fastpg.tabular import (
    ConservativePolicyIteration,
    Euclidean,
    ExactNPG,
    MinorizeMaximize,
    SampleBasedTRPO,
    UniformTRPO,
    iterate,
    random_mdp,
)
from fastpg.tabular.iteration import Method
from fastpg.training.atomic_file import write_atomically

N_STATES, N_ACTIONS, GAMMA = 10, 4, 0.9
N_ITERATIONS = 1000
LAMBDA = 0.1
#: Gaps below this fraction of the first one are drawn as this: they would make the others invisible.
SMALLEST_GAP = 1e-6

PLAIN: Mapping[str, Method] = {
    "exact NPG, η = 0.1": ExactNPG(0.1),
    "uniform TRPO": UniformTRPO(),
    "uniform TRPO, Euclidean": UniformTRPO(geometry=Euclidean()),
    "sample-based TRPO": SampleBasedTRPO(restart=np.full(N_STATES, 1.0 / N_STATES), truncation=1e-2),
    "conservative policy iteration": ConservativePolicyIteration(),
    "minorise-maximise": MinorizeMaximize(),
}
REGULARISED: Mapping[str, Method] = {
    "uniform TRPO": UniformTRPO(coef=LAMBDA),
    "uniform TRPO, Euclidean": UniformTRPO(coef=LAMBDA, geometry=Euclidean()),
    "sample-based TRPO": SampleBasedTRPO(coef=LAMBDA, restart=np.full(N_STATES, 1.0 / N_STATES), truncation=1e-2),
}
PANELS = {"plain": PLAIN, "regularised": REGULARISED}


@dataclass(frozen=True, kw_only=True)
class TabularRun:
    """A ``Job``: one method on one random MDP.

    Attributes:
        root: directory of all runs of the experiment.
        panel: a key of ``PANELS``.
        label: of the method there.
        seed: of the MDP and of the samples.
        n_iterations: >= 1.
    """

    root: Path
    panel: str
    label: str
    seed: int
    n_iterations: int

    @property
    def title(self) -> str:
        """One line for people."""
        return f"{self.label} ({self.panel}), MDP {self.seed}"

    @property
    def size(self) -> int:
        """Iterations."""
        return self.n_iterations

    @property
    def path(self) -> Path:
        """Where the result is kept."""
        number = list(PANELS[self.panel]).index(self.label)
        return self.root / f"{self.panel}-{number}-{self.seed}.json"

    def is_finished(self) -> bool:
        """Is there a result with these settings?

        Raises:
            ConfigError: there is one with other settings.
        """
        if not self.path.is_file():
            return False
        if self.read()["experiment"] == self._description():
            return True
        raise ConfigError(
            f"{self.path} holds a result with other settings. Nothing was changed. Fix: name another directory with "
            "--out, or replace what is there with --overwrite."
        )

    def read(self) -> dict[str, Any]:
        """The result: ``gaps`` and ``best_gaps``, one per iterate."""
        content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return content

    def execute(self, report: Callable[[int], None]) -> str:
        """Iterate and write."""
        method = PANELS[self.panel][self.label]
        mdp = random_mdp(N_STATES, N_ACTIONS, gamma=GAMMA, seed=self.seed)
        history = iterate(method, mdp, self.n_iterations, seed=self.seed)
        report(self.n_iterations)
        result = {
            "experiment": self._description(),
            "gaps": history.gaps.tolist(),
            "best_gaps": history.best_gaps.tolist(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(result).encode())
        return f"gap {history.gaps[0]:.3g} to {history.best_gaps[-1]:.3g}"

    def _description(self) -> dict[str, Any]:
        names = ("panel", "label", "seed", "n_iterations")
        return {name: getattr(self, name) for name in names} | {"method": repr(PANELS[self.panel][self.label])}


def _plan(options: Options) -> list[TabularRun]:
    if options.tasks or options.members:
        raise ConfigError("The tabular experiment has neither --tasks nor --members: it is run as a whole.")
    return [
        TabularRun(
            root=options.runs,
            panel=panel,
            label=label,
            seed=seed,
            n_iterations=options.total_timesteps or N_ITERATIONS,
        )
        for seed in range(options.n_seeds)
        for panel, methods in PANELS.items()
        for label in methods
    ]


def _band(runs: Sequence[TabularRun]) -> Band:
    """Geometric mean over the MDPs of the smallest gap so far, relative to the first one, over k = 1, 2, ..."""
    curves = []
    for run in runs:
        gaps = np.array(run.read()["best_gaps"])
        relative = np.maximum(gaps / gaps[0], SMALLEST_GAP)[1:]
        curves.append(Curve(run.label, np.log10(np.arange(1, len(gaps))), np.log10(relative)))
    band = confidence_band(curves)
    return Band(10.0**band.x, 10.0**band.mean, 10.0**band.low, 10.0**band.high, band.n_runs)


def _draw(options: Options, runs: Sequence[TabularRun]) -> list[Path]:
    groups: dict[tuple[str, str], list[TabularRun]] = {}
    for run in runs:
        groups.setdefault((run.panel, run.label), []).append(run)
    bands = {key: _band(of_key) for key, of_key in groups.items()}
    last = max(run.n_iterations for run in runs)
    titles = {"plain": "Return", "regularised": f"Return with entropy or norm, λ = {LAMBDA:g}"}
    guides = {
        "plain": {"1/√k": ([1.0, last], [1.0, last**-0.5])},
        "regularised": {"1/k": ([1.0, last], [1.0, 1.0 / last])},
    }
    panels = [
        Panel(
            title=titles[panel],
            xlabel="iteration k",
            ylabel="smallest gap so far / first gap",
            bands={label: band for (of_panel, label), band in bands.items() if of_panel == panel},
            guides=guides[panel],
            x_scale="log",
            y_scale="log",
        )
        for panel in PANELS
    ]
    mdps = f"{len({run.seed for run in runs})} random MDPs ({N_STATES} states, {N_ACTIONS} actions, γ = {GAMMA:g})"
    note = f"geometric mean over {mdps}; band: 95 % confidence interval"
    return [
        write_bands(
            options.out / "curves.csv",
            {(panel, label, "relative_gap"): band for (panel, label), band in bands.items()},
            x_name="iteration",
        ),
        draw_figure(options.out / "gap.png", [panels], title="Tabular methods on random MDPs", note=note),
    ]


TABULAR = Experiment(
    summary="Tabular methods on random MDPs: distance from the optimum over iterations.", plan=_plan, draw=_draw
)
