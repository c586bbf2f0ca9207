"""What an experiment is, and what its commands choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpg.errors import ConfigError
from fastpg.experiments.jobs import Job


@dataclass(frozen=True, kw_only=True)
class Options:
    """The choices of the command line.

    Attributes:
        out: directory of the results.
        n_seeds: runs of each kind, with the seeds 0, 1, ...; for tabular, random MDPs.
        total_timesteps: instead of each task's own number; for tabular, iterations.
        settings: ``zoo`` or ``defaults``.
        members: labels or algorithms to run; empty means all.
        tasks: environments to run; empty means all.
    """

    out: Path
    n_seeds: int = 5
    total_timesteps: int | None = None
    settings: str = "zoo"
    members: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    @property
    def runs(self) -> Path:
        """Where the jobs leave their results."""
        return self.out / "runs"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A plan and a drawing.

    Attributes:
        summary: one line of help.
        plan: the jobs; ConfigError for options that do not fit.
        draw: writes CSV and pictures from the finished jobs, which are given; returns the paths.
    """

    summary: str
    plan: Callable[[Options], Sequence[Job]]
    draw: Callable[[Options, Sequence[Any]], list[Path]]


def pending_jobs(jobs: Sequence[Job], *, overwrite: bool) -> list[Job]:
    """The jobs that are still to be run: all of them, or those that are not finished.

    Raises:
        ConfigError: a finished job had other settings, and ``overwrite`` is False.
    """
    return [job for job in jobs if overwrite or not job.is_finished()]


def finished_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have left a result."""

    def is_finished(job: Job) -> bool:
        try:
            return job.is_finished()
        except ConfigError:
            return False

    return [job for job in jobs if is_finished(job)]
