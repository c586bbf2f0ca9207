"""Arrays of more than 2^31 elements: indices have 64 bits. Untouched zeros take no memory."""

import importlib.util

import numpy as np
import pytest

from fastpg import kernels, machine
from fastpg.kernels.layout import MLPLayout

N_INPUTS = 2**20
N_ROWS = 2**11 + 64


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fastpg._native") is None, reason="built without a compiler")
@pytest.mark.skipif((machine.available_memory() or 0) < 2**32, reason="needs some GiB of memory")
def test_the_last_row_of_many():
    layout = MLPLayout((N_INPUTS, 1), "tanh")
    params = np.zeros(layout.n_params, np.float32)
    params[-2:] = 3.0, 0.5  # the last weight, the bias
    inputs = np.zeros((N_ROWS, N_INPUTS), np.float32)
    assert inputs.size > 2**31
    inputs[-1, -1] = 2.0
    out = kernels.mlp_forward(params, inputs, layout=layout, backend="native")
    assert out[-1, 0] == 6.5
    assert (out[:-1] == 0.5).all()
