"""What the commands print: on a ``rich`` console for people, as one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from fastpg.kernels import backends

if TYPE_CHECKING:
    from rich.console import Console

    from fastpg.training.evaluation import EvaluationResult


def make_console(*, is_json: bool, is_quiet: bool) -> Console:
    """The console for people: standard error where standard output is for a program."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=is_json, quiet=is_quiet, highlight=False, soft_wrap=True)


def print_json(values: Mapping[str, Any]) -> None:
    """Print ``values`` as one JSON object on standard output."""
    click.echo(json.dumps(values, indent=2, allow_nan=False))


def evaluation_text(result: EvaluationResult) -> str:
    """``mean return 498.2 ± 3.1 over 20 episodes (mean length 498 steps)``, and the rate of successes, if any."""
    episodes = "1 episode" if result.n_episodes == 1 else f"{result.n_episodes} episodes"
    text = f"mean return {result.mean_return:.1f} ± {result.std_return:.1f} over {episodes}"
    if result.successes is not None:
        text += f", {result.successes.mean():.0%} successful"
    return f"{text} (mean length {result.lengths.mean():.0f} steps)"


def backend_text(backend: str | None, n_threads: int) -> str:
    """The kernels in use: ``native kernels (avx2; GCC 12.2), 2 threads``, and what one should know of them."""
    info = backends.which(backend)
    threads = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    note = f"; {info.note}" if info.note else ""
    return f"{info.name} kernels ({info.isa}; {info.compiler}), {threads}{note}"


def why_not_fastest(backend: str | None) -> str | None:
    """Why the fastest kernels are not what runs; None if they are."""
    name, fastest = backend or backends.default(), backends.NAMES[0]
    if name == fastest:
        return None
    return backends.missing().get(fastest) or f"the {name} kernels were asked for, {fastest} ones are there"
