"""Who takes part: fastpg once per implementation of its kernels, and the peers, imported only when they are asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.harness import Contender
from fastpg.bench.peers import PEERS, use_one_thread
from fastpg.bench.tasks import Task
from fastpg.bench.timing import Run

FAST = ("native", "jit")


def fastpg_contenders(prepare: Callable[..., Run], *backends: str) -> tuple[Contender, ...]:
    """fastpg once per kernel implementation."""
    return tuple(Contender(f"fastpg {name}", partial(prepare, backend=name), backend=name) for name in backends or FAST)


def task_contenders(task: Task) -> tuple[Contender, ...]:
    """fastpg and everybody else who can do ``task``."""
    able = [peer for peer in PEERS if task.kind in peer.modules]
    others = (Contender(peer.name, partial(peer.prepare, task), requires=peer.requires) for peer in able)
    return (*fastpg_contenders(task.prepare), *others)


def peer(name: str, requires: str, function: str, *arguments: Any, **options: Any) -> Contender:
    """``module:function`` of benchmarks/peers; arguments that are functions are called when they are needed."""
    module, _, attribute = function.partition(":")

    def prepare() -> Run:
        use_one_thread()
        values = [argument() if callable(argument) else argument for argument in arguments]
        run: Run = getattr(importlib.import_module(module), attribute)(*values, **options)
        return run

    return Contender(name, prepare, requires=requires)
