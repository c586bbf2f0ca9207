"""``pytest benchmarks/`` runs them (the option that keeps benchmarks out of the test suite does not apply here)."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import harness

harness.use_one_thread()


def pytest_configure(config: pytest.Config) -> None:
    """Undo ``--benchmark-skip``; measure each benchmark for half a second unless the command line says otherwise."""
    config.option.benchmark_skip = False
    if config.option.benchmark_max_time == config._parser.getoption_default("benchmark_max_time"):
        config.option.benchmark_max_time = 0.5


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of the peers are not ours to fix."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Store what the figures depend on beside them."""
    from benchmarks import machine

    machine_info["fastpg"] = machine.describe()
