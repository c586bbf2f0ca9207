"""Elementary functions that have the same bits on every machine, for what NumPy computes beside the kernels.

``np.exp`` and the mathematical library of the system round differently from processor to processor. Sums, products and
scaling by powers of two are IEEE arithmetic, and NumPy fuses none of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOG2_E = 1.4426950408889634
#: ln 2 in two parts; a multiple of the first, by an exponent of a double, is exact.
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_SMALLEST, _LARGEST = -746.0, 710.0  # 0 and infinity from there on
_TAYLOR = tuple(1.0 / math.factorial(n) for n in range(13, -1, -1))


def exp(x: NDArray[Any]) -> NDArray[np.float64]:
    """e^x in float64: 2^n times a Taylor polynomial in r = x - n ln 2, |r| <= ln(2) / 2.

    The formula of the kernels, without their fused multiply-adds. The relative error is below 3e-16 where the result is
    a normal number. Infinite numbers and NaN are treated as by ``np.exp``, without a warning.
    """
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        bounded = np.clip(x.astype(np.float64), _SMALLEST, _LARGEST)
        n = np.rint(bounded * _LOG2_E)
        r = (bounded - n * _LN2_HIGH) - n * _LN2_LOW
        y = np.full_like(r, _TAYLOR[0])
        for coefficient in _TAYLOR[1:]:
            y = y * r + coefficient
        result: NDArray[np.float64] = np.ldexp(y, n.astype(np.int32))
    return result
