"""Every comparison, and every kernel alone on the cases of its tests.

fastpg's ``reference`` kernels in float64 say what is right. Peers whose random numbers differ are checked through
quantities that do not depend on them.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from benchmarks import acting, rollouts, trainings, updates
from benchmarks.contenders import fastpg_contenders
from benchmarks.harness import Run, Workload
from tests.kernels.cases import CASES, KernelCase

GROUPS = {
    "updates": updates.workloads,
    "acting": acting.workloads,
    "rollouts": rollouts.workloads,
    "training": trainings.workloads,
}


def kernel(case: KernelCase, size: int) -> Workload:
    """One of the cases that the kernels are tested on."""

    def prepare(backend: str) -> Run:
        return partial(case.function, **case.inputs(size, "float32"), backend=backend)

    def check(result: Any) -> None:
        case.assert_close(case.outputs(result), case.call("reference", case.inputs(size, "float32")), "float32")

    name, title = f"kernel-{case.name}-{size}", f"{case.name}, {size}"
    flops, n_bytes = case.flops(size), case.bytes(size, 4)
    return Workload("kernels", name, title, "call", 1, fastpg_contenders(prepare), check, flops, n_bytes)


@cache
def kernel_workloads() -> tuple[Workload, ...]:
    """Every kernel of the case table."""
    return tuple(kernel(case, size) for case in CASES for size in case.bench_sizes)


@cache
def comparisons() -> tuple[Workload, ...]:
    """Every comparison with the peers, in the order of the table."""
    return tuple(workload for make in GROUPS.values() for workload in make())
