"""The C++ kernels (``fastpg._native``): the default where an installation found a compiler.

The modules here re-export; signatures and documentation are in ``fastpg.kernels``, the code in ``csrc``.
"""

from fastpg._native import build_info as _build_info
from fastpg._native import select_isa

__all__ = ["build_info", "select_isa"]


def build_info() -> dict[str, str]:
    """Instruction set in use, those that could be, compiler and flags."""
    info = _build_info()
    return {
        "isa": info["isa"],
        "compiler": info["compiler"],
        "flags": info["flags"],
        "note": f"FASTPG_ISA chooses another instruction set; here: {', '.join(info['isa_available'])}",
    }
