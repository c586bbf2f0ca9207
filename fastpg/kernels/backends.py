"""Which implementation runs a kernel: the only place that knows.

Three implementations of every family lie side by side: ``native`` (C++), ``jit`` (Numba) and ``reference`` (NumPy, the
specification). The default is the first of them that is installed; ``FASTPG_BACKEND`` or the ``backend`` argument of a
kernel chooses another. Asking for one that is not there is an error: nothing is replaced silently. ``FASTPG_ISA``
(``baseline``, ``avx2``, ``avx512``) makes the native implementation use that instruction set instead of the best one.

Importing this module imports neither Numba nor the compiled extension.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from fastpg.errors import ConfigError

#: Implementations, best first, and what must be importable for each (None: nothing beyond NumPy).
_REQUIREMENTS: dict[str, str | None] = {"native": "fastpg._native", "jit": "numba", "reference": None}

#: Names of the implementations, best first.
NAMES = tuple(_REQUIREMENTS)

_VARIABLE = "FASTPG_BACKEND"

#: Why an implementation may be missing, and what to do about it.
_REMEDIES = {
    "native": "the C++ kernels are not installed, because no C++ compiler was found at installation. Fix: install one "
    "(Debian, Ubuntu: apt-get install g++ python3-dev), then install fastpg again.",
    "jit": "Numba is not installed. Fix: pip install numba",
}

#: Every kernel: family (module name) -> functions. A test compares it with the three implementations.
FAMILIES: dict[str, tuple[str, ...]] = {
    "philox": ("uniform", "normal", "permutation"),
    "gae": ("gae",),
    "mlp": ("mlp_forward", "mlp_backward"),
    "heads": ("log_prob", "entropy", "kl_old_new", "sample", "mode"),
    "clipped_loss": ("clipped_loss_gradient",),
    "kl_gradient": ("kl_gradient",),
    "gradient_norm": ("clip_global_norm",),
    "adam": ("adam_step",),
    "running_moments": ("update_moments", "normalize"),
    "ppo_update": ("ppo_update",),
    "actor": ("bind_actor",),
    "surrogate": ("surrogate_gradient", "surrogate_evaluate", "surrogate_hessian_vector_product"),
    "value_update": ("value_update",),
    "rmsprop": ("rmsprop_step",),
    "fisher": ("bind_fisher", "fisher_factors"),
    "cholesky": ("cholesky_solve",),
}


@dataclass(frozen=True, kw_only=True)
class BackendInfo:
    """What runs the kernels.

    Attributes:
        name: ``native``, ``jit`` or ``reference``.
        isa: instruction set that the kernels use, as the implementation names it.
        compiler: what compiled them, with its version.
        flags: compiler flags, or the options of the just-in-time compiler.
        note: what a user should know before the first call; usually empty.
    """

    name: str
    isa: str
    compiler: str
    flags: str
    note: str = ""


@cache
def available() -> tuple[str, ...]:
    """Names of the implementations that can be imported here, best first."""
    return tuple(name for name, module in _REQUIREMENTS.items() if module is None or importlib.util.find_spec(module))


def missing() -> dict[str, str]:
    """The implementations that cannot be imported here, best first, with the reason and the remedy."""
    return {name: text for name, text in _REMEDIES.items() if name not in available()}


def default() -> str:
    """The implementation used when none is asked for: ``FASTPG_BACKEND``, else the best one available.

    Raises:
        ConfigError: ``FASTPG_BACKEND`` is unknown or not available.
    """
    wanted = os.environ.get(_VARIABLE) if _may_be_set() else None
    return _checked(wanted, f"environment variable {_VARIABLE}") if wanted else available()[0]


def which(backend: str | None = None) -> BackendInfo:
    """Describe ``backend``, or the default one. Imports it.

    Raises:
        ConfigError: the implementation is unknown or not available, or ``FASTPG_ISA`` cannot be had.
    """
    name = _name(backend)
    return BackendInfo(name=name, **_package(name).build_info())


def resolve(family: str, backend: str | None = None) -> Any:
    """The module that implements ``family`` (a key of ``FAMILIES``) in ``backend`` (None: the default).

    Raises:
        ConfigError: the implementation is unknown or not available, or ``FASTPG_ISA`` cannot be had.
    """
    return _module(family, _name(backend))


def compiled(module: str, backend: str | None = None) -> Any | None:
    """A private module of ``native``, of what is compiled though it is no kernel; None where ``backend`` is another.

    The caller then does the same in Python.

    Raises:
        ConfigError: as ``resolve``.
    """
    name = _name(backend)
    return _module(module, name) if name == "native" else None


def _may_be_set() -> bool:
    """False where ``os.environ`` certainly lacks the variable.

    ``os.environ.get`` raises and catches two exceptions then, which takes longer than any check of an argument.
    """
    environ: Any = os.environ
    try:
        return environ.encodekey(_VARIABLE) in environ._data
    except AttributeError:  # another mapping, or another Python
        return True


def _name(backend: str | None) -> str:
    return default() if backend is None else _checked(backend, "backend")


def _checked(name: str, where: str) -> str:
    if name not in available():
        state = "is not installed here" if name in _REQUIREMENTS else "is unknown"
        raise ConfigError(
            f"{where} {state}: expected one of {', '.join(available())}, got {name!r}. "
            f"Fix: choose one of these, or leave it out to use {available()[0]}."
        )
    return name


@cache
def _module(family: str, name: str) -> ModuleType:
    _package(name)
    return importlib.import_module(f"fastpg.kernels.{name}.{family}")


@cache
def _package(name: str) -> ModuleType:
    try:
        package = importlib.import_module(f"fastpg.kernels.{name}")
    except ImportError as error:
        raise ConfigError(
            f"backend {name} is installed but cannot be imported ({error}): expected a working installation. "
            f"Fix: reinstall fastpg, or choose another of {', '.join(available())}."
        ) from error
    isa = os.environ.get("FASTPG_ISA")
    if isa and hasattr(package, "select_isa"):
        try:
            package.select_isa(isa)
        except ValueError as error:
            raise ConfigError(f"environment variable FASTPG_ISA: {error}") from error
    return package
