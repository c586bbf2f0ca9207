"""Where the time of a kernel goes: the share of every header of ``csrc`` in the samples of ``perf``.

    cmake -S . -B build/symbols -G Ninja -DFASTPG_INPLACE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo -DFASTPG_ISAS=avx2
    cmake --build build/symbols
    python -m benchmarks.where ppo_update_b64 ppo_update_b2048 act_n1024 fvp_b2048
    python -m benchmarks.where ppo_update-256x256-64            # a workload of benchmarks.compare

Needs Linux's ``perf``, ``addr2line`` and ``readelf``, and an extension with debugging symbols. A sample belongs to the
innermost inlined function that is not in ``simd.hpp``, whose one-line wrappers of vectors serve all the others. Time
outside the extension (the interpreter, mostly while the problem is being made) is not counted.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.workloads import comparisons
from fastpg.bench.tasks import SHORT
from fastpg.bench.timing import Run

SAMPLES_PER_SECOND = 4000
#: Shares below it are left out.
LEAST_SHARE = 0.01
WRAPPERS = ("simd.hpp", "intrin.h")
_RUN = """
import sys, time
from benchmarks.where import prepared
run = prepared(sys.argv[1])
end = time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end:
    run()
"""


def names() -> list[str]:
    """What can be looked at: the tasks of ``fastpg bench`` and the workloads of ``benchmarks.compare``."""
    return [task.name for task in SHORT] + [workload.name for workload in comparisons()]


def prepared(name: str) -> Run:
    """One call of ``name``, by the native kernels."""
    for task in SHORT:
        if task.name == name:
            return task.prepare(backend="native")
    return next(workload for workload in comparisons() if workload.name == name).contenders[0].prepare()


def shares(task: str, seconds: float) -> dict[str, float]:
    """Header -> its share of the time of ``task``, largest first."""
    with tempfile.TemporaryDirectory() as directory:
        data = str(Path(directory) / "perf.data")
        record = ["perf", "record", "-q", "-o", data, "-F", str(SAMPLES_PER_SECOND)]
        _output(*record, sys.executable, "-c", _RUN, task, str(seconds))
        script = _output("perf", "script", "-i", data, "--show-mmap-events", "-F", "ip,dso,comm,event")
    library = extension()
    samples = Counter(addresses(script, library))
    headers: Counter[str] = Counter()
    for address, header in headers_of(library, list(samples)).items():
        headers[header] += samples[address]
    total = headers.total()
    if not total:
        sys.exit(f"{task}: expected samples in {library}, got none. Fix: build it with debugging symbols (see --help).")
    return {header: count / total for header, count in headers.most_common()}


def extension() -> Path:
    """The file of the compiled kernels."""
    from fastpg import _native

    return Path(_native.__file__ or "")


def addresses(script: str, library: Path) -> list[int]:
    """Of every sample in ``library``, its address as the file has it."""
    name = re.escape(library.name)
    mapped = [
        [int(number, 16) for number in match.groups()]
        for match in re.finditer(rf"MMAP2? \S+ \[(\w+)\((\w+)\) @ (\w+) .*{name}$", script, re.MULTILINE)
    ]
    segments = [
        [int(number, 16) for number in match.groups()]
        for match in re.finditer(r"LOAD +(\w+) (\w+) \w+ (\w+)", _output("readelf", "-lW", str(library)))
    ]
    result = []
    for match in re.finditer(rf"([0-9a-f]{{8,}}) \(.*{name}\)$", script, re.MULTILINE):
        place = int(match.group(1), 16)
        for start, size, offset in mapped:
            in_file = place - start + offset
            if start <= place < start + size:
                result += [in_file - at + to for at, to, length in segments if at <= in_file < at + length]
    return result


def headers_of(library: Path, places: list[int]) -> dict[int, str]:
    """Address -> file of the innermost function there that is no wrapper."""
    text = "\n".join(hex(place) for place in places)
    lines = _output("addr2line", "-a", "-f", "-i", "-e", str(library), text=text).splitlines()
    result: dict[int, str] = {}
    place = 0
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            place = int(line, 16)
            continue
        match = re.search(r"([^/]+):[\d?]+( |$)", line)
        if match and place not in result and not match.group(1).endswith(WRAPPERS):
            result[place] = match.group(1)
    return result


def _output(*command: str, text: str | None = None) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Print a table for every task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=names(), metavar="TASK")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each")
    given = parser.parse_args()
    for task in given.tasks:
        parts = [
            f"{header} {share:.0%}" for header, share in shares(task, given.seconds).items() if share >= LEAST_SHARE
        ]
        print(f"| `{task}` | {', '.join(parts)} |", flush=True)


if __name__ == "__main__":
    main()
