"""What the measurements are made on, and with."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import fastpg
from fastpg.kernels import backends
from fastpg.version import __version__

PACKAGES = (
    "numpy",
    "numba",
    "gymnasium",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "sbx-rl",
    "jax",
    "tianshou",
    "rltools",
)
_CPUS = Path("/sys/devices/system/cpu")


def describe(backend: str | None) -> dict[str, Any]:
    """Everything that a figure depends on and that can be asked for; JSON-able."""
    which = backends.which(backend)
    return {
        "cpu": cpu_name(),
        "cores": len(usable_cores()),
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            "governor": _text(_CPUS / "cpu0/cpufreq/scaling_governor"),
        },
        "backend": which.name,
        "isa": which.isa,
        "compiler": which.compiler,
        "flags": which.flags,
        "versions": {"fastpg": __version__} | versions(),
        "commit": commit(),
    }


def cpu_name() -> str:
    """Model name of the processor."""
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of what is installed and can have an influence, peers included."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit() -> str | None:
    """Of the repository that ``fastpg`` is imported from, with ``+`` if files were changed; None if it is installed."""
    root = Path(fastpg.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    revision = _git(root, "rev-parse", "HEAD")
    return revision and revision + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def why_no_peak() -> str | None:
    """Why the peak of the machine cannot be measured, or None."""
    return backends.missing().get(backends.NAMES[0])


def fma_peak_gflops(seconds: float, *, n_threads: int = 1) -> float:
    """float32 multiply-adds between registers, with the vectors of the native kernels, on ``n_threads`` at once.

    Args:
        seconds: to spend; the best fifth of a millisecond of each thread counts.
        n_threads: >= 1.

    Returns:
        Operations, two per multiply-add and lane, in 10^9 per second.
    """
    from fastpg import _native  # noqa: PLC0415  # not there without a compiler

    if n_threads == 1:
        return _native.measure_fma_peak(seconds)
    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(_native.measure_fma_peak, [seconds] * n_threads))


def usable_cores() -> list[int]:
    """Cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def separate_cores(n: int) -> list[int] | None:
    """The last ``n`` of the usable cores that are not two threads of one core; None if there are fewer."""
    chosen: list[int] = []
    taken: set[str] = set()
    for core in reversed(usable_cores()):
        siblings = _text(_CPUS / f"cpu{core}/topology/thread_siblings_list") or str(core)
        if siblings not in taken:
            taken.add(siblings)
            chosen.append(core)
    return sorted(chosen[:n]) if len(chosen) >= n else None


@contextlib.contextmanager
def pinned(cores: list[int]) -> Iterator[None]:
    """Bind this thread, and those that it starts, to ``cores``; where the system cannot, do nothing."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
