"""The extension on processors that are not this one, where the emulator QEMU (user mode) is installed."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys

import pytest

QEMU = shutil.which("qemu-x86_64")

pytestmark = [
    pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64 with this Python"),
    pytest.mark.skipif(importlib.util.find_spec("fastpg._native") is None, reason="built without a compiler"),
    pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="no sanitizer lives in an emulator"),
]

#: A whole update of PPO, the heads, advantages, a Fisher product: every unit of the extension, with the instruction set
#: that it chooses by itself.
RUN = """
import numpy as np
from fastpg import kernels
from fastpg.kernels import backends
from tests.kernels.cases import CASES
seen = set()
for case in CASES:
    if case.family in seen:
        continue
    seen.add(case.family)
    inputs = case.inputs(case.sizes[-2], "float32")
    case.assert_close(case.call("native", inputs), case.call("reference", inputs), "float32")
assert seen == set(backends.FAMILIES)
print(backends.which("native").isa)
"""

#: Emulated model of CPU -> the best instruction set that it has. No model has AVX-512: QEMU 7 does not know it.
MODELS = {"Nehalem": "baseline", "SandyBridge": "baseline", "Haswell": "avx2"}


#: ``vpaddd ymm2, ymm1, ymm0`` of AVX2, ``vzeroupper``, ``ret``.
AVX2_INSTRUCTION = """
import ctypes, mmap
page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("c5f5fed0" "c5f877" "c3"))
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("survived")
"""


@pytest.mark.parametrize("model", MODELS)
def test_the_emulator_refuses_what_a_processor_does_not_have(model):
    """Else the test below would find nothing."""
    command = [QEMU, "-cpu", model, sys.executable, "-c", AVX2_INSTRUCTION]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ("survived" if MODELS[model] == "avx2" else ""), done.stderr[-2000:]
    assert (done.returncode == 0) == (MODELS[model] == "avx2")


@pytest.mark.parametrize("model", MODELS)
def test_no_illegal_instruction(model):
    """Nehalem has no AVX at all, Sandy Bridge has AVX without AVX2, Haswell is the first with AVX2 and FMA."""
    available = importlib.import_module("fastpg._native").build_info()["isa_available"]
    if MODELS[model] not in available:
        pytest.skip(f"this build or processor has no {MODELS[model]}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTPG_")}
    root = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run(
        [QEMU, "-cpu", model, sys.executable, "-c", f"import sys; sys.path.append({root!r})\n{RUN}"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "FASTPG_BACKEND": "native", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == MODELS[model]
