"""``fastpg experiment <name>``: run an experiment of the documentation, write CSV and PNG."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastpg.cli.app import CONTEXT, EXIT_ERROR, as_it_is, plain_warnings
from fastpg.cli.options import WholeNumber
from fastpg.cli.output import make_console
from fastpg.experiments.experiment import Options, finished_jobs, pending_jobs
from fastpg.experiments.jobs import Event, Job, run_jobs
from fastpg.experiments.registry import EXPERIMENTS
from fastpg.experiments.settings import SETTINGS
from fastpg.machine import n_cores

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_SUMMARIES = "\n\n".join(f"  {name}: {experiment.summary}" for name, experiment in EXPERIMENTS.items())


def _names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """``a,b`` as a tuple."""
    del ctx, parameter
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(
    context_settings=CONTEXT,
    help=f"Run the experiment NAME and write CSV and PNG; runs that are finished are not repeated.\n\n{_SUMMARIES}",
    epilog=as_it_is("Example:  fastpg experiment lunarlander --seeds 5 --n-jobs 2"),
)
@click.argument("name", type=click.Choice(list(EXPERIMENTS)))
@click.option("--seeds", type=WholeNumber(minimum=1), default=5, show_default=True, help="Runs of each kind.")
@click.option(
    "--total-timesteps", type=WholeNumber(), help="Steps of each run (tabular: iterations).  [default: each task's own]"
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Results.  [default: experiments/NAME]")
@click.option("--n-jobs", type=WholeNumber(minimum=1), help="Processes side by side.  [default: all cores]")
@click.option("--members", callback=_names, metavar="A,B,...", help="Algorithms or lines to run.  [default: all]")
@click.option("--tasks", callback=_names, metavar="A,B,...", help="Environments to run.  [default: all]")
@click.option(
    "--settings",
    type=click.Choice(SETTINGS),
    default=SETTINGS[0],
    show_default=True,
    help="rl-baselines3-zoo's settings, or every algorithm's defaults with 8 environments.",
)
@click.option("--overwrite", is_flag=True, help="Repeat what is finished.")
@click.option("--plot-only", is_flag=True, help="Draw what is finished, run nothing.")
@click.option("--quiet", "-q", is_flag=True, help="Print the results only.")
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
def experiment(name: str, **given: Any) -> int:
    """Plan, run what is not finished, draw."""
    if given["plot_only"] and given["overwrite"]:
        raise click.UsageError("--plot-only runs nothing and --overwrite repeats what is finished: give one of them.")
    options = Options(
        out=given["out"] or Path("experiments") / name,
        n_seeds=given["seeds"],
        total_timesteps=given["total_timesteps"],
        settings=given["settings"],
        members=given["members"],
        tasks=given["tasks"],
    )
    console = make_console(is_json=False, is_quiet=given["quiet"])
    jobs = EXPERIMENTS[name].plan(options)
    pending = [] if given["plot_only"] else pending_jobs(jobs, overwrite=given["overwrite"])
    with plain_warnings():
        n_failed = _run(pending, given["n_jobs"] or n_cores(), console, n_planned=len(jobs))
    finished = finished_jobs(jobs)
    if not finished:
        click.secho(f"Error: no run of {name} is finished in {options.out}.", err=True, fg="red")
        return EXIT_ERROR
    for path in EXPERIMENTS[name].draw(options, finished):
        click.echo(f"Saved {path}")
    return EXIT_ERROR if n_failed else 0


def _run(jobs: Sequence[Job], n_jobs: int, console: Console, *, n_planned: int) -> int:
    """Run ``jobs`` with a progress display; returns how many failed."""
    if len(jobs) < n_planned:
        console.print(f"{n_planned - len(jobs)} of {n_planned} runs are not run: finished already, or --plot-only.")
    if not jobs:
        return 0
    with Display(jobs, console) as display:
        return run_jobs(jobs, n_jobs=min(n_jobs, len(jobs)), on_event=display.show)


class Display:
    """A line per ended job, and, on a terminal, a bar per running job and one for all.

    Args:
        jobs: that are run.
        console: to write to; errors go to standard error.
    """

    def __init__(self, jobs: Sequence[Job], console: Console) -> None:
        self._jobs, self._console = jobs, console
        self._n_ended = 0
        self._begun = time.monotonic()
        self._progress: Progress | None = None
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> Display:
        if self._console.is_terminal and not self._console.quiet:
            from rich import progress as bars  # noqa: PLC0415

            self._progress = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(bar_width=30),
                bars.TaskProgressColumn(),
                bars.TimeElapsedColumn(),
                bars.TextColumn("left"),
                bars.TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._all = self._progress.add_task("[bold]all runs", total=sum(job.size for job in self._jobs))
            self._amounts = [0] * len(self._jobs)
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, event: Event) -> None:
        """Bring the display to ``event``."""
        job = self._jobs[event.index]
        if self._progress is not None:
            self._move_bars(event, job)
        if event.kind == "progress":
            return
        self._n_ended += 1
        count = f"[{self._n_ended}/{len(self._jobs)}, {time.monotonic() - self._begun:.0f} s]"
        if event.kind == "finished":
            self._console.print(f"{count} {job.title}: {event.text}", markup=False)
        else:
            click.secho(f"{count} {job.title} failed: {event.text}", err=True, fg="red")

    def _move_bars(self, event: Event, job: Job) -> None:
        progress = self._progress
        if progress is None:
            return
        self._amounts[event.index] = job.size if event.kind == "failed" else event.amount
        progress.update(self._all, completed=sum(self._amounts))
        if event.kind == "progress":
            if event.index not in self._bars:
                self._bars[event.index] = progress.add_task(job.title, total=job.size)
            progress.update(self._bars[event.index], completed=event.amount)
        elif event.index in self._bars:
            progress.remove_task(self._bars.pop(event.index))
