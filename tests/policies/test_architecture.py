from __future__ import annotations

import pytest

from fastpg.kernels.layout import HeadLayout
from fastpg.policies import actor_critic_layout

HEAD = HeadLayout("gaussian", (1, 1))


def test_layout() -> None:
    layout = actor_critic_layout(5, HEAD, net_arch={"pi": [7], "vf": []}, activation="relu")
    assert layout.policy.sizes == (5, 7, 2)
    assert layout.value.sizes == (5, 1)
    assert layout.policy.activation == layout.value.activation == "relu"
    assert layout.n_params == (5 * 7 + 7) + (7 * 2 + 2) + 2 + (5 + 1)


@pytest.mark.parametrize(("net_arch", "hidden"), [([8, 4], (8, 4)), ((), ())])
def test_one_list_is_for_both_networks(net_arch: list[int], hidden: tuple[int, ...]) -> None:
    layout = actor_critic_layout(3, HEAD, net_arch=net_arch)
    assert layout.policy.sizes == (3, *hidden, 2)
    assert layout.value.sizes == (3, *hidden, 1)


def test_default_is_two_layers_of_64() -> None:
    assert actor_critic_layout(3, HEAD).value.sizes == (3, 64, 64, 1)
