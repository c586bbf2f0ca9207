"""The forms of net_arch and activation."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.errors import ConfigError
from fastpg.kernels.layout import HeadLayout
from fastpg.policies import parse_activation, parse_net_arch
from fastpg.policies.architecture import actor_critic_layout


class ReLU:
    """Stands for ``torch.nn.ReLU``, which is known by its name."""


class Tanh:
    """Stands for ``torch.nn.Tanh``."""


FORMS = [
    (None, ((64, 64), (64, 64))),
    ([32], ((32,), (32,))),
    ((), ((), ())),
    ([np.int64(3), 4], ((3, 4), (3, 4))),
    ({"pi": [8], "vf": [9, 10]}, ((8,), (9, 10))),
    ({"pi": [], "vf": (5,)}, ((), (5,))),
]


@pytest.mark.parametrize(("net_arch", "expected"), FORMS)
def test_net_arch(net_arch, expected):
    assert parse_net_arch(net_arch) == expected


WRONG = [
    ([0], "expected integer widths in 1..65536, got 0"),
    ([-3], "got -3"),
    ([65537], "got 65537"),
    ([1.5], "got 1.5"),
    ([True], "got True"),
    (64, "expected a list of layer widths, got 64"),
    ("64", "expected a list of layer widths, got '64'"),
    ({"pi": [64]}, r"expected exactly the keys 'pi' and 'vf', got \['pi'\]"),
    ({"pi": [64], "qf": [64]}, "expected exactly the keys"),
    ({"pi": [64], "vf": [0]}, r"net_arch\['vf'\]: expected integer widths"),
]


@pytest.mark.parametrize(("net_arch", "message"), WRONG)
def test_wrong_net_arch(net_arch, message):
    with pytest.raises(ConfigError, match=message):
        parse_net_arch(net_arch)


@pytest.mark.parametrize(
    ("activation", "expected"), [("tanh", "tanh"), ("ReLU", "relu"), (ReLU, "relu"), (Tanh, "tanh"), (ReLU(), "relu")]
)
def test_activation(activation, expected):
    assert parse_activation(activation) == expected


@pytest.mark.parametrize("activation", ["gelu", int, None, 3])
def test_wrong_activation(activation):
    with pytest.raises(ConfigError, match="activation_fn: expected one of tanh, relu"):
        parse_activation(activation)


def test_layout():
    layout = actor_critic_layout(5, HeadLayout("gaussian", (1, 1)), net_arch={"pi": [7], "vf": []}, activation="relu")
    assert layout.policy.sizes == (5, 7, 2)
    assert layout.value.sizes == (5, 1)
    assert layout.n_params == (5 * 7 + 7) + (7 * 2 + 2) + 2 + (5 + 1)
