"""The figures of ``fastpg bench`` by name: times, fractions of the peak, for one thread and for two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastpg.bench import machine
from fastpg.bench.peers import PEERS
from fastpg.bench.tasks import SHORT, Run, Task, WrongResultError
from fastpg.bench.timing import N_TURNS, TURN_SECONDS, Times, take_turns

PEAK_SECONDS = 0.002
THREADS = (1, 2)
N_PEER_TURNS = 15
PEER_TURN_SECONDS = 0.02
FASTPG = "fastpg"
PEER_ERRORS = (WrongResultError, ImportError, AttributeError, TypeError, ValueError, RuntimeError)
PEAK_NAME = "fma_peak_gflops"


@dataclass(frozen=True)
class Measured:
    """The tasks on some number of threads.

    Attributes:
        times: task -> seconds per call.
        peak: GFLOP/s of multiply-adds, the best of all turns; None without the native extension.
        cores: that the threads were bound to.
    """

    times: dict[str, Times]
    peak: float | None
    cores: list[int]


@dataclass
class Figures:
    """Name -> value, None where it could not be measured, with the reason under the same name."""

    values: dict[str, float | None] = field(default_factory=dict)
    medians: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float | None, reason: str | None = None) -> None:
        """Record one figure, rounded to four digits."""
        self.values[name] = None if value is None else float(f"{value:.4g}")
        if value is None and reason is not None:
            self.reasons[name] = reason


def suffix(n_threads: int) -> str:
    """Of the names of the figures: nothing for one thread, ``_2t`` for two."""
    return "" if n_threads == 1 else f"_{n_threads}t"


def measure(
    tasks: Sequence[Task],
    *,
    backend: str | None,
    n_threads: int,
    cores: list[int],
) -> Measured:
    """Check every task once, then time all of them in turns, the peak before each turn.

    Raises:
        WrongResultError: a kernel computed something else than the reference.
    """
    peaks: list[float] = []
    has_peak = machine.why_no_peak() is None

    def measure_peak() -> None:
        if has_peak:
            peaks.append(machine.fma_peak_gflops(PEAK_SECONDS, n_threads=n_threads))

    with machine.pinned(cores):
        runs = {task.name: checked(task, backend, n_threads) for task in tasks}
        times = take_turns(runs, n_turns=N_TURNS, turn_seconds=TURN_SECONDS, between=measure_peak)
    return Measured(times, max(peaks, default=None), cores)


def checked(task: Task, backend: str | None, n_threads: int) -> Run:
    """The function to be timed, whose first result was right."""
    run = task.prepare(backend=backend, n_threads=n_threads)
    task.check(run())
    return run


def fraction_of_peak(task: Task, seconds_per_call: float, peak_gflops: float) -> float:
    """Rate of the operations that the kernel does over the peak."""
    return task.flops * task.n_units / seconds_per_call / 1e9 / peak_gflops


def add_figures(figures: Figures, tasks: Sequence[Task], n_threads: int, measured: Measured | None, why: str) -> None:
    """The names of one number of threads; all None because of ``why`` if nothing was measured."""
    end = suffix(n_threads)
    peak = None if measured is None else measured.peak
    why_no_peak = why if measured is None else machine.why_no_peak()
    figures.add(PEAK_NAME + end, peak, why_no_peak)
    for task in tasks:
        seconds = None if measured is None else measured.times[task.name].best
        figures.add(f"{task.name}_us{end}", None if seconds is None else seconds / task.n_units * 1e6, why)
        if measured is not None:
            median = measured.times[task.name].median / task.n_units * 1e6
            figures.medians[f"{task.name}_us{end}"] = float(f"{median:.4g}")
        if task.flops:
            share = fraction_of_peak(task, seconds, peak) if seconds and peak else None
            figures.add(f"{task.name}_peak_fraction{end}", share, why_no_peak)
            if task.plain_flops:
                plain = None if share is None else share * task.plain_flops / task.flops
                figures.add(f"{task.name}_plain_peak_fraction{end}", plain, why_no_peak)


def compare(tasks: Sequence[Task], *, backend: str | None, core: int) -> dict[str, Any]:
    """Every installed peer on the tasks it can do, in turns with fastpg, one thread each, pinned to ``core``.

    Returns:
        Peer -> ``version``, ``<task>_us`` and ``<task>_ratio``, its median over fastpg's, or why there is none under
        the name of the task; or ``missing``, why the peer was not measured.
    """
    found: dict[str, Any] = {
        p.name: {"missing": p.missing()} if p.missing() else {"version": p.version()} for p in PEERS
    }
    with machine.pinned([core]):
        for task in tasks:
            runs = {}
            for peer in PEERS:
                if "version" in found[peer.name] and task.kind in peer.modules:
                    try:
                        runs[peer.name] = peer.prepare(task)
                        task.check(runs[peer.name]())
                    except PEER_ERRORS as error:  # of a version that we do not know: leave it out, and say why
                        runs.pop(peer.name, None)
                        found[peer.name][task.name] = f"{type(error).__name__}: {error}"
            if runs:
                _add_ratios(found, task, {**runs, FASTPG: checked(task, backend, 1)})
    return found


def _add_ratios(found: dict[str, Any], task: Task, runs: dict[str, Run]) -> None:
    """Time the contenders at ``task`` and record the peers': medians, since a short call is left alone more often."""
    times = take_turns(runs, n_turns=N_PEER_TURNS, turn_seconds=PEER_TURN_SECONDS)
    for name in runs.keys() - {FASTPG}:
        microseconds = times[name].median / task.n_units * 1e6
        found[name][f"{task.name}_us"] = float(f"{microseconds:.4g}")
        found[name][f"{task.name}_ratio"] = float(f"{times[name].median / times[FASTPG].median:.4g}")


def collect(*, backend: str | None = None, tasks: Sequence[Task] = SHORT, has_peers: bool = True) -> dict[str, Any]:
    """Measure ``tasks`` on one thread, on two, and beside the peers: all that ``fastpg bench --json`` prints.

    The larger number of threads comes first: the threads of the pool inherit the cores of the thread that starts them.
    """
    report = machine.describe(backend)
    figures, used = Figures(), {}
    for n_threads in sorted(THREADS, reverse=True):
        cores = machine.separate_cores(n_threads)
        measured, why = None, ""
        if cores is None:
            why = f"{n_threads} separate cores are needed, and this process may use {len(machine.usable_cores())}"
        else:
            measured = measure(tasks, backend=backend, n_threads=n_threads, cores=cores)
            used[str(n_threads)] = cores
        add_figures(figures, tasks, n_threads, measured, why)
    ordered = sorted(figures.values, key=lambda name: name.endswith(suffix(2)))
    return {
        **{name: figures.values[name] for name in ordered},
        **report,
        "threads": list(THREADS),
        "pinned_to": used,
        "medians_us": {name.removesuffix("_us"): value for name, value in figures.medians.items()},
        "peers": compare(tasks, backend=backend, core=used["1"][0]) if has_peers else {},
        "flops": {task.name: task.flops for task in tasks if task.flops},
        "not_measured": figures.reasons,
    }
