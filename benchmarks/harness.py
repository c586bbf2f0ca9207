"""What a benchmark is: one workload, several contenders, one check that they all computed the same thing."""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastpg.bench.timing import Run
from fastpg.kernels import backends


@dataclass(frozen=True)
class Contender:
    """Somebody who can do the work.

    Attributes:
        name: as it appears in tables, for example ``fastpg native`` or ``stable-baselines3``.
        prepare: builds everything up to the first call; returns the function to be timed.
        requires: module that must be importable; None for fastpg itself.
        environment: module that the environment needs; None if Gymnasium alone has it.
        backend: fastpg's kernel implementation, empty for the peers.
    """

    name: str
    prepare: Callable[[], Run]
    requires: str | None = None
    environment: str | None = None
    backend: str = ""

    def missing(self) -> str | None:
        """Why this contender cannot run here, or None."""
        for module in (self.requires, self.environment):
            if module is not None and importlib.util.find_spec(module) is None:
                return f"{module} is not installed (pip install 'fastpg[peers]')"
        if self.backend and self.backend not in backends.available():
            return f"backend {self.backend} is not available (have: {', '.join(backends.available())})"
        return None


@dataclass(frozen=True)
class Workload:
    """One thing to be done, by each contender.

    Attributes:
        group: ``updates``, ``acting``, ``rollouts``, ``training`` or ``kernels``.
        name: identifies it, for example ``ppo_update-cartpole-64``.
        title: for the table.
        unit: what one unit of work is, for example ``minibatch``.
        n_units: units in one call.
        contenders: fastpg first.
        check: raises unless the result of a contender's first call is right.
        flops: floating-point operations that fastpg does in one call, 0 if that says nothing.
        n_bytes: bytes read and written in one call at least, 0 if that says nothing.
        rounds: calls to be timed; 0 lets the harness choose.
        is_rate: report units per second instead of time per unit.
    """

    group: str
    name: str
    title: str
    unit: str
    n_units: int
    contenders: tuple[Contender, ...]
    check: Callable[[Any], None]
    flops: float = 0.0
    n_bytes: float = 0.0
    rounds: int = 0
    is_rate: bool = False


def pin_to_one_core() -> int | None:
    """Bind this process to the last of its cores; None where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def seconds_per_call(runs: Mapping[str, Run], *, rounds: int = 0) -> dict[str, float]:
    """Median time of a call of each of ``runs``, which take turns, so that all see the same moods of the machine.

    ``rounds`` counts single calls of each; 0 means 25 turns of a few hundredths of a second.
    """
    n_calls = {name: 1 if rounds else _calls_within(run, 0.03) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds or 25):
        for name, run in runs.items():
            times[name].append(_time_calls(run, n_calls[name]) / n_calls[name])
    return {name: statistics.median(values) for name, values in times.items()}


def _calls_within(run: Run, seconds: float) -> int:
    """How many calls of ``run`` take about ``seconds``, at least one; not counting one that may compile."""
    run()
    n_calls = 1
    while (elapsed := _time_calls(run, n_calls)) < seconds / 4:
        n_calls *= 4
    return max(1, round(n_calls * seconds / elapsed))


def _time_calls(run: Run, n_calls: int) -> float:
    start = time.perf_counter()
    for _ in range(n_calls):
        run()
    return time.perf_counter() - start
