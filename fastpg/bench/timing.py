"""The clock: pieces of work take turns with each other and with the peak of the machine: all see the same moods.

A turn runs a piece for a few milliseconds. The figure is the best turn: other processes can only make a turn slower,
and the best of many is what the kernel does on this machine when left alone. The median says how busy it was.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[], Any]
Clock = Callable[[], float]

TURN_SECONDS = 0.003  # long against the clock and a call, short against a time slice of the scheduler
N_TURNS = 60


@dataclass(frozen=True)
class Times:
    """Seconds per call of one piece, one value per turn."""

    turns: Sequence[float]

    @property
    def best(self) -> float:
        """The fastest turn."""
        return min(self.turns)

    @property
    def median(self) -> float:
        """The turn in the middle."""
        return statistics.median(self.turns)


def take_turns(
    runs: Mapping[str, Run],
    *,
    n_turns: int = N_TURNS,
    turn_seconds: float = TURN_SECONDS,
    between: Callable[[], None] = lambda: None,
    clock: Clock = time.perf_counter,
) -> dict[str, Times]:
    """Time each of ``runs`` in ``n_turns`` turns.

    Args:
        runs: name -> call. All have been called before.
        n_turns: of each, >= 1.
        turn_seconds: about how long a turn is; at least one call.
        between: called before every turn.
        clock: seconds.

    Returns:
        Name -> seconds per call, turn by turn.
    """
    n_calls = {name: _calls_within(run, turn_seconds, clock) for name, run in runs.items()}
    turns: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_turns):
        for name, run in runs.items():
            between()
            run()  # wakes threads and fills the cache
            turns[name].append(_time_calls(run, n_calls[name], clock) / n_calls[name])
    return {name: Times(values) for name, values in turns.items()}


def _calls_within(run: Run, seconds: float, clock: Clock) -> int:
    """How many calls of ``run`` take about ``seconds``, at least one."""
    n_calls = 1
    while (elapsed := _time_calls(run, n_calls, clock)) < seconds / 4:
        n_calls *= 4
    return max(1, round(n_calls * seconds / elapsed))


def _time_calls(run: Run, n_calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(n_calls):
        run()
    return clock() - start
