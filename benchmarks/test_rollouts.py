"""fastpg and its peers: collecting through Gymnasium's environments. One pytest-benchmark group per workload."""

from __future__ import annotations

import pytest

from benchmarks.harness import Contender, Workload
from benchmarks.timing import pairs, time_contender
from benchmarks.workloads import GROUPS


@pytest.mark.parametrize(("workload", "contender"), pairs(GROUPS["rollouts"]()))
def test_rollouts(benchmark, workload: Workload, contender: Contender) -> None:
    time_contender(benchmark, workload, contender)
