"""Register-blocked products: the innermost loops, written as vector instructions.

LLVM's loop vectoriser keeps the sums of a matrix product in memory. A block here holds ``rows`` x ``vectors`` sums in
registers over the whole inner dimension, which is what reaches the peak of the machine; it is built with Numba's
``intrinsic`` from generic vector operations, so that one description serves SSE2, AVX2, AVX-512 and NEON. With
``NUMBA_DISABLE_JIT=1`` the same blocks are NumPy products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastpg.kernels.jit._compile import inner

Array = NDArray[Any]
Block = Callable[..., None]
_CONFIG: Any = numba.config

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


def _vector_bytes() -> int:
    """Bytes of the widest vector register of the processor: 64 with AVX-512, 32 with AVX, else 16."""
    if _CONFIG.CPU_FEATURES is not None:
        features = {name[1:] for name in _CONFIG.CPU_FEATURES.split(",") if name.startswith("+")}
    else:
        features = {name for name, is_there in llvmlite.binding.get_host_cpu_features().items() if is_there}
    return 64 if "avx512f" in features else 32 if "avx" in features else 16


#: What the main block's columns are made of.
VECTOR_BYTES = _vector_bytes()
#: Vectors per row of the main block: 6 x 4 sums, 4 vectors and a factor use 29 of the 32 registers of AVX-512 and NEON,
#: 6 x 2 sums, 2 vectors and a factor 15 of the 16 of AVX and SSE.
_MAIN_VECTORS = 4 if VECTOR_BYTES == 64 or llvmlite.binding.get_default_triple().startswith("aarch64") else 2


def _make_block(rows: int, vectors: int, *, is_masked: bool = False) -> Block:
    """The compiled function ``block(out, c, a, b, out_at, c_at, c_row, a_at, a_row, a_step, b_at, n, width, n_sum)``.

    It writes ``width`` columns of ``rows`` rows: out[out_at + r n + j] = c[c_at + r c_row + j] + sum over p < n_sum of
    a[a_at + r a_row + p a_step] b[b_at + p n + j], with n_sum >= 1. ``width`` is that of ``vectors`` vectors or, of
    a masked block of one vector, anything from 1 to that.
    """
    if _CONFIG.DISABLE_JIT:
        return _plain_block(rows)

    @intrinsic
    def block(
        context: Any,
        out: Any,
        c: Any,
        a: Any,
        b: Any,
        out_at: Any,
        c_at: Any,
        c_row: Any,
        a_at: Any,
        a_row: Any,
        a_step: Any,
        b_at: Any,
        n: Any,
        width: Any,
        n_sum: Any,
    ) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = [
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[:4], args[:4], strict=True)
            ]
            element = context.get_data_type(out.dtype)
            emitter = _Emitter(builder, element, VECTOR_BYTES * 8 // out.dtype.bitwidth, rows, vectors)
            emitter.emit(data, args[4:], is_masked)
            return context.get_dummy_value()

        return types.void(out, c, a, b, *[types.int64] * 10), codegen

    return cast(Block, block)


def _plain_block(rows: int) -> Block:
    """The same as NumPy products, for uncompiled runs."""

    def block(
        out: Array,
        c: Array,
        a: Array,
        b: Array,
        out_at: int,
        c_at: int,
        c_row: int,
        a_at: int,
        a_row: int,
        a_step: int,
        b_at: int,
        n: int,
        width: int,
        n_sum: int,
    ) -> None:
        right = b[b_at + n * np.arange(n_sum)[:, None] + np.arange(width)]
        for r in range(rows):
            left = a[a_at + r * a_row + a_step * np.arange(n_sum)]
            start = c[c_at + r * c_row : c_at + r * c_row + width]
            out[out_at + r * n : out_at + r * n + width] = start + left @ right

    return block


class _Emitter:
    """Writes the instructions of one block: sums in registers, one step of the inner dimension per iteration."""

    def __init__(self, builder: Any, element: Any, lanes: int, rows: int, vectors: int) -> None:
        self._builder = builder
        self._element = element
        self._vector = ir.VectorType(element, lanes)
        self._lanes, self._rows, self._vectors = lanes, rows, vectors
        self._mask: Any = None

    def emit(self, data: list[Any], indices: list[Any], is_masked: bool) -> None:
        """``data`` are pointers to out, c, a and b; ``indices`` the ten integers of the block."""
        builder = self._builder
        out_at, c_at, c_row, a_at, a_row, a_step, b_at, n, width, n_sum = indices
        out, c, a, b = (builder.gep(p, [at]) for p, at in zip(data, (out_at, c_at, a_at, b_at), strict=True))
        if is_masked:
            self._mask = self._first_lanes(width)
        sums = self._sum_products(
            a, b, a_row, a_step, n, n_sum, [self._load(place) for place in self._places(c, c_row)]
        )
        for place, value in zip(self._places(out, n), sums, strict=True):
            self._store(value, place)

    def _places(self, base: Any, step: Any) -> list[Any]:
        """Pointers to the vectors of a block whose rows are ``step`` elements apart."""
        builder = self._builder
        return [
            builder.gep(base, [builder.add(builder.mul(_int(r), step), _int(v * self._lanes))])
            for r in range(self._rows)
            for v in range(self._vectors)
        ]

    def _sum_products(self, a: Any, b: Any, a_row: Any, a_step: Any, n: Any, n_sum: Any, sums: list[Any]) -> list[Any]:
        """The loop over the inner dimension; returns the new sums."""
        builder = self._builder
        before = builder.block
        loop = builder.append_basic_block("block.loop")
        after = builder.append_basic_block("block.end")
        rows = [builder.gep(a, [builder.mul(_int(r), a_row)]) for r in range(self._rows)]
        builder.branch(loop)
        builder.position_at_end(loop)
        carried = [builder.phi(kind) for kind in (_I64, _I64, _I64, *[self._vector] * len(sums))]
        for phi, first in zip(carried, (_int(0), _int(0), _int(0), *sums), strict=True):
            phi.add_incoming(first, before)
        p, a_index, b_index = carried[:3]
        row = builder.gep(b, [b_index])
        right = [self._load(builder.gep(row, [_int(v * self._lanes)])) for v in range(self._vectors)]
        new: list[Any] = []
        for r in range(self._rows):
            left = self._spread(builder.load(builder.gep(rows[r], [a_index])))
            for v in range(self._vectors):
                new.append(self._multiply_add(left, right[v], carried[3 + len(new)]))
        following = [builder.add(p, _int(1)), builder.add(a_index, a_step), builder.add(b_index, n), *new]
        for phi, value in zip(carried, following, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following[0], n_sum), loop, after)
        builder.position_at_end(after)
        return new

    def _spread(self, scalar: Any) -> Any:
        """One number in all lanes."""
        undefined = ir.Constant(self._vector, ir.Undefined)
        one = self._builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        return self._builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, self._lanes), None))

    def _multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Fused where the processor can."""
        kind = ir.FunctionType(self._vector, [self._vector] * 3)
        return self._builder.call(self._intrinsic("fmuladd", kind), [a, b, c])

    def _intrinsic(self, name: str, kind: Any) -> Any:
        """LLVM's operation on vectors; it completes the name by the kind of pointer."""
        full_name = f"llvm.{name}.v{self._lanes}f{8 * self._alignment}"
        declare: Callable[..., Any] = cgutils.get_or_insert_function
        return declare(self._builder.module, kind, full_name)

    def _first_lanes(self, width: Any) -> Any:
        """True in lanes below ``width``."""
        builder, kind = self._builder, ir.VectorType(_I32, self._lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        one = builder.insert_element(undefined, builder.trunc(width, _I32), ir.Constant(_I32, 0))
        limit = builder.shuffle_vector(one, undefined, ir.Constant(kind, None))
        return builder.icmp_signed("<", ir.Constant(kind, [*range(self._lanes)]), limit)

    def _pointer(self, place: Any) -> Any:
        return self._builder.bitcast(place, self._vector.as_pointer())

    def _load(self, place: Any) -> Any:
        builder, pointer = self._builder, self._pointer(place)
        if self._mask is None:
            return builder.load(pointer, align=self._alignment)
        kinds = [pointer.type, _I32, self._mask.type, self._vector]
        function = self._intrinsic("masked.load", ir.FunctionType(self._vector, kinds))
        zero = ir.Constant(self._vector, None)
        return builder.call(function, [pointer, ir.Constant(_I32, self._alignment), self._mask, zero])

    def _store(self, value: Any, place: Any) -> None:
        builder, pointer = self._builder, self._pointer(place)
        if self._mask is None:
            builder.store(value, pointer, align=self._alignment)
            return
        kinds = [self._vector, pointer.type, _I32, self._mask.type]
        function = self._intrinsic("masked.store", ir.FunctionType(ir.VoidType(), kinds))
        builder.call(function, [value, pointer, ir.Constant(_I32, self._alignment), self._mask])

    @property
    def _alignment(self) -> int:
        """That of one element, in bytes."""
        return 4 if isinstance(self._element, ir.FloatType) else 8


def _int(value: int) -> Any:
    return ir.Constant(_I64, value)


_six = _make_block(6, _MAIN_VECTORS)
_four = _make_block(4, _MAIN_VECTORS)
_one = _make_block(1, _MAIN_VECTORS)
_narrow = _make_block(8, 1, is_masked=True)
_last = _make_block(1, 1, is_masked=True)


@inner
def multiply_add(
    out: Array,
    out_at: int,
    c: Array,
    c_at: int,
    c_row: int,
    a: Array,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Array,
    b_at: int,
    m: int,
    n: int,
    k: int,
) -> None:
    """Compute out (m, n) = c (m, n) + a (m, k) @ b (k, n); m, n and k are >= 1.

    All arrays are flat. out and b lie row by row from ``out_at`` and ``b_at`` on, c[i, j] at c_at + i c_row + j,
    a[i, p] at a_at + i a_row + p a_step. ``c`` may be ``out``, or one row for all (c_row = 0).
    Every element is one chain of multiply-adds in the order of p, so its bits do not depend on the blocks.
    """
    lanes = VECTOR_BYTES // out.itemsize
    wide = _MAIN_VECTORS * lanes
    j = 0
    while j < n:
        o, s, r, i = out_at + j, c_at + j, b_at + j, 0
        if n - j >= wide:
            while i + 6 <= m:
                _six(out, c, a, b, o + i * n, s + i * c_row, c_row, a_at + i * a_row, a_row, a_step, r, n, wide, k)
                i += 6
            if i + 4 <= m:
                _four(out, c, a, b, o + i * n, s + i * c_row, c_row, a_at + i * a_row, a_row, a_step, r, n, wide, k)
                i += 4
            while i < m:
                _one(out, c, a, b, o + i * n, s + i * c_row, c_row, a_at + i * a_row, a_row, a_step, r, n, wide, k)
                i += 1
            j += wide
        else:
            width = min(lanes, n - j)
            while i + 8 <= m:
                _narrow(out, c, a, b, o + i * n, s + i * c_row, c_row, a_at + i * a_row, a_row, a_step, r, n, width, k)
                i += 8
            while i < m:
                _last(out, c, a, b, o + i * n, s + i * c_row, c_row, a_at + i * a_row, a_row, a_step, r, n, width, k)
                i += 1
            j += width
