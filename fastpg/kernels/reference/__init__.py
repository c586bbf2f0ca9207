"""The specification: every kernel in NumPy, written to be compared with the formula, never optimised."""

import numpy as np


def build_info() -> dict[str, str]:
    """What runs these kernels, for ``backends.which``."""
    return {"isa": "that of NumPy and its BLAS", "compiler": f"NumPy {np.__version__}", "flags": ""}
