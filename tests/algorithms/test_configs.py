"""What holds for the configuration of every algorithm."""

from __future__ import annotations

import pytest

from fastpg.algorithms.a2c import A2CConfig
from fastpg.algorithms.config import OnPolicyConfig
from fastpg.algorithms.mdpo import MDPOConfig
from fastpg.algorithms.npg import NPGConfig
from fastpg.algorithms.ppo import PPOConfig
from fastpg.algorithms.trpo import TRPOConfig
from fastpg.algorithms.vpg import VPGConfig

CONFIGS: list[type[OnPolicyConfig]] = [A2CConfig, MDPOConfig, NPGConfig, PPOConfig, TRPOConfig, VPGConfig]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_default_is_that_of_the_nearest_class(config: type[OnPolicyConfig]) -> None:
    """A second base class must not bring back a default of the common ancestor that the first one replaced."""
    for name, field in config.fields().items():
        owner = next(base for base in config.__mro__ if name in vars(base).get("__annotations__", {}))
        assert field is vars(owner)["__dataclass_fields__"][name], f"{config.__name__}.{name}: not of {owner}"
