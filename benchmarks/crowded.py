"""Two threads on processors that other processes want as well: what spinning would cost.

    python -m benchmarks.crowded

Prints, beside 0, 1, 2 ... other processes that only compute, the time of a whole PPO update with two threads over that
with one, median of several, in turns. On free processors it is a little more than a half. Where threads do not get
processors of their own the second one is given up, and 1 is what is left to hope for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

from benchmarks.two_trainers import seconds, updates
from fastpg import kernels

BATCH_SIZES = (64, 2048)
N_BUSY = (0, 1, 2, 4)
N_UNMEASURED = 20  # updates after which nothing is left of what the pool knows about the case before


@contextmanager
def busy_processes(n: int) -> Iterator[None]:
    """``n`` processes that compute until the end."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    """Measure every number of processes and size of minibatches."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=9)
    n_rounds = parser.parse_args().rounds
    print(f"{len(os.sched_getaffinity(0))} processors, kernels: {kernels.which().name}, {kernels.which().isa}")
    for batch_size in BATCH_SIZES:
        expected = updates(batch_size)
        works = [partial(updates, batch_size, n_threads=n_threads) for n_threads in (1, 2)]
        for n_busy in N_BUSY:
            with busy_processes(n_busy):
                for _ in range(N_UNMEASURED):
                    works[1]()
                times = [[seconds(work, 1, expected) for work in works] for _ in range(n_rounds)]
            one, two = (median(column) for column in zip(*times, strict=True))
            title = f"minibatches of {batch_size}, {n_busy} other processes"
            print(f"{title:40s} one {one * 1e3:7.1f} ms   two {two * 1e3:7.1f} ms   two/one {two / one:.2f}")


if __name__ == "__main__":
    main()
