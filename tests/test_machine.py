"""What a process may use of the machine, read from made-up /proc and /sys trees."""

import math
import os
import resource
import subprocess
import sys

import pytest

from fastpg import machine

MIB = 2**20


def _write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    return root


UNIFIED = {"proc/self/cgroup": "0::/user/job"}
SPLIT = {"proc/self/cgroup": "5:memory:/job\n3:cpu,cpuacct:/job\n0::/"}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        (UNIFIED, math.inf),
        (UNIFIED | {"sys/fs/cgroup/user/job/cpu.max": "max 100000"}, math.inf),
        (UNIFIED | {"sys/fs/cgroup/user/job/cpu.max": "150000 100000"}, 1.5),
        (UNIFIED | {"sys/fs/cgroup/unified/user/job/cpu.max": "50000 100000"}, 0.5),
        (
            UNIFIED | {"sys/fs/cgroup/user/cpu.max": "70000 100000", "sys/fs/cgroup/user/job/cpu.max": "200000 100000"},
            0.7,
        ),
        (UNIFIED | {"sys/fs/cgroup/cpu.max": "300000 100000"}, 3.0),  # inside of a container
        (UNIFIED | {"sys/fs/cgroup/user/job/cpu.max": "nonsense"}, math.inf),
        (
            SPLIT
            | {
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        (
            SPLIT
            | {
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "90000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            0.9,
        ),
    ],
)
def test_cpu_quota(tmp_path, files, quota):
    assert machine.cpu_quota(_write(tmp_path, files)) == pytest.approx(quota)


def test_cores_are_bounded_by_affinity_and_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    path = UNIFIED | {"sys/fs/cgroup/user/job/cpu.max": "150000 100000"}
    assert machine.n_cores(tmp_path) == 6
    assert machine.n_cores(_write(tmp_path, path)) == 2  # rounded up
    path["sys/fs/cgroup/user/job/cpu.max"] = "1000 100000"
    assert machine.n_cores(_write(tmp_path, path)) == 1
    path["sys/fs/cgroup/user/job/cpu.max"] = "900000 100000"
    assert machine.n_cores(_write(tmp_path, path)) == 6


@pytest.mark.parametrize(
    ("files", "bound"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 4096 kB\nMemAvailable:    2048 kB"}, 2 * MIB),
        ({"proc/meminfo": "MemAvailable:  2048 kB\nSwapFree: 1024 kB\nHugePages_Total:   0"}, 3 * MIB),
        (
            UNIFIED
            | {
                "proc/meminfo": "MemAvailable:  1048576 kB",
                "sys/fs/cgroup/user/job/memory.max": str(100 * MIB),
                "sys/fs/cgroup/user/job/memory.current": str(90 * MIB),
                "sys/fs/cgroup/user/job/memory.stat": f"anon 5\ninactive_file {30 * MIB}",
            },
            40 * MIB,
        ),
        (
            UNIFIED
            | {
                "sys/fs/cgroup/user/job/memory.max": "max",
                "sys/fs/cgroup/user/job/memory.current": str(90 * MIB),
                "sys/fs/cgroup/user/memory.max": str(64 * MIB),
                "sys/fs/cgroup/user/memory.current": str(95 * MIB),
            },
            0,
        ),
        (
            SPLIT
            | {
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(50 * MIB),
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(20 * MIB),
                "sys/fs/cgroup/memory/job/memory.stat": "total_inactive_file 0",
            },
            30 * MIB,
        ),
    ],
)
def test_available_memory(tmp_path, files, bound):
    assert machine.available_memory(_write(tmp_path, files)) == bound


def test_address_space_limit_bounds_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (512 * MIB, resource.RLIM_INFINITY))
    statm = {"proc/self/statm": f"{100 * MIB // resource.getpagesize()} 10 3"}
    assert machine.available_memory(_write(tmp_path, statm)) == 412 * MIB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_this_machine():
    assert 1 <= machine.n_cores() <= len(os.sched_getaffinity(0))
    assert machine.available_memory() > 10 * MIB


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity")
def test_affinity_of_a_process_bounds_its_threads():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "import fastpg, fastpg.machine as m; print(m.n_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
