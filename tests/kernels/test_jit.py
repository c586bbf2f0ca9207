"""What is particular to the Numba kernels: their block products, what is compiled when, and the cache on disk."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fastpg import kernels
from fastpg.errors import ConfigError
from fastpg.kernels import backends
from tests.kernels.test_backends import run, start

needs_jit = pytest.mark.skipif("jit" not in backends.available(), reason="Numba is not installed")

PRODUCTS = """
import numba, numpy as np
from fastpg.kernels.jit._block import multiply_add as inner

@numba.njit
def multiply_add(*arguments):
    inner(*arguments)

rng = np.random.default_rng(0)
CANARY = 7.0
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-14)):
    for m in (1, 4, 5, 6, 17):
        for n in (1, 3, 8, 16, 31, 40, 65):
            for k in (1, 9):
                for is_transposed, is_row in ((False, True), (True, False)):
                    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
                    c = rng.standard_normal((1 if is_row else m, n)).astype(dtype)
                    left = np.asarray(a.T if is_transposed else a, order="C").reshape(-1)
                    steps = (0, 1, m) if is_transposed else (0, k, 1)
                    out = np.full(3 + m * n + 70, CANARY, dtype)
                    row = 0 if is_row else n
                    multiply_add(out, 3, c.reshape(-1), 0, row, left, *steps, b.reshape(-1), 0, m, n, k)
                    got = out[3 : 3 + m * n].reshape(m, n)
                    np.testing.assert_allclose(got, c + a.astype(float) @ b, rtol=0, atol=tolerance * k)
                    assert (out[:3] == CANARY).all() and (out[3 + m * n :] == CANARY).all(), (m, n, k)
print("ok")
"""


@needs_jit
@pytest.mark.parametrize("is_disabled", ["0", "1"])
def test_block_products_of_all_shapes(is_disabled: str) -> None:
    """Compiled and as plain Python: whole blocks, left-over rows, masked columns; nothing is written beside them."""
    assert run(PRODUCTS, NUMBA_DISABLE_JIT=is_disabled).strip() == "ok"


@needs_jit
def test_emulated_wide_vectors_give_the_same_bits() -> None:
    """Blocks of 16 lanes, as on AVX-512, of which this processor may need two registers each."""
    code = """
import numba, numpy as np
from fastpg.kernels.jit import _block
{wide}
@numba.njit
def product(out, a, b):
    _block.multiply_add(out, 0, out, 0, 70, a, 0, 21, 1, b, 0, 13, 70, 21)
rng = np.random.default_rng(0)
out, a, b = (rng.standard_normal(size).astype(np.float32) for size in (13 * 70, 13 * 21, 21 * 70))
product(out, a, b)
print(out.tobytes().hex())
"""
    wide = "_block.VECTOR_BYTES = 64"
    assert run(code.format(wide=wide)) == run(code.format(wide=""))


COUNT_COMPILATIONS = """
import numpy as np
from numba.core import event
from fastpg import kernels
count = 0
class Listener(event.Listener):
    def on_start(self, _): globals().update(count=count + 1)
    def on_end(self, _): pass
event.register("numba:compile", Listener())
"""


@needs_jit
def test_nothing_is_left_to_compile_after_a_warm_up() -> None:
    code = (
        COUNT_COMPILATIONS
        + """
seconds = kernels.warm_up("gae", "gradient_norm", backend="jit")
before = count
rewards, flags = np.ones((5, 3), np.float32), np.zeros((5, 3), bool)
kernels.gae(rewards, rewards, rewards, flags, flags, gamma=0.9, gae_lambda=0.8, backend="jit")
kernels.clip_global_norm(np.ones(7, np.float32), max_norm=1.0, backend="jit")
print(list(seconds), before > 0, count == before)
"""
    )
    assert run(code).strip() == "['gae', 'gradient_norm'] True True"


@needs_jit
def test_importing_the_numba_kernels_compiles_nothing() -> None:
    modules = ", ".join(f"fastpg.kernels.jit.{family}" for family in backends.FAMILIES)
    assert run(COUNT_COMPILATIONS + f"import {modules}\nprint(count)").strip() == "0"


@pytest.mark.parametrize("name", ["native", "reference"])
def test_a_warm_up_calls_every_family(name: str) -> None:
    if name not in backends.available():
        pytest.skip("not installed")
    seconds = kernels.warm_up(backend=name)
    assert set(seconds) == set(backends.FAMILIES)
    assert all(value >= 0 for value in seconds.values())


def test_a_warm_up_of_something_unknown_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"warm_up: families: expected some of philox, .*, got 'gas'"):
        kernels.warm_up("gas")


CLIP = """
import numpy as np, fastpg.kernels as k
print(k.clip_global_norm(np.ones(4), max_norm=1.0, backend="jit"))
"""


@needs_jit
def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    nowhere = "from numba.core import caching\ncaching.CacheImpl._locator_classes = []\n"
    process = start(nowhere + CLIP, FASTPG_JIT_CACHE="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("FASTPG_JIT_CACHE=1: compiled kernels cannot be kept") == 1
    assert process.stdout == run(CLIP)


@needs_jit
def test_a_damaged_cache_is_a_warning(tmp_path: Path) -> None:
    kept = {"FASTPG_JIT_CACHE": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    expected = run(CLIP, **kept)
    files = list(tmp_path.rglob("*.nbi"))
    assert files
    for path in itertools.chain(files, tmp_path.rglob("*.nbc")):
        path.write_bytes(path.read_bytes()[:-20])
    process = start(CLIP, **kept)
    assert process.returncode == 0, process.stderr
    assert process.stdout == expected
    assert process.stderr.count("compiled kernels cannot be kept") == 1
