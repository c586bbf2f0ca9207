"""One contender on one workload under pytest-benchmark: check, time, record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks import machine
from benchmarks.harness import Contender, Workload


@dataclass(frozen=True)
class Rate:
    """What a benchmark reached; ``fraction_of_peak`` is None where the peak is unknown."""

    benchmark: str
    gflops: float
    fraction_of_peak: float | None


#: Rates of this session, for the summary at its end.
RATES: list[Rate] = []


def pairs(workloads: tuple[Workload, ...]) -> list[Any]:
    """Parameters (workload, contender) of a test."""
    return [
        pytest.param(workload, contender, id=f"{workload.name}-{contender.name.replace(' ', '-')}")
        for workload in workloads
        for contender in workload.contenders
    ]


def time_contender(benchmark: Any, workload: Workload, contender: Contender) -> None:
    """Check one result, then time further calls; skip a contender that cannot run here."""
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
    _record(benchmark, workload, contender)


def _record(benchmark: Any, workload: Workload, contender: Contender) -> None:
    """Everything beside the time that one would ask of the figure."""
    seconds = benchmark.stats.stats.median
    benchmark.extra_info |= {
        "contender": contender.name,
        "n_threads": 1,
        f"us_per_{workload.unit}": seconds / workload.n_units * 1e6,
    }
    if workload.n_bytes:
        benchmark.extra_info["gigabytes_per_s"] = workload.n_bytes / seconds / 1e9
    if workload.flops:
        gflops, peak = workload.flops / seconds / 1e9, machine.fma_peak_gflops()
        rate = Rate(benchmark.name, gflops, None if peak is None else gflops / peak)
        benchmark.extra_info |= {"gflops": rate.gflops, "fraction_of_peak": rate.fraction_of_peak}
        RATES.append(rate)
