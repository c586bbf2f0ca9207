"""Compare everybody in one run, one thread, one core, and print the tables of the documentation.

    python -m benchmarks.compare                   # everything, about ten minutes with all peers installed
    python -m benchmarks.compare updates acting    # groups, or workloads whose name begins so
    python -m benchmarks.compare kernel            # every kernel alone, C++ beside Numba
    python -m benchmarks.compare --json FILE       # also store the figures; the groups of an earlier run are kept

Each figure is the median over repeated calls, after one call that is checked against fastpg's float64 reference and not
timed. The contenders of a workload take turns, so that they see the same machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastpg.bench.peers import use_one_thread

use_one_thread()

from benchmarks import harness, machine, workloads  # noqa: E402

Results = dict[str, dict[str, Any]]


def measure(workload: harness.Workload) -> dict[str, Any]:
    """What one row of a table is made from.

    Those who cannot run here are left out, and so are those who fail or whose result is wrong: ``failed`` names them.
    """
    runs: dict[str, harness.Run] = {}
    failed = []
    for contender in workload.contenders:
        reason = contender.missing()
        if reason is None:
            try:
                run = contender.prepare()
                workload.check(run())
                runs[contender.name] = run
            except Exception as error:  # noqa: BLE001  # of any library; the others shall still be measured
                failed.append(contender.name)
                reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            print(f"{workload.name}: without {contender.name}: {reason}", file=sys.stderr)
    times = harness.seconds_per_call(runs, rounds=workload.rounds)
    return {
        "group": workload.group,
        "title": workload.title,
        "unit": workload.unit,
        "is_rate": workload.is_rate,
        "flops": workload.flops / workload.n_units,
        "failed": failed,
        "seconds": {name: seconds / workload.n_units for name, seconds in times.items()},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: a row per workload, a column per contender, ratios to the first column in brackets."""
    names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        first = next(iter(row["seconds"].values()))
        cells = [_cell(row, row["seconds"].get(name), first) for name in names]
        lines.append(f"| {row['title']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any], seconds: float | None, first: float) -> str:
    if seconds is None:
        return ""
    text = f"{1 / seconds:,.0f} {row['unit']}s/s" if row["is_rate"] else duration(seconds)
    ratio = seconds / first
    return text if seconds == first else f"{text} ({ratio:,.0f}x)" if ratio >= 99.5 else f"{text} ({ratio:.3g}x)"


def duration(seconds: float) -> str:
    """``59.4 µs`` or ``1.98 ms``."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def rates(rows: list[dict[str, Any]], peak: float | None) -> list[str]:
    """Floating-point rate of fastpg in the workloads that are matrix products."""
    lines = []
    for row in rows:
        if row["flops"] and peak:
            name, seconds = next(iter(row["seconds"].items()))
            rate = row["flops"] / seconds / 1e9
            lines.append(f"{row['title']}: {name} runs at {rate:.3g} GFLOP/s, {rate / peak:.0%} of the peak.")
    return lines


def select(patterns: list[str]) -> list[harness.Workload]:
    """Groups, or names that begin with one of ``patterns``; without patterns all but the kernels alone."""
    known = (*workloads.comparisons(), *workloads.kernel_workloads())
    if not patterns:
        return list(workloads.comparisons())
    chosen = [w for w in known if w.group in patterns or w.name.startswith(tuple(patterns))]
    if not chosen:
        groups = ", ".join(dict.fromkeys(workload.group for workload in known))
        names = ", ".join(workload.name for workload in known)
        sys.exit(f"Nothing begins with {patterns}. Groups: {groups}. Workloads: {names}")
    return chosen


def store(path: Path, results: Results, core: int | None) -> None:
    """Write ``results`` into ``path``, beside the groups that are there already."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"groups": {}}
    for group in dict.fromkeys(row["group"] for row in results.values()):
        known["groups"][group] = {
            "machine": machine.describe(),
            "header": machine.header(core),
            "workloads": {name: row for name, row in results.items() if row["group"] == group},
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure the chosen workloads and print a table for each group, under a description of the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", help="groups, or beginnings of names of workloads")
    parser.add_argument("--json", type=Path, help="file to store the figures in")
    given = parser.parse_args()
    chosen = select(given.patterns)
    core = harness.pin_to_one_core()
    print(*machine.header(core), "Time per unit of work; in brackets: how many times the first column.\n", sep="\n")
    results: Results = {}
    for workload in chosen:
        row = measure(workload)
        if row["seconds"]:
            results[workload.name] = row
        if given.json is not None:
            store(given.json, results, core)
    for group in dict.fromkeys(row["group"] for row in results.values()):
        rows = [row for row in results.values() if row["group"] == group]
        print(table(rows), *rates(rows, machine.fma_peak_gflops()), sep="\n\n", end="\n\n")
    if failed := [f"{name}: {', '.join(row['failed'])}" for name, row in results.items() if row["failed"]]:
        sys.exit("Failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
