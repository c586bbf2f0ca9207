"""Digests of what the native kernels compute, case by case, to compare instruction sets and machines bit by bit.

``python -m tests.kernels.bits`` prints JSON: ``case/dtype/size`` -> [digest of the inputs, digest of the outputs].
``python -m tests.kernels.bits ONE.json OTHER.json`` compares two such files; its exit code is 1 where outputs of the
same inputs differ.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.kernels.cases import CASES

Digests = dict[str, list[str]]


def digest(arrays: Any) -> str:
    """SHA-256 of shapes and bytes, shortened; every NaN counts as the same."""
    sha = hashlib.sha256()
    for array in map(np.asarray, arrays):
        same = np.where(np.isnan(array), np.nan, array).astype(array.dtype) if array.dtype.kind == "f" else array
        sha.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(same).tobytes())
    return sha.hexdigest()[:16]


def compute() -> Digests:
    """Digests of every case, with the native kernels."""
    found = {}
    for case in CASES:
        for dtype in ("float32", "float64"):
            for size in case.sizes:
                inputs = case.inputs(size, dtype)
                arrays = [value for value in inputs.values() if isinstance(value, np.ndarray)]
                before = digest(arrays)
                found[f"{case.name}/{dtype}/{size}"] = [before, digest(case.call("native", inputs))]
    return found


def compare(one: Digests, other: Digests) -> tuple[list[str], list[str]]:
    """(cases whose outputs differ, cases whose inputs differ, which says nothing)."""
    assert one.keys() == other.keys()
    incomparable = [name for name in one if one[name][0] != other[name][0]]
    return [name for name in one if one[name][1] != other[name][1] and name not in incomparable], incomparable


def main(paths: list[str]) -> int:
    """Print the digests, or compare two files of them."""
    if not paths:
        json.dump(compute(), sys.stdout, indent=0)
        return 0
    one, other = (json.loads(Path(path).read_text(encoding="utf-8")) for path in paths)
    different, incomparable = compare(one, other)
    counts = f"{len(one)} cases: {len(different)} differ, {len(incomparable)} have other inputs"
    sys.stdout.write("\n".join([counts, *different, ""]))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
