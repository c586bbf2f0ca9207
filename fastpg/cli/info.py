"""``fastpg info``: what is installed and what will run."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import click

from fastpg.cli.app import CONTEXT
from fastpg.cli.output import make_console, print_json
from fastpg.errors import ConfigError
from fastpg.kernels import backends
from fastpg.machine import n_cores
from fastpg.version import __version__

PACKAGES = ("numpy", "numba", "gymnasium", "safetensors")
REPRODUCIBILITY = (
    "The same seed and the same build give the same bits, for any number of threads. Different backends agree to "
    "rounding only, and so do instruction sets with and without fused multiply-add (baseline)."
)


@click.command(context_settings=CONTEXT)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
def info(is_json: bool, debug: bool) -> None:
    """Show version, backends, instruction set, threads and the versions of what fastpg stands on."""
    del debug
    report = collect()
    if is_json:
        print_json(report)
    else:
        _print(report)


def collect() -> dict[str, Any]:
    """Everything that ``fastpg info`` shows, as JSON-able values."""
    reports = {name: describe_backend(name) for name in backends.NAMES}
    default = backends.default()
    return {
        "version": __version__,
        "backend": default,
        "isa": reports[default].get("isa"),
        "n_threads": n_cores(),
        "backends": reports,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "environment": {name: os.environ[name] for name in ("FASTPG_BACKEND", "FASTPG_ISA") if name in os.environ},
        "reproducibility": REPRODUCIBILITY,
    }


def describe_backend(name: str) -> dict[str, Any]:
    """``available`` with instruction set, compiler and flags, or the ``reason`` why it is not."""
    reason = backends.missing().get(name)
    if reason is None:
        try:
            found = backends.which(name)
            return {"available": True} | {key: value for key, value in asdict(found).items() if key != "name"}
        except ConfigError as error:
            reason = str(error)
    return {"available": False, "reason": reason}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("fastpg", report["version"])
    for name, backend in report["backends"].items():
        mark = "  (default)" if name == report["backend"] else ""
        if backend["available"]:
            table.add_row(f"{name} kernels", Text(f"{backend['isa']}; {backend['compiler']}{mark}"))
            for detail in filter(None, (backend["flags"], backend["note"])):
                table.add_row("", Text(detail, style="dim"))
        else:
            table.add_row(f"{name} kernels", Text(f"not available: {backend['reason']}", style="yellow"))
    table.add_row("threads", f"{report['n_threads']} (cores that this process may use)")
    for name, value in report["environment"].items():
        table.add_row(name, Text(value))
    table.add_row("Python", f"{report['python']} on {report['platform']}")
    for name, version in report["packages"].items():
        table.add_row(name, version or Text("not installed", style="yellow"))
    table.add_row("reproducibility", report["reproducibility"])
    make_console(is_json=False, is_quiet=False).print(table, soft_wrap=False)
