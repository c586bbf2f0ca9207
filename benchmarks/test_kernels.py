"""Every kernel on the cases of the tests, C++ and Numba side by side, with its share of the machine's peak.

Each benchmark first compares one result with the NumPy reference, within the tolerance of the case.
"""

from __future__ import annotations

import pytest

from benchmarks import machine
from benchmarks.harness import Contender
from tests.kernels.cases import CASES, KernelCase

PARAMETERS = [
    pytest.param(case, size, backend, id=f"{case.name}-{size}-{backend}")
    for case in CASES
    for size in case.bench_sizes
    for backend in ("native", "jit")
]


@pytest.mark.parametrize(("case", "size", "backend"), PARAMETERS)
def test_kernel(benchmark, case: KernelCase, size: int, backend: str) -> None:
    reason = Contender(backend, prepare=list, backend=backend).missing()
    if reason is not None:
        pytest.skip(reason)
    inputs = case.inputs(size, "float32")
    case.assert_close(case.call(backend, inputs), case.call("reference", case.inputs(size, "float32")), "float32")

    benchmark.group = f"{case.name}, size {size}"
    benchmark(case.function, **inputs, backend=backend)

    nanoseconds = benchmark.stats.stats.median * 1e9
    benchmark.extra_info |= {"backend": backend, "n_threads": 1, "family": case.family}
    if case.bytes(size, 4):
        benchmark.extra_info["gigabytes_per_s"] = case.bytes(size, 4) / nanoseconds
    if case.flops(size):
        machine.record_rate(benchmark, case.flops(size) / nanoseconds)
