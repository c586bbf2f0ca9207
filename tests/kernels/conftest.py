"""Which implementations the kernel tests run over: all that are installed."""

from __future__ import annotations

import pytest

from fastpg.kernels import backends


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``backend``: every implementation; ``fast_backend``: those that are compared with the reference."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends.available())
    if "fast_backend" in metafunc.fixturenames:
        metafunc.parametrize("fast_backend", [name for name in backends.available() if name != "reference"])
