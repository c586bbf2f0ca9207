"""Standard units for the fit of a value network: those in which its targets have mean 0 and variance 1.

A network that starts near 0 and learns by Adam moves its values by some multiple of the step size per step, whatever
its targets are. Returns of -60 +- 20 then take it thousands of steps, during which the advantages are mostly its
errors. So the last layer is rewritten to give the values in standard units, is fitted to standard targets, and is
written back:

    V~ = (V - mean) / deviation:      w~ = w / deviation,     b~ = (b - mean) / deviation
    V  = mean + deviation V~:         w  = deviation w~,      b  = mean + deviation b~

Neither rewriting changes the function that the network stands for.

Source: van Hasselt, Guez, Hessel, Mnih, Silver 2016, "Learning values across many orders of magnitude", section 2, with
the mean and the deviation of the batch in place of running ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastpg.kernels.layout import MLPLayout
from fastpg.types import Array


@dataclass(frozen=True)
class ValueScale:
    """Units of reward in which a value network is fitted; the default leaves all as it is.

    Attributes:
        mean: of the targets.
        deviation: standard deviation of the targets, > 0.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, returns: Array) -> ValueScale:
        """The units for targets ``returns`` (B,); deviation 1 where they differ by no more than rounding."""
        targets = returns.astype(np.float64)
        deviation = float(targets.std())
        if not deviation > float(np.finfo(returns.dtype).eps) * float(np.abs(targets).max()):
            deviation = 1.0
        return cls(float(targets.mean()), deviation)

    def standard(self, values: Array) -> Array:
        """``values`` (B,) in standard units, same dtype."""
        return _affine(values, 1.0 / self.deviation, -self.mean / self.deviation)

    def standard_network(self, params: Array, layout: MLPLayout) -> Array:
        """Parameters (P,) of V~ from those of V."""
        return _with_last_layer(params, layout, 1.0 / self.deviation, -self.mean / self.deviation)

    def network(self, standard_params: Array, layout: MLPLayout) -> Array:
        """Parameters (P,) of V from those of V~."""
        return _with_last_layer(standard_params, layout, self.deviation, self.mean)


def _affine(array: Array, factor: float, offset: float) -> Array:
    exact = array.astype(np.float64) * factor + offset
    result: Array = exact.astype(array.dtype)
    return result


def _with_last_layer(params: Array, layout: MLPLayout, factor: float, offset: float) -> Array:
    """A copy of ``params`` whose network gives ``factor`` V + ``offset``."""
    copy: Array = params.copy()
    weight, bias = layout.views(copy)[-1]
    weight[:] = _affine(weight, factor, 0.0)
    bias[:] = _affine(bias, factor, offset)
    return copy
