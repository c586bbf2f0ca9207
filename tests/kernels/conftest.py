"""Which implementations the kernel tests run over: all that are installed, or those in ``FASTPG_TEST_BACKENDS``."""

from __future__ import annotations

import os

import pytest

from fastpg.kernels import backends

BACKENDS = tuple(filter(None, os.environ.get("FASTPG_TEST_BACKENDS", "").split(","))) or backends.available()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``backend``: every implementation; ``fast_backend``: those that are compared with the reference."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", BACKENDS)
    if "fast_backend" in metafunc.fixturenames:
        metafunc.parametrize("fast_backend", [name for name in BACKENDS if name != "reference"])
