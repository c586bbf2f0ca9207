"""``python -m benchmarks.two_builds ONE OTHER``: the tasks of ``fastpg bench`` in two builds of fastpg, in turns.

ONE and OTHER are directories that hold the package ``fastpg`` with its extension, for example two working trees. Each
has a process of its own; they take turns on every task, so that the moods of the machine reach both. Prints the best
time of each per unit of work, and the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import fastpg.bench.tasks

CALL_SECONDS = 4e-3  # of one attempt, made of as many calls as that takes
N_ATTEMPTS = 5


def serve(requests: IO[str]) -> None:
    """Answer each name of a task with the microseconds per unit of its best attempt; a wrong result is an error."""
    tasks = {task.name: task for task in fastpg.bench.tasks.SHORT}
    runs = {}
    for line in requests:
        task = tasks[line.strip()]
        if task.name not in runs:
            runs[task.name] = task.prepare(backend="native")
            task.check(runs[task.name]())
        run, attempts = runs[task.name], []
        start = time.perf_counter()
        run()
        n_calls = max(1, int(CALL_SECONDS / (time.perf_counter() - start)))
        for _ in range(N_ATTEMPTS):
            start = time.perf_counter()
            for _ in range(n_calls):
                run()
            attempts.append((time.perf_counter() - start) / n_calls)
        sys.stdout.write(f"{1e6 * min(attempts) / task.n_units}\n")
        sys.stdout.flush()


def server(directory: Path) -> subprocess.Popen[str]:
    """A process that serves the build in ``directory``, with this module."""
    return subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        env={**os.environ, "PYTHONPATH": str(directory.resolve())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen[str], name: str) -> float:
    """Microseconds of one turn of the task ``name``."""
    assert process.stdin is not None  # both are pipes
    assert process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def compare(directories: tuple[Path, Path], names: list[str], n_turns: int) -> None:
    """Print a line for every task."""
    builds = [server(directory) for directory in directories]
    for name in names:
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(n_turns):
            for i in (0, 1) if turn % 2 == 0 else (1, 0):
                times[i].append(ask(builds[i], name))
        ratio = statistics.median(other / one for one, other in zip(*times, strict=True))
        sys.stdout.write(f"{name:20} {min(times[0]):10.2f} us {min(times[1]):10.2f} us  other/one {ratio:.3f}\n")
    for build in builds:
        build.communicate()


def main() -> None:
    """Compare, or serve one of those who are compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIRECTORY")
    parser.add_argument("--tasks", nargs="+", default=[task.name for task in fastpg.bench.tasks.SHORT])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(sys.stdin)
        return
    if len(options.directories) != 2:
        parser.error("expected two directories")
    compare((options.directories[0], options.directories[1]), options.tasks, options.turns)


if __name__ == "__main__":
    main()
