"""``pytest benchmarks/`` runs them (the option that keeps benchmarks out of the test suite does not apply here)."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.utils import SecondsDecimal

from fastpg.bench.peers import use_one_thread

use_one_thread()


def pytest_configure(config: pytest.Config) -> None:
    """Undo ``--benchmark-skip``; measure each benchmark for 0.3 s unless the command line says otherwise."""
    config.option.benchmark_skip = False
    if not any(argument.startswith("--benchmark-max-time") for argument in config.invocation_params.args):
        config.option.benchmark_max_time = SecondsDecimal("0.3")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of the peers are not ours to fix."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Store what the figures depend on beside them."""
    from benchmarks import machine

    machine_info["fastpg"] = machine.describe()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The floating-point rates, beside the peak of this machine."""
    from benchmarks import machine, timing

    if not timing.RATES:
        return
    peak = machine.fma_peak_gflops()
    terminalreporter.section("floating-point rates, median, float32, one thread")
    terminalreporter.line("peak of fused multiply-adds: " + (f"{peak:.0f} GFLOP/s" if peak else "unknown"))
    for rate in timing.RATES:
        share = "" if rate.fraction_of_peak is None else f"{rate.fraction_of_peak:6.1%} of peak"
        terminalreporter.line(f"{rate.gflops:8.1f} GFLOP/s {share}  {rate.benchmark}")
