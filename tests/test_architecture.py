"""The structure of the package, held by tests: who may import whom, and what may appear where.

Everything is read from the source with ``ast``; nothing of fastpg is imported, so these tests also run on a tree that
does not build. To add a sub-package or a dependency, add its row to the tables below.
"""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastpg"
CSRC = ROOT / "csrc"

LEAVES = {"errors", "types", "version", "machine"}
KERNELS = LEAVES | {"kernels", "_native"}
TRAINING = KERNELS | {"policies", "envs", "rollout", "updates", "algorithms"}
APPLICATION = TRAINING | {"training", "callbacks", ""}  # "" is the package itself: ``import fastpg``

#: Sub-package (or top-level module) -> what of fastpg it may import besides itself.
ALLOWED_INTERNAL: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    "version": set(),
    "machine": set(),
    "kernels": LEAVES | {"_native"},
    "policies": KERNELS,
    "envs": KERNELS,
    "rollout": KERNELS | {"policies", "envs"},
    "updates": KERNELS,
    "algorithms": KERNELS | {"updates"},
    "training": TRAINING,
    "callbacks": {"training"},
    "tabular": LEAVES,
    "sb3": APPLICATION,
    "distributed": APPLICATION,
    "plotting": APPLICATION,
    "experiments": APPLICATION | {"plotting", "tabular"},
    "bench": KERNELS | {""},
    "cli": APPLICATION | {"plotting", "experiments", "bench"},
    "__main__": {"cli"},
    "": APPLICATION,
}

#: What fastpg is measured beside: the only place that may import other learning libraries.
PEERS = "bench/peers/"

#: Third-party package -> the places (path prefixes inside fastpg/) that may import it. NumPy is free.
ALLOWED_EXTERNAL: dict[str, tuple[str, ...]] = {
    "numba": ("kernels/jit/",),
    "gymnasium": ("rollout/", "envs/", "training/", "sb3/", "distributed/", "cli/", "plotting/", PEERS),
    "safetensors": ("training/checkpoint.py",),
    "rich": ("training/", "cli/", "sb3/"),
    "click": ("cli/",),
    "tensorboardX": ("training/logging.py",),
    "matplotlib": ("plotting/", "experiments/", "sb3/"),
    "ray": ("distributed/",),
    "envpool": ("rollout/", "envs/"),
    "onnx": ("training/",),
    "stable_baselines3": ("sb3/", PEERS),
    "rl_zoo3": ("sb3/",),
    "pandas": ("sb3/",),
    "sb3_contrib": (PEERS,),
    "torch": (PEERS,),
    "jax": (PEERS,),
}
#: Extras: never imported when their module is imported, only inside the function that needs them.
OPTIONAL = {
    "tensorboardX",
    "matplotlib",
    "ray",
    "envpool",
    "onnx",
    "stable_baselines3",
    "rl_zoo3",
    "pandas",
    "numba",
    "torch",
    "jax",
}
#: Inside kernels: each implementation stands alone.
KERNEL_BACKENDS = ("reference", "jit", "native")

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_MEDIAN_FUNCTION_LINES = 10
MAX_POSITIONAL = 5

SOURCES = sorted(PACKAGE.rglob("*.py"))
CPP_SOURCES = sorted(path for pattern in ("*.hpp", "*.cpp", "*.h") for path in CSRC.rglob(pattern))


def relative(path: Path) -> str:
    """Path inside the package, with forward slashes."""
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def top_package(path: Path) -> str:
    """``kernels`` for fastpg/kernels/gae.py, ``errors`` for fastpg/errors.py, "" for fastpg/__init__.py.

    ``__main__`` wherever it is: a file that is run, and that nobody imports.
    """
    if path.name == "__main__.py":
        return "__main__"
    first = relative(path).split("/")[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported_modules(path: Path, *, module_level: bool = False) -> Iterator[tuple[str, int]]:
    """(absolute dotted name, line) of every import; with ``module_level`` only those run when the file is imported."""
    nodes = module_level_nodes(tree_of(path)) if module_level else ast.walk(tree_of(path))
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = absolute_module(node, path)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def absolute_module(node: ast.ImportFrom, path: Path) -> str:
    if node.level == 0:
        return node.module or ""
    package = ["fastpg", *relative(path).split("/")[:-1]]
    return ".".join(package[: len(package) - node.level + 1] + ([node.module] if node.module else []))


def module_level_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run at import: not in functions, not under ``if TYPE_CHECKING``."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, text: str) -> int:
    """Lines of code in the body: no signature, docstring, comment or blank line; nested functions count once more."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    lines = text.splitlines()[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def test_every_sub_package_has_a_row() -> None:
    unknown = {top_package(path) for path in SOURCES} - set(ALLOWED_INTERNAL)
    assert not unknown, f"Sub-packages without a row in ALLOWED_INTERNAL: {sorted(unknown)}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_internal_imports_go_one_way(path: Path) -> None:
    own = top_package(path)
    allowed = ALLOWED_INTERNAL[own] | {own}
    for module, line in imported_modules(path):
        parts = module.split(".")
        if parts[0] != "fastpg":
            continue
        target = parts[1] if len(parts) > 1 and parts[1] in known_top_names() else ""
        assert target in allowed, f"{path}:{line}: fastpg.{own} must not import {module}"


@cache
def known_top_names() -> frozenset[str]:
    return frozenset({top_package(path) for path in SOURCES} | {"_native"})


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_external_imports_stay_in_their_place(path: Path) -> None:
    for module, line in imported_modules(path):
        package = module.split(".")[0]
        assert package not in {"pickle", "cloudpickle", "dill", "marshal", "shelve"}, (
            f"{path}:{line}: {package} is never imported by fastpg"
        )
        places = ALLOWED_EXTERNAL.get(package)
        if places is not None:
            assert relative(path).startswith(places), f"{path}:{line}: {package} only in {places}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_extras_are_imported_where_they_are_used(path: Path) -> None:
    if relative(path).startswith(("kernels/jit/", PEERS)):
        return  # loaded by name, only when this backend is asked for, or this peer is installed
    for module, line in imported_modules(path, module_level=True):
        assert module.split(".")[0] not in OPTIONAL, f"{path}:{line}: import {module} inside the function"


@pytest.mark.parametrize("path", [p for p in SOURCES if relative(p).startswith("kernels/")], ids=relative)
def test_kernel_implementations_do_not_import_each_other(path: Path) -> None:
    parts = relative(path).split("/")
    own = parts[1] if parts[1] in KERNEL_BACKENDS else None
    for module, line in imported_modules(path):
        target = module.split(".")[2] if module.startswith("fastpg.kernels.") else ""
        if own and target in KERNEL_BACKENDS:
            assert target == own, f"{path}:{line}: {own} must not import {module}"
        if own and module.startswith("fastpg._native"):
            assert own == "native", f"{path}:{line}: only kernels/native imports fastpg._native"
        if not own and relative(path) != "kernels/backends.py":
            assert target not in KERNEL_BACKENDS, f"{path}:{line}: only kernels/backends.py imports an implementation"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_assert_no_done(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: raise an error of fastpg.errors instead"
        name = getattr(node, "id", getattr(node, "arg", getattr(node, "attr", None)))
        if not relative(path).startswith("sb3/"):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            assert name not in {"done", "dones"}, f"{where}: say terminated or truncated"


@pytest.mark.parametrize("path", [p for p in SOURCES if relative(p) != "kernels/backends.py"], ids=relative)
def test_nobody_branches_on_the_backend(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Compare):
            constants = {c.value for c in [node.left, *node.comparators] if isinstance(c, ast.Constant)}
            assert not constants & set(KERNEL_BACKENDS), f"{path}:{node.lineno}: dispatch in kernels/backends.py"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_file_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES, f"{path} is longer than {MAX_FILE_LINES} lines"
    for function in functions_of(path):
        where = f"{path}:{function.lineno} {function.name}"
        n_lines = code_lines(function, text)
        assert n_lines <= MAX_FUNCTION_LINES, f"{where}: {n_lines} lines of code, at most {MAX_FUNCTION_LINES}"
        # a kernel takes its arrays positionally; stable-baselines3's order of arguments is part of its interface
        if not relative(path).startswith(("kernels/", "sb3/")):
            n_positional = len([a for a in function.args.args if a.arg not in {"self", "cls"}])
            assert n_positional <= MAX_POSITIONAL, f"{where}: {n_positional} positional arguments"


def test_median_function_is_short() -> None:
    sizes = [code_lines(f, p.read_text(encoding="utf-8")) for p in SOURCES for f in functions_of(p)]
    assert statistics.median(sizes) <= MAX_MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("path", CPP_SOURCES, ids=lambda p: p.relative_to(CSRC).as_posix())
def test_python_stays_in_the_bindings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES, f"{path} is longer than {MAX_FILE_LINES} lines"
    if path.relative_to(CSRC).parts[0] != "bindings":
        assert not re.search(r"#\s*include\s*[<\"](pybind11/|Python\.h|numpy/)", text), f"{path} knows Python"


@pytest.mark.parametrize("path", sorted((CSRC / "kernels").glob("*.cpp")), ids=lambda path: path.name)
def test_kernel_units_name_no_instruction_set(path: Path) -> None:
    """One source for every instruction set: no intrinsics, no per-set branches beyond the flags of the build."""
    assert "immintrin.h" not in path.read_text(encoding="utf-8")


def kernel_families() -> dict[str, tuple[str, ...]]:
    """Family -> functions, as fastpg/kernels/backends.py declares them."""
    for node in tree_of(PACKAGE / "kernels" / "backends.py").body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "FAMILIES" and node.value is not None:
            return dict(ast.literal_eval(node.value))
    raise LookupError("fastpg/kernels/backends.py has no table FAMILIES")


@pytest.mark.parametrize("family", kernel_families())
def test_every_kernel_family_is_complete(family: str) -> None:
    """An entry point, three implementations, a test case: a family lacks none of them."""
    kernels = PACKAGE / "kernels"
    for path in (kernels / f"{family}.py", *(kernels / backend / f"{family}.py" for backend in KERNEL_BACKENDS)):
        assert path.is_file(), f"kernel family {family} lacks {path.relative_to(ROOT)}"
    cases = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "kernels").glob("cases*.py"))
    missing = [name for name in kernel_families()[family] if not re.search(rf"\b{name}\b", cases)]
    assert not missing, f"{missing} of kernel family {family} have no case in tests/kernels/cases.py"


@pytest.mark.parametrize("backend", KERNEL_BACKENDS)
def test_every_kernel_module_is_declared(backend: str) -> None:
    names = {path.stem for path in (PACKAGE / "kernels" / backend).glob("[!_]*.py")}
    assert names == set(kernel_families())


def test_no_two_headers_define_a_type_of_the_same_name() -> None:
    """All units share one namespace per instruction set: the linker would take either's functions for both."""
    definition = re.compile(r"^(?:class|struct|enum class) (\w+)[^;{]*\{", re.MULTILINE)
    owners: dict[str, list[str]] = {}
    for path in sorted((CSRC / "include").rglob("*.hpp")):
        for name in set(definition.findall(path.read_text(encoding="utf-8"))):  # a template has specialisations
            owners.setdefault(name, []).append(path.name)
    assert "MlpTile" in owners
    assert not {name: paths for name, paths in owners.items() if len(paths) > 1}


@pytest.mark.parametrize("family", kernel_families())
def test_implementations_have_the_same_signatures(family: str) -> None:
    """Entry point (less ``backend``), NumPy and Numba take the same arguments in the same order; native offers all."""
    for name in kernel_families()[family]:
        entry, reference, jit = (
            parameters(PACKAGE / "kernels" / place / f"{family}.py", name) for place in ("", "reference", "jit")
        )
        assert reference == jit, f"{family}.{name}"
        assert [p for p in entry if p != "backend"] == [p for p in reference if p != "stats"], f"{family}.{name}"
    native = tree_of(PACKAGE / "kernels" / "native" / f"{family}.py")
    offered = {alias.asname or alias.name for n in native.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    offered |= {node.name for node in native.body if isinstance(node, ast.FunctionDef)}
    assert set(kernel_families()[family]) <= offered


def parameters(path: Path, name: str) -> list[str]:
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
    raise LookupError(f"{path} does not define {name}")
