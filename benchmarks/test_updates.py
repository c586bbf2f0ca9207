"""fastpg and its peers: minibatches, Fisher products, solves, updates. One pytest-benchmark group per workload."""

from __future__ import annotations

import pytest

from benchmarks.harness import Contender, Workload
from benchmarks.timing import pairs, time_contender
from benchmarks.workloads import GROUPS


@pytest.mark.parametrize(("workload", "contender"), pairs(GROUPS["updates"]()))
def test_updates(benchmark, workload: Workload, contender: Contender) -> None:
    time_contender(benchmark, workload, contender)
