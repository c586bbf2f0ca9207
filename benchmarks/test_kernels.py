"""Every kernel on the cases of the tests, C++ and Numba side by side, with its share of the machine's peak."""

from __future__ import annotations

import pytest

from benchmarks.harness import Contender, Workload
from benchmarks.timing import pairs, time_contender
from benchmarks.workloads import kernel_workloads


@pytest.mark.parametrize(("workload", "contender"), pairs(kernel_workloads()))
def test_kernel(benchmark, workload: Workload, contender: Contender) -> None:
    time_contender(benchmark, workload, contender)
