"""Running many jobs in processes of their own, a few at a time.

Every job gets a fresh process (``spawn``), so that neither memory nor threads nor a crash of one touches another.
Progress and result come back through a pipe.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Protocol

from fastpg.errors import FastPGError


class Job(Protocol):
    """Something that takes a while and leaves its result on disk."""

    @property
    def title(self) -> str:
        """One line for people."""

    @property
    def size(self) -> int:
        """Amount of work, in the units that ``report`` counts."""

    def is_finished(self) -> bool:
        """Is the result there already?"""

    def execute(self, report: Callable[[int], None]) -> str:
        """Do it, calling ``report`` with the work done so far; returns one line about the result."""


@dataclass(frozen=True)
class Event:
    """What happened to the job number ``index``.

    Attributes:
        index: of the job.
        kind: of the event.
        amount: work done so far.
        text: the result or the error, at the end.
    """

    index: int
    kind: Literal["progress", "finished", "failed"]
    amount: int = 0
    text: str = ""


def run_jobs(jobs: Sequence[Job], *, n_jobs: int, on_event: Callable[[Event], None]) -> int:
    """Run all ``jobs``, at most ``n_jobs`` at a time; the others go on where one fails.

    Args:
        jobs: picklable, unless ``n_jobs`` is 1, where they run one after the other in this process.
        n_jobs: processes side by side, >= 1.
        on_event: called for every event, in this process.

    Returns:
        The number of jobs that failed.
    """
    failed: set[int] = set()

    def handle(event: Event) -> None:
        if event.kind == "failed":
            failed.add(event.index)
        on_event(event)

    if n_jobs == 1:
        for index, job in enumerate(jobs):
            run_job(index, job, handle)
    else:
        _run_in_processes(jobs, n_jobs, handle)
    return len(failed)


def run_job(index: int, job: Job, send: Callable[[Event], None]) -> None:
    """Run ``job``, sending its events; an exception is an event too."""
    try:
        text = job.execute(lambda amount: send(Event(index, "progress", amount)))
    except (FastPGError, OSError, ImportError) as error:
        send(Event(index, "failed", text=str(error)))
    except Exception:  # noqa: BLE001 - the other jobs shall go on, whatever it was
        send(Event(index, "failed", text=traceback.format_exc()))
    else:
        send(Event(index, "finished", job.size, text))


def _run_in_processes(jobs: Sequence[Job], n_jobs: int, handle: Callable[[Event], None]) -> None:
    context = multiprocessing.get_context("spawn")
    waiting = list(enumerate(jobs))[::-1]
    running: dict[Any, tuple[int, Any]] = {}  # connection -> (index, process)
    ended: set[int] = set()
    try:
        while waiting or running:
            while waiting and len(running) < n_jobs:
                index, job = waiting.pop()
                ours, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(index, job, sender), daemon=True)
                process.start()
                sender.close()  # ours; the end of the process is then the end of the pipe
                running[ours] = (index, process)
            for ready in wait(list(running)):
                receiver: Any = ready
                try:
                    event = receiver.recv()
                    ended |= {event.index} if event.kind != "progress" else set()
                    handle(event)
                except EOFError:
                    index, process = running.pop(receiver)
                    process.join()
                    if index not in ended:
                        handle(Event(index, "failed", text=f"its process ended with exit code {process.exitcode}"))
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _work(index: int, job: Job, sender: Connection) -> None:
    """What a process does; Ctrl-C reaches the parent too, which says so."""
    try:
        run_job(index, job, sender.send)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        sender.close()
