"""``fastpg bench``: how fast the kernels are on this machine, beside its peak."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastpg.bench import guard
from fastpg.bench.report import collect, suffix
from fastpg.bench.tasks import SHORT, Task
from fastpg.cli.app import CONTEXT, as_it_is
from fastpg.cli.output import make_console, print_json
from fastpg.kernels import backends

if TYPE_CHECKING:
    from rich.console import Console


@click.command(context_settings=CONTEXT, epilog=as_it_is("Example:  fastpg bench --json > bench.json"))
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
@click.option("--backend", type=click.Choice(backends.NAMES), help="Kernels to measure.  [default: the fastest]")
@click.option("--peers/--no-peers", default=True, help="Also measure what is installed of the peers.  [default: peers]")
@click.option(
    "--check",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Measure the kernels only and fail if their share of the peak is more than 25 % below the one in this file.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the kernels' shares of the peak into this file, under the instruction set in use.",
)
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
def bench(
    *, is_json: bool, backend: str | None, peers: bool, check: Path | None, record: Path | None, debug: bool
) -> None:
    """Measure the kernels on one thread and on two, as times and as fractions of the machine's peak.

    Every result is compared with the reference before it is timed. Takes less than a minute; leave the machine alone
    meanwhile.
    """
    del debug  # read from the arguments by main
    if sum((is_json, check is not None, record is not None)) > 1:
        raise click.UsageError("--json, --check and --record each do something else: give one of them.")
    if check is not None:
        _check(check, backend)
        return
    if record is not None:
        for name, fraction in guard.record(record, backend=backend).items():
            click.echo(f"{name}: {fraction:.1%} of the peak")
        return
    report = collect(backend=backend, has_peers=peers)
    if is_json:
        print_json(report)
    else:
        _print(report)


def _check(path: Path, backend: str | None) -> None:
    """Print how every kernel stands; raise if one is too slow."""
    verdict = guard.check(path, backend=backend)
    if verdict.skipped:
        click.echo(f"Not checked: {verdict.skipped}.")
        return
    for name, fraction in verdict.measured.items():
        expected = verdict.committed[name]
        mark = "  TOO SLOW" if name in verdict.too_slow else ""
        click.echo(f"{name}: {fraction:.1%} of the peak, committed for {verdict.isa}: {expected:.1%}{mark}")
    if verdict.too_slow:
        raise guard.RegressionError(
            f"{', '.join(verdict.too_slow)}: expected at least {1 - guard.ALLOWED_LOSS:.0%} of the committed share of "
            f"the peak, got less in each of {guard.N_ATTEMPTS} attempts. Fix: find what made it slower; if that is "
            f"meant to be, write new figures with fastpg bench --record {path}."
        )


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415

    console = make_console(is_json=False, is_quiet=False)
    console.print(f"{report['cpu']}, {report['cores']} cores; fastpg {report['versions']['fastpg']}", end="")
    console.print(f" ({report['backend']}, {report['isa']}; {report['compiler']})")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for title in ("1 thread", "of peak", "2 threads", "of peak"):
        table.add_column(title, justify="right")
    peaks = [report[f"fma_peak_gflops{suffix(n)}"] for n in (1, 2)]
    cells = [cell for peak in peaks for cell in (f"{peak:.0f} GFLOP/s" if peak else "", "")]
    table.add_row("Peak of fused multiply-adds", *cells)
    for task in SHORT:
        table.add_row(task.title, *_cells(report, task, 1), *_cells(report, task, 2))
    console.print(table)
    shapes = dict.fromkeys(task.shape for task in SHORT if task.flops)
    tasks = (f"{shape}: {', '.join(t.name for t in SHORT if t.shape == shape)}" for shape in shapes)
    console.print("\n".join(["float32, 64x64 tanh networks", *tasks]), style="dim")
    _print_peers(console, report["peers"])
    for reason in dict.fromkeys(report["not_measured"].values()):
        console.print(f"Not measured: {reason}", style="yellow")


def _print_peers(console: Console, peers: dict[str, Any]) -> None:
    """How many times as long every peer takes, one thread each."""
    from rich.table import Table  # noqa: PLC0415

    present = {name: figures for name, figures in peers.items() if "missing" not in figures}
    if present:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("\nTimes as long, one thread each")
        for name, figures in present.items():
            table.add_column(f"{name}\n{figures['version']}", justify="right")
        for task in SHORT:
            ratios = [figures.get(f"{task.name}_ratio") for figures in present.values()]
            if any(ratios):
                table.add_row(task.title, *("" if ratio is None else f"{ratio:.3g}x" for ratio in ratios))
        console.print(table)
    for name, figures in peers.items():
        if "missing" in figures:
            console.print(f"Not compared: {figures['missing']}", style="yellow")
        for task in SHORT:
            if task.name in figures:
                console.print(f"Not compared: {name}, {task.title}: {figures[task.name]}", style="yellow")


def _cells(report: dict[str, Any], task: Task, n_threads: int) -> tuple[str, str]:
    """Time and fraction of the peak, empty where there is none."""
    microseconds = report[f"{task.name}_us{suffix(n_threads)}"]
    fraction = report.get(f"{task.name}_peak_fraction{suffix(n_threads)}")
    return duration(microseconds), "" if fraction is None else f"{fraction:.0%}"


def duration(microseconds: float | None) -> str:
    """``59.4 µs``, ``1.98 ms``, empty for None."""
    if microseconds is None:
        return ""
    return f"{microseconds:.3g} µs" if microseconds < 1000 else f"{microseconds / 1000:.3g} ms"
