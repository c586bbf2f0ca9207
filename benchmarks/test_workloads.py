"""fastpg and its peers on the same work: one pytest-benchmark group per workload.

Each benchmark first checks the result of one call against fastpg's float64 reference, then times further calls.
"""

from __future__ import annotations

import pytest

from benchmarks import machine
from benchmarks.harness import Contender, Workload
from benchmarks.workloads import all_workloads

PAIRS = [
    pytest.param(workload, contender, id=f"{workload.name}-{contender.name.replace(' ', '-')}")
    for workload in all_workloads()
    for contender in workload.contenders
]


@pytest.mark.parametrize(("workload", "contender"), PAIRS)
def test_workload(benchmark, workload: Workload, contender: Contender) -> None:
    reason = contender.missing()
    if reason is not None:
        pytest.skip(reason)
    run = contender.prepare()
    workload.check(run())

    benchmark.group = workload.title
    if workload.rounds:
        benchmark.pedantic(run, rounds=workload.rounds)
    else:
        benchmark(run)

    seconds = benchmark.stats.stats.median / workload.n_units
    benchmark.extra_info |= {"contender": contender.name, "n_threads": 1, f"us_per_{workload.unit}": seconds * 1e6}
    if workload.flops:
        machine.record_rate(benchmark, workload.flops / workload.n_units / seconds / 1e9)
