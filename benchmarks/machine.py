"""What the measurements were made on, and with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import fastpg
from fastpg.kernels import backends

PEERS = ("stable-baselines3", "sb3-contrib", "torch", "jax", "gymnasium", "numpy")


@cache
def fma_peak_gflops() -> float | None:
    """Single-thread float32 peak of fused multiply-adds with the vectors that the native kernels use, measured here.

    None without the native extension.
    """
    if "native" not in backends.available():
        return None
    from fastpg import _native

    return max(_native.measure_fma_peak(0.05) for _ in range(5))


def cpu_name() -> str:
    """Model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peers() -> str:
    """Installed peers with their versions."""
    versions = []
    for name in PEERS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)


@cache
def describe() -> dict[str, Any]:
    """Everything that a figure depends on and that can be asked for."""
    which = backends.which()
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "fastpg": f"fastpg {fastpg.__version__} ({which.name}, {which.isa})",
        "backend": which.name,
        "isa": which.isa,
        "compiler": which.compiler,
        "flags": which.flags,
        "peers": peers(),
        "fma_peak_gflops": fma_peak_gflops(),
    }
