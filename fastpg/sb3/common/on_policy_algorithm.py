"""The base of the models under stable-baselines3's name."""

from fastpg.sb3.base import DropInModel

OnPolicyAlgorithm = DropInModel

__all__ = ["OnPolicyAlgorithm"]
