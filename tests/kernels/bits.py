"""Digests of what the native kernels compute, case by case: ``case/dtype/size`` -> that of the outputs.

``python -m tests.kernels.bits`` takes the arguments of ``tests.bits``.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np

from tests import bits
from tests.kernels.case import Inputs, KernelCase
from tests.kernels.cases import CASES


def all_inputs() -> dict[str, tuple[KernelCase, Inputs]]:
    """``case/dtype/size`` -> the case and its inputs."""
    return {
        f"{case.name}/{dtype}/{size}": (case, case.inputs(size, dtype))
        for case in CASES
        for dtype in ("float32", "float64")
        for size in case.sizes
    }


def compute(path: Path) -> bits.Digests:
    """Digests of every case, with the native kernels, on the arrays of the file."""
    cases = all_inputs()
    drawn = {
        f"{name}/{key}": value
        for name, (_, inputs) in cases.items()
        for key, value in inputs.items()
        if isinstance(value, np.ndarray)
    }
    arrays = bits.kept(path, drawn)
    found = {}
    for name, (case, inputs) in cases.items():
        inputs.update((key, arrays[f"{name}/{key}"]) for key in inputs if f"{name}/{key}" in arrays)
        found[name] = bits.digest(case.call("native", inputs))
    return found


main = partial(bits.main, compute, "cases")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
