"""Which implementation runs, what happens when it is not there, and that all have the same functions."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import fastpg
from fastpg import kernels
from fastpg.errors import ConfigError
from fastpg.kernels import backends

#: Arguments of an entry point that it keeps to itself, and of an implementation that the entry point adds.
ONLY_ENTRY, ONLY_IMPLEMENTATION = {"backend"}, {"stats"}


def start(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter."""
    source_tree = str(Path(fastpg.__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": source_tree, **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True)


def run(code: str, **environment: str) -> str:
    """Its output; it must succeed."""
    process = start(code, **environment)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_default_is_the_first_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTPG_BACKEND", raising=False)
    assert backends.default() == backends.available()[0]
    assert backends.available()[-1] == "reference"


def test_the_environment_variable_chooses(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("FASTPG_BACKEND", backend)
    assert backends.default() == backend
    assert backends.which().name == backend
    assert backends.resolve("gae").__name__ == f"fastpg.kernels.{backend}.gae"


def test_any_mapping_may_stand_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"FASTPG_BACKEND": "reference"})
    assert backends.default() == "reference"
    monkeypatch.setattr(os, "environ", {})
    assert backends.default() == backends.available()[0]

    class Mapping(dict[str, str]):
        _data: ClassVar[dict[str, str]] = {}

    monkeypatch.setattr(os, "environ", Mapping(FASTPG_BACKEND="reference"))
    assert backends.default() == "reference"


def test_the_environment_may_be_another_while_fastpg_is_imported() -> None:
    code = """
import os
from unittest import mock
with mock.patch.object(os, "environ", dict(os.environ)):
    from fastpg.kernels import backends
os.environ["FASTPG_BACKEND"] = "reference"
print(backends.default())
"""
    assert run(code).strip() == "reference"


def test_an_argument_goes_before_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPG_BACKEND", "jit")
    assert backends.which("reference").name == "reference"


def test_an_unknown_backend_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = re.escape(", ".join(backends.available()))
    with pytest.raises(ConfigError, match=rf"backend is unknown: expected one of {listed}, got 'cuda'\. Fix: "):
        kernels.uniform(0, 0, 0, out=np.empty((1, 1), np.float32), backend="cuda")
    monkeypatch.setenv("FASTPG_BACKEND", "fortran")
    with pytest.raises(ConfigError, match=r"environment variable FASTPG_BACKEND is unknown: .* got 'fortran'"):
        backends.default()


def test_a_missing_backend_is_an_error_that_lists_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "available", lambda: ("jit", "reference"))
    monkeypatch.setenv("FASTPG_BACKEND", "native")
    message = (
        "environment variable FASTPG_BACKEND is not installed here: expected one of jit, reference, got 'native'. "
        "Fix: choose one of these, or leave it out to use jit."
    )
    with pytest.raises(ConfigError, match="^" + re.escape(message) + "$"):
        backends.default()


def test_a_backend_that_cannot_be_imported_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastpg.kernels.jit", None)
    backends._package.cache_clear()
    try:
        with pytest.raises(ConfigError, match="backend jit is installed but cannot be imported"):
            backends.which("jit")
    finally:
        backends._package.cache_clear()


def test_the_description_is_complete(backend: str) -> None:
    info = backends.which(backend)
    assert info.name == backend
    assert info.isa
    assert info.compiler


@pytest.mark.parametrize("family", backends.FAMILIES)
def test_every_implementation_is_complete(family: str, backend: str) -> None:
    """The same functions and the same arguments in the same order as the entry points."""
    module = backends.resolve(family, backend)
    entry = __import__(f"fastpg.kernels.{family}", fromlist=["x"])
    for name in backends.FAMILIES[family]:
        wanted = [p for p in inspect.signature(getattr(entry, name)).parameters if p not in ONLY_ENTRY]
        offered = argument_names(getattr(module, name))
        assert [p for p in offered if p not in ONLY_IMPLEMENTATION] == wanted, f"{backend}.{family}.{name}"


def argument_names(function: object) -> list[str]:
    """Of a Python function, or of a compiled one from the first line of its documentation."""
    try:
        return list(inspect.signature(function).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        arguments = (function.__doc__ or "").split("(", 1)[1].split(") ->")[0]
        return re.findall(r"(?:^|, )(\w+)(?=:|,|$)", arguments)


def test_all_entry_points_are_exported() -> None:
    for functions in backends.FAMILIES.values():
        for name in functions:
            assert name in kernels.__all__
            assert inspect.getdoc(getattr(kernels, name))


def test_importing_compiles_nothing_and_loads_no_implementation() -> None:
    code = (
        "import sys, fastpg, fastpg.kernels\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'numba', 'llvmlite'} or '_native' in m])"
    )
    assert run(code).strip() == "[]"


def test_the_reference_runs_without_numba() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np, fastpg.kernels as k\n"
        "print(k.uniform(0, 0, 0, out=np.empty((1, 1), np.float32), backend='reference').shape)"
    )
    assert run(code, FASTPG_BACKEND="reference").strip() == "(1, 1)"


needs_native = pytest.mark.skipif("native" not in backends.available(), reason="no compiled extension here")

EVERY_CASE = """
from tests.kernels.cases import CASES
from fastpg.kernels import which
for case in CASES:
    for dtype in ("float32", "float64"):
        size = case.sizes[-1]
        expected = case.call("reference", case.inputs(size, dtype))
        case.assert_close(case.call("native", case.inputs(size, dtype)), expected, dtype)
print(which("native").isa)
"""


@needs_native
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_computes_the_same(isa: str) -> None:
    """One that this processor lacks is an error that names what it has."""
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.append({root!r})\n"
    process = start(code + EVERY_CASE, FASTPG_ISA=isa)
    if "ConfigError: environment variable FASTPG_ISA" in process.stderr and isa != "baseline":
        assert "baseline" in process.stderr.splitlines()[-1]
        pytest.skip(f"this processor has no {isa}")
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == isa


@needs_native
def test_an_unknown_instruction_set_is_an_error() -> None:
    code = (
        "from fastpg.errors import ConfigError\n"
        "from fastpg.kernels import which\n"
        "try:\n    which('native')\nexcept ConfigError as error:\n    print(error)"
    )
    message = run(code, FASTPG_ISA="sse9")
    assert message.startswith("environment variable FASTPG_ISA: ")
    assert "baseline" in message
    assert "sse9" in message


PLAIN_PYTHON = """
import warnings
import numpy as np
from tests.kernels.cases import CASES
warnings.simplefilter("ignore")
n = 0
for case in CASES:
    for dtype in ("float32", "float64"):
        size = 2 if 2 in case.sizes else case.sizes[1]
        expected = case.call("reference", case.inputs(size, dtype))
        if not case.name.endswith("1024_envs"):
            case.assert_close(case.call("jit", case.inputs(size, dtype)), expected, dtype)
            n += 1
print(n)
"""


@pytest.mark.skipif("jit" not in backends.available(), reason="Numba is not installed")
def test_numba_kernels_run_as_plain_python() -> None:
    """The same sources, uncompiled: what a debugger steps through computes what the compiled code does."""
    root = str(Path(__file__).parents[2])
    output = run(f"import sys; sys.path.append({root!r})\n" + PLAIN_PYTHON, NUMBA_DISABLE_JIT="1")
    assert int(output) > 80


@pytest.mark.skipif("jit" not in backends.available(), reason="Numba is not installed")
@pytest.mark.parametrize(("value", "caches"), [("1", True), ("0", False)])
def test_the_cache_of_compiled_code_is_an_option(tmp_path: Path, value: str, caches: bool) -> None:
    code = (
        "import numpy as np, fastpg.kernels as k\n"
        "k.clip_global_norm(np.ones(3), max_norm=1.0, backend='jit')\n"
        "print(k.which('jit').flags)"
    )
    flags = run(code, FASTPG_JIT_CACHE=value, NUMBA_CACHE_DIR=str(tmp_path))
    assert f"cache={caches}" in flags
    assert bool(list(tmp_path.rglob("*.nbi"))) == caches
