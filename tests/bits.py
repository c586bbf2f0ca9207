"""Digests of what is computed, by name, to compare instruction sets and machines bit by bit.

``python -m tests.kernels.bits`` has those of the kernels, ``python -m tests.training.bits`` those of whole trainings:

- ``--inputs FILE.npz`` prints them as JSON. The arrays that go in are written to the file if it does not exist, and
  read from it if it does: NumPy draws and computes them with other last bits on another machine.
- ``ONE.json OTHER.json ...`` compares such outputs; the exit code is 1 where they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Digests = dict[str, str]


def digest(arrays: Iterable[Any]) -> str:
    """SHA-256 of shapes and bytes, shortened; every NaN counts as the same."""
    sha = hashlib.sha256()
    for array in map(np.asarray, arrays):
        same = np.where(np.isnan(array), np.nan, array).astype(array.dtype) if array.dtype.kind == "f" else array
        sha.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(same).tobytes())
    return sha.hexdigest()[:16]


def kept(path: Path, arrays: Arrays) -> Arrays:
    """The arrays in the file, which gets ``arrays`` if it does not exist."""
    if not path.exists():
        np.savez(path, **arrays)
    with np.load(path) as file:
        return dict(file)


def compare(files: list[Digests]) -> list[str]:
    """A line for each name whose digests are not all the same.

    Raises:
        ValueError: the files have different names.
    """
    first, *others = files
    if any(first.keys() != other.keys() for other in others):
        raise ValueError("the files have digests of different things")
    found = {name: [file[name] for file in files] for name in first}
    return [f"{name}: {'  '.join(digests)}" for name, digests in found.items() if len(set(digests)) > 1]


def main(compute: Callable[[Path], Digests], things: str, arguments: list[str]) -> int:
    """Print the digests that ``compute`` makes from a file of inputs, or compare files of digests of ``things``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digests", nargs="*", type=Path)
    parser.add_argument("--inputs", type=Path, metavar="FILE.npz")
    options = parser.parse_args(arguments)
    if options.inputs is not None:
        json.dump(compute(options.inputs), sys.stdout, indent=0)
        return 0
    if len(options.digests) < 2:
        parser.error("expected --inputs, or two files of digests or more")
    files = [json.loads(path.read_text(encoding="utf-8")) for path in options.digests]
    different = compare(files)
    names = ", ".join(path.stem for path in options.digests)
    title = f"{names}: {len(files[0])} {things}, {len(different)} with different bits"
    sys.stdout.write("\n".join([title, *different, ""]))
    return 1 if different else 0
