"""How the kernels are compiled, and what all of their Python wrappers need."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from fastpg.kernels.jit._cache import enable_cache
from fastpg.kernels.layout import HeadLayout, MLPLayout

Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

#: Opt-in: an import or a first call should write nothing.
_USE_CACHE = os.environ.get("FASTPG_JIT_CACHE", "0") == "1"
_NOTE = (
    "kernels are loaded from Numba's cache, or compiled and kept there"
    if _USE_CACHE
    else "kernels are compiled at their first call, 10 to 30 s of a core for a training; FASTPG_JIT_CACHE=1 keeps them"
)
#: a * b + c may become one fused multiply-add. Nothing is reordered, but for the sum of squares of a gradient's norm;
#: NaN and infinity keep their meaning.
_FAST_MATH = {"contract"}

#: Codes of ``HeadLayout.kind`` for compiled functions.
CATEGORICAL, BERNOULLI, GAUSSIAN = 0, 1, 2
_KIND_CODES = {"categorical": CATEGORICAL, "bernoulli": BERNOULLI, "gaussian": GAUSSIAN}


def jit(function: Function) -> Function:
    """Compile ``function`` when it is first called. It must not branch on types and must run as plain Python too."""
    compiled = numba.njit(fastmath=_FAST_MATH, error_model="numpy", nogil=True)(function)
    if _USE_CACHE and hasattr(compiled, "py_func"):
        enable_cache(compiled)
    return cast(Function, compiled)


def inner_sum(function: Function) -> Function:
    """As ``inner``, for a sum that may be added in any order, and so in vectors."""
    compiled: Function = register_jitable(fastmath=_FAST_MATH | {"reassoc"}, error_model="numpy")(function)
    return compiled


def inner(function: Function) -> Function:
    """Compile ``function`` into the ``jit`` functions that call it; called from Python it stays plain Python.

    Without the wrappers of a function of its own, and once for all integer arguments, constants included: half the time
    of ``jit``.
    """
    compiled: Function = register_jitable(fastmath=_FAST_MATH, error_model="numpy")(function)
    return compiled


def spliced(function: Function) -> Function:
    """As ``inner``, copied into its callers before the types are known: optimised once, not once per storey."""
    compiled = numba.njit(inline="always", fastmath=_FAST_MATH, error_model="numpy", nogil=True)(function)
    return cast(Function, compiled)


def writable(array: Array) -> Array:
    """``array``, or a copy of a read-only one: Numba would compile every kernel again for read-only arrays."""
    return array if array.flags.writeable else array.copy()


def flat(array: Array) -> Array:
    """``array`` in one dimension and writable; a view where it can be."""
    return writable(array).reshape(-1)


def as_float(actions: Array, dtype: np.dtype[Any]) -> Array:
    """``actions`` in one dimension and the working dtype, so that discrete and continuous heads share compiled code."""
    return flat(actions.astype(dtype, copy=False))


@lru_cache(maxsize=64)
def network_arguments(layout: MLPLayout) -> tuple[Array, bool]:
    """(sizes, whether the activation is ReLU) for compiled functions."""
    return np.array(layout.sizes, np.int64), layout.activation == "relu"


@lru_cache(maxsize=64)
def head_arguments(head: HeadLayout) -> tuple[int, Array]:
    """(kind code, first head input of every action dimension and the end) for compiled functions."""
    return _KIND_CODES[head.kind], np.cumsum((0, *head.sizes), dtype=np.int64)


def build_info() -> dict[str, str]:
    """What compiles these kernels, for ``backends.which``."""
    llvm = ".".join(str(part) for part in llvmlite.binding.llvm_version_info)
    return {
        "isa": str(llvmlite.binding.get_host_cpu_name()),
        "compiler": f"Numba {numba.__version__}, LLVM {llvm}",
        "flags": f"fastmath={sorted(_FAST_MATH)}, cache={_USE_CACHE}",
        "note": _NOTE,
    }
