"""``python -m benchmarks.turns NAME ...``: how much the turns of a kernel differ, beside those of the peak.

Names are those of the tasks of ``fastpg bench`` and of the workloads of ``benchmarks.compare``. Prints the time of the
best turn per unit of work, and the fraction of the peak of multiply-adds in the best turn, at the fastest tenth, the
median and the slowest tenth of them. The peak is measured before every turn; its own row has fractions of its best.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.harness import pin_to_one_core
from benchmarks.where import names
from benchmarks.workloads import comparisons
from fastpg.bench import machine
from fastpg.bench.tasks import SHORT
from fastpg.bench.timing import Run, take_turns

PEAK_SECONDS = 2e-4  # one round of it: about as short as a turn, so that it sees the same moods
QUANTILES = (0.0, 0.1, 0.5, 0.9)  # of the time, the best turn first


def prepared(name: str) -> tuple[Run, float, int]:
    """A call by the native kernels whose result has been checked, its operations and its units of work."""
    for task in SHORT:
        if task.name == name:
            run = task.prepare(backend="native")
            task.check(run())
            return run, float(task.flops * task.n_units), task.n_units
    workload = next(workload for workload in comparisons() if workload.name == name)
    run = workload.contenders[0].prepare()
    workload.check(run())
    return run, workload.flops, workload.n_units


def quantiles(values: Sequence[float]) -> list[float]:
    """``QUANTILES`` of ``values``."""
    ordered = sorted(values)
    return [ordered[round(share * (len(ordered) - 1))] for share in QUANTILES]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=names(), metavar="NAME")
    parser.add_argument("--turns", type=int, default=300)
    given = parser.parse_args()
    pin_to_one_core()
    work = {name: prepared(name) for name in given.tasks}
    peaks: list[float] = []
    runs = {name: run for name, (run, _, _) in work.items()}
    times = take_turns(runs, n_turns=given.turns, between=lambda: peaks.append(machine.fma_peak_gflops(PEAK_SECONDS)))
    print("| | best turn | of peak | fastest tenth | median | slowest tenth |\n|---|---|---|---|---|---|")
    peak = max(peaks)
    print_row("peak", f"{peak:.3g} GFLOP/s", [1 / seconds for seconds in quantiles([peak / one for one in peaks])])
    for name, (_, flops, n_units) in work.items():
        print_row(
            f"`{name}`",
            duration(times[name].best / n_units),
            [flops / seconds / 1e9 / peak for seconds in quantiles(times[name].turns)],
        )


def duration(seconds: float) -> str:
    """``51.5 µs``."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def print_row(title: str, best: str, fractions: list[float]) -> None:
    """Fractions that are 0 say nothing."""
    print(f"| {title} | {best} | " + " | ".join(f"{x:.0%}" if x else "" for x in fractions) + " |", flush=True)


if __name__ == "__main__":
    main()
