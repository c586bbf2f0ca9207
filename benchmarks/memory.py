"""Resident memory, and seconds of CPU, of a process that trains on CartPole-v1 with the defaults of its algorithm.

    python -m benchmarks.memory

Each training has a process of its own and 6144 steps. The memory is its peak (``VmHWM`` of Linux), with Python and all
imports; the seconds are those of the whole process, so that what the Numba kernels have above the native ones is mostly
their compilation. "From its cache" repeats a training with ``FASTPG_JIT_CACHE=1``. Absent peers are left out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from fastpg.kernels import backends
from fastpg.training.loading import ALGORITHMS

N_STEPS = 3 * 2048
_MEASURE = """
import importlib, json, resource, sys
import gymnasium
library, algorithm = sys.argv[1:3]
options = {} if library == "fastpg" else {"device": "cpu"}
env = gymnasium.make("CartPole-v1")
getattr(importlib.import_module(library), algorithm)("MlpPolicy", env, seed=0, **options).learn(int(sys.argv[3]))
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
used = resource.getrusage(resource.RUSAGE_SELF)
json.dump({"mib": peak / 1024, "seconds": used.ru_utime + used.ru_stime}, sys.stdout)
"""


def measured(library: str, algorithm: str, **variables: str) -> dict[str, float]:
    """``mib`` and ``seconds`` of one training, with these environment variables."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _MEASURE, library, algorithm, str(N_STEPS)]
    environment = os.environ | one_thread | variables
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def line(title: str, figures: dict[str, Any]) -> str:
    return f"| {title} | {figures['mib']:.0f} MiB | {figures['seconds']:.1f} s |"


def main() -> None:
    """Measure everything and print one table."""
    print("| | peak resident memory | CPU |", "|---|---|---|", sep="\n", flush=True)
    for algorithm in ALGORITHMS:
        if "native" in backends.available():
            print(line(f"{algorithm}, native", measured("fastpg", algorithm, FASTPG_BACKEND="native")), flush=True)
    for algorithm in ("PPO", "TRPO") if "jit" in backends.available() else ():
        with tempfile.TemporaryDirectory() as directory:
            cached = {"FASTPG_BACKEND": "jit", "FASTPG_JIT_CACHE": "1", "NUMBA_CACHE_DIR": directory}
            compiling = measured("fastpg", algorithm, FASTPG_BACKEND="jit", FASTPG_JIT_CACHE="0")
            print(line(f"{algorithm}, Numba, while it compiles", compiling), flush=True)
            measured("fastpg", algorithm, **cached)
            print(line(f"{algorithm}, Numba, from its cache", measured("fastpg", algorithm, **cached)), flush=True)
    for library, algorithm in (("stable_baselines3", "PPO"), ("sb3_contrib", "TRPO")):
        if importlib.util.find_spec(library) is not None:
            print(line(f"{algorithm}, {library.replace('_', '-')}", measured(library, algorithm)), flush=True)


if __name__ == "__main__":
    main()
