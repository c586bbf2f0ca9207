"""What the measurements were made on, and with."""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

from fastpg.bench import machine


@cache
def fma_peak_gflops() -> float | None:
    """Single-thread float32 peak of fused multiply-adds; None without the native extension."""
    if machine.why_no_peak() is not None:
        return None
    return max(machine.fma_peak_gflops(0.05) for _ in range(5))


@cache
def describe() -> dict[str, Any]:
    """Everything that a figure depends on and that can be asked for."""
    return machine.describe(None) | {"threads": 1, "fma_peak_gflops": fma_peak_gflops()}


def commit_text() -> str:
    """``, commit 0123456789``, with ``+`` for changes since; empty where there is none."""
    commit = describe()["commit"]
    return f", commit {commit[:10]}" + ("+" if commit.endswith("+") else "") if commit else ""


def header(core: int | None) -> list[str]:
    """The same in lines to be read."""
    info = describe()
    build = f"{info['backend']}, {info['isa']}, {info['compiler']}"
    where = "not pinned" if core is None else f"pinned to core {core}"
    others = ", ".join(f"{name} {version}" for name, version in info["versions"].items() if name != "fastpg")
    lines = [
        f"{info['cpu']}, {platform.system()}, Python {platform.python_version()}, one thread, {where}",
        f"fastpg {info['versions']['fastpg']} ({build}{commit_text()}); {others}",
    ]
    if info["fma_peak_gflops"]:
        lines.append(f"Peak of fused multiply-adds on this core, float32: {info['fma_peak_gflops']:.0f} GFLOP/s")
    return lines
