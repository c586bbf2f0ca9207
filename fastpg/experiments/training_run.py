"""One training of an experiment: the same run directory that ``fastpg train`` writes, finished once it is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastpg.errors import ConfigError
from fastpg.kernels import backends
from fastpg.training.callback_base import BaseCallback
from fastpg.training.evaluation import evaluate, evaluation_seed
from fastpg.training.loading import model_class
from fastpg.training.logging import CSVSink, Logger
from fastpg.training.run_directory import EVALUATION, RunDirectory
from fastpg.version import __version__

#: Rows of metrics.csv that a run has at most, about; many more would only make the figures slow.
MAX_ROWS = 500
N_EVALUATION_EPISODES = 20


def short_name(label: str) -> str:
    """``label`` for directories and the command line: small letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A ``Job`` that trains and evaluates one model.

    Attributes:
        root: directory of all runs of the experiment.
        label: what it is called in the figures.
        algorithm: a key of ``ALGORITHMS``.
        env: Gymnasium id.
        seed: of the training; the evaluation's follows from it.
        total_timesteps: environment steps.
        arguments: of the constructor, without the seed.
    """

    root: Path
    label: str
    algorithm: str
    env: str
    seed: int
    total_timesteps: int
    arguments: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line for people."""
        return f"{self.label} on {self.env}, seed {self.seed}"

    @property
    def size(self) -> int:
        """Environment steps."""
        return self.total_timesteps

    @property
    def directory(self) -> Path:
        """Where the run is kept."""
        return self.root / self.env.replace("/", "-") / f"{short_name(self.label)}-{self.seed}"

    def check(self) -> None:
        """Raise ConfigError if the algorithm does not take the arguments."""
        model_class(self.algorithm).config_class.from_arguments({**self.arguments, "seed": self.seed})

    def is_finished(self) -> bool:
        """Is there a finished run with these settings?

        Raises:
            ConfigError: there is one with other settings.
        """
        if not (self.directory / EVALUATION).is_file():
            return False
        if RunDirectory(self.directory).read_config().get("experiment") == self._description():
            return True
        raise ConfigError(
            f"{self.directory} holds a finished run with other settings. Nothing was changed. Fix: name another "
            "directory with --out, or replace what is there with --overwrite."
        )

    def execute(self, report: Callable[[int], None]) -> str:
        """Train, save, evaluate."""
        model = model_class(self.algorithm)("MlpPolicy", self.env, **self.arguments, seed=self.seed)
        try:
            run = RunDirectory.create(self.directory, self._config(model), overwrite=True)
            n_iterations = self.total_timesteps // (model.config.n_steps * model.n_envs)
            with Logger([CSVSink(run.metrics)]) as logger:
                model.set_logger(logger)
                model.learn(
                    self.total_timesteps, callback=_Reporter(report), log_interval=max(1, n_iterations // MAX_ROWS)
                )
            model.save(run.model)
        finally:
            model.get_env().close()
        seed = evaluation_seed(self.seed)
        result = evaluate(model, self.env, n_episodes=N_EVALUATION_EPISODES, seed=seed)
        run.write_json(EVALUATION, result.to_json() | {"seed": seed, "deterministic": True})
        return f"mean return {result.mean_return:.1f} ± {result.std_return:.1f}"

    def _description(self) -> dict[str, Any]:
        """What makes this run another one."""
        names = ("label", "algorithm", "env", "seed", "total_timesteps")
        return {name: getattr(self, name) for name in names} | {"arguments": dict(self.arguments)}

    def _config(self, model: Any) -> dict[str, Any]:
        return {
            "fastpg_version": __version__,
            "algorithm": self.algorithm,
            "env": self.env,
            "total_timesteps": self.total_timesteps,
            "arguments": model.config.to_json(),
            "kernels": asdict(backends.which(model.config.backend)),
            "experiment": self._description(),
        }


class _Reporter(BaseCallback):
    """Reports the steps after every iteration."""

    def __init__(self, report: Callable[[int], None]) -> None:
        super().__init__()
        self._report = report

    def _on_rollout_start(self) -> None:
        self._report(self.model.num_timesteps)
