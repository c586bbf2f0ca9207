"""Digests of what the native kernels compute, case by case, to compare instruction sets and machines bit by bit.

``python -m tests.kernels.bits --inputs FILE.npz`` prints JSON: ``case/dtype/size`` -> digest of the outputs. The arrays
that go in are written to the file if it does not exist, and read from it if it does: NumPy draws and computes them with
other last bits on another machine.
``python -m tests.kernels.bits ONE.json OTHER.json`` compares two such outputs; its exit code is 1 where they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.kernels.case import Inputs, KernelCase
from tests.kernels.cases import CASES

Arrays = dict[str, np.ndarray]
Digests = dict[str, str]


def digest(arrays: Any) -> str:
    """SHA-256 of shapes and bytes, shortened; every NaN counts as the same."""
    sha = hashlib.sha256()
    for array in map(np.asarray, arrays):
        same = np.where(np.isnan(array), np.nan, array).astype(array.dtype) if array.dtype.kind == "f" else array
        sha.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(same).tobytes())
    return sha.hexdigest()[:16]


def all_inputs() -> dict[str, tuple[KernelCase, Inputs]]:
    """``case/dtype/size`` -> the case and its inputs."""
    return {
        f"{case.name}/{dtype}/{size}": (case, case.inputs(size, dtype))
        for case in CASES
        for dtype in ("float32", "float64")
        for size in case.sizes
    }


def compute(path: Path) -> Digests:
    """Digests of every case, with the native kernels, on the arrays of the file."""
    cases = all_inputs()
    if not path.exists():
        arrays = {
            f"{name}/{key}": value
            for name, (_, inputs) in cases.items()
            for key, value in inputs.items()
            if isinstance(value, np.ndarray)
        }
        np.savez(path, **arrays)
    with np.load(path) as file:
        arrays = dict(file)
    found = {}
    for name, (case, inputs) in cases.items():
        inputs.update((key, arrays[f"{name}/{key}"]) for key in inputs if f"{name}/{key}" in arrays)
        found[name] = digest(case.call("native", inputs))
    return found


def compare(one: Digests, other: Digests) -> list[str]:
    """Names of the cases whose outputs differ."""
    if one.keys() != other.keys():
        raise ValueError("the files have different cases")
    return [name for name, found in one.items() if found != other[name]]


def main(arguments: list[str]) -> int:
    """Print the digests, or compare two files of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digests", nargs="*", type=Path)
    parser.add_argument("--inputs", type=Path, metavar="FILE.npz")
    options = parser.parse_args(arguments)
    if options.inputs is not None:
        json.dump(compute(options.inputs), sys.stdout, indent=0)
        return 0
    if len(options.digests) != 2:
        parser.error("expected --inputs, or two files of digests")
    one, other = (json.loads(path.read_text(encoding="utf-8")) for path in options.digests)
    different = compare(one, other)
    sys.stdout.write("\n".join([f"{len(one)} cases, {len(different)} with different bits", *different, ""]))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
