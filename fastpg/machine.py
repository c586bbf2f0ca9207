"""What this process may use of the machine: processors and memory, within affinity, cgroup and resource limits.

Linux says all of it; elsewhere what the system does not say counts as unlimited. Files are read anew at every call:
limits may change while a process runs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")
#: Where the hierarchies of cgroup version 2 and of one controller of version 1 are mounted.
_UNIFIED = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_CONTROLLER = "sys/fs/cgroup/{}"


def n_cores(root: Path = _ROOT) -> int:
    """Processors that this process may use at once: affinity, and CPU quota of its cgroups rounded up; at least 1.

    Args:
        root: below which ``proc`` and ``sys`` lie, to be changed by tests.
    """
    n_allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return n_allowed if quota == math.inf else max(1, min(n_allowed, math.ceil(quota)))


def cpu_quota(root: Path = _ROOT) -> float:
    """Processor seconds per second that the cgroups of this process grant; infinity without a limit."""
    quota = math.inf
    for directory in _cgroups(root, "cpu"):
        limit, _, period = _text(directory / "cpu.max").partition(" ")
        if not limit:
            limit, period = _text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us")
        with suppress(ValueError, ZeroDivisionError):  # no such file, or "max"
            granted = int(limit) / int(period)
            quota = min(quota, granted if granted > 0 else math.inf)  # -1: no limit
    return quota


def available_memory(root: Path = _ROOT) -> int | None:
    """Bytes that this process may still allocate; None where the system does not say.

    The least of what the machine has available with its swap space, what the cgroups leave (their file cache can be
    dropped, so it counts as free), and what ``ulimit -v`` leaves.
    """
    bounds = [*_free_of_machine(root), *_free_of_cgroups(root), *_free_of_address_space(root)]
    return max(0, min(bounds)) if bounds else None


def _free_of_machine(root: Path) -> Iterator[int]:
    lines = (line.partition(":") for line in _text(root / "proc/meminfo").splitlines())
    sizes = {name: int(value.split()[0]) * 1024 for name, _, value in lines}
    if "MemAvailable" in sizes:
        yield sizes["MemAvailable"] + sizes.get("SwapFree", 0)


def _free_of_cgroups(root: Path) -> Iterator[int]:
    for directory in _cgroups(root, "memory"):
        for limit, usage, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(ValueError):  # no such file, or "max"
                used = int(_text(directory / usage)) - _statistic(directory / "memory.stat", cache)
                yield int(_text(directory / limit)) - used


def _free_of_address_space(root: Path) -> Iterator[int]:
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        used = int((_text(root / "proc/self/statm") or "0").split()[0]) * resource.getpagesize()
        yield limit - used


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """Directories of the cgroups that this process is in, up to the root of each hierarchy.

    The path in /proc is relative to a namespace that may not be the mounted one; directories that do not exist hold no
    limits, and the root of the mount is always among them.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names == "":
            mounts = _UNIFIED
        elif controller in names.split(","):
            mounts = (_CONTROLLER.format(names), _CONTROLLER.format(controller))
        else:
            continue
        for mount in dict.fromkeys(mounts):
            inside = root / mount / path.lstrip("/")
            yield from (inside, *(parent for parent in inside.parents if parent.is_relative_to(root / mount)))


def _statistic(path: Path, name: str) -> int:
    return next((int(line.split()[1]) for line in _text(path).splitlines() if line.split()[0] == name), 0)


def _text(path: Path) -> str:
    """Contents, stripped; empty where the file cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
