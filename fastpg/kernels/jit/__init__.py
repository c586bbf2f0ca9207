"""Numba kernels: what runs where no compiled extension is installed, and what people read and change.

Everything is compiled when it is first called, once per dtype; ``FASTPG_JIT_CACHE=1`` keeps the result on disk for the
next process. The functions are plain Python and also run with ``NUMBA_DISABLE_JIT=1``. They use one thread, whatever
``n_threads`` says, and draw the same random numbers as the other implementations.
"""

from fastpg.kernels.jit._compile import build_info

__all__ = ["build_info"]
