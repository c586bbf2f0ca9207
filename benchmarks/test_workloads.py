"""fastpg and its peers on the same work: one pytest-benchmark group per workload."""

from __future__ import annotations

import pytest

from benchmarks.harness import Contender, Workload
from benchmarks.timing import pairs, time_contender
from benchmarks.workloads import comparisons


@pytest.mark.parametrize(("workload", "contender"), pairs(comparisons()))
def test_workload(benchmark, workload: Workload, contender: Contender) -> None:
    time_contender(benchmark, workload, contender)
