"""Ctrl-C in the command line: an impatient second one does not cost what the first one has begun to save."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

#: Time after an interrupt in which further ones count as the same.
PATIENCE_S = 2.0


class PatientHandler:
    """A handler of SIGINT that raises KeyboardInterrupt, but not again within ``PATIENCE_S`` seconds."""

    def __init__(self) -> None:
        self._raised_at_s = -math.inf

    def __call__(self, signal_number: int, frame: Any) -> None:
        """Raise KeyboardInterrupt, or do nothing."""
        now_s = time.monotonic()
        if now_s - self._raised_at_s >= PATIENCE_S:
            self._raised_at_s = now_s
            raise KeyboardInterrupt


class HeldInterrupts:
    """A handler of SIGINT that takes note of interrupts; one ``PATIENCE_S`` seconds after the first raises.

    Attributes:
        was_interrupted: whether there was one.
    """

    def __init__(self) -> None:
        self.was_interrupted = False
        self._later = PatientHandler()

    def __call__(self, signal_number: int, frame: Any) -> None:
        """Take note, or raise KeyboardInterrupt."""
        try:
            self._later(signal_number, frame)
        except KeyboardInterrupt:
            if self.was_interrupted:
                raise
            self.was_interrupted = True


@contextlib.contextmanager
def patient_interrupts() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt once in ``PATIENCE_S`` seconds."""
    with _handled_by(PatientHandler()):
        yield


@contextlib.contextmanager
def held_interrupts() -> Iterator[HeldInterrupts]:
    """Ctrl-C does not raise, for something short that must come to its end."""
    held = HeldInterrupts()
    with _handled_by(held):
        yield held


def ignore_interrupts() -> None:
    """Ctrl-C does nothing any more: the process is about to end anyway."""
    if isinstance(signal.getsignal(signal.SIGINT), PatientHandler):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    """SIGINT is for ``handler``, unless somebody else handles or ignores it, or this is not the main thread."""
    before = signal.getsignal(signal.SIGINT)
    is_ours = before is signal.default_int_handler or isinstance(before, PatientHandler)
    if not is_ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handler:
            signal.signal(signal.SIGINT, before)
