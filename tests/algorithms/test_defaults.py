"""Defaults of inherited arguments."""

import pytest

from fastpg.training.loading import ALGORITHMS, model_class


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_nearest_definition_of_an_argument_wins(algorithm):
    """A mixin with fields of a common base would otherwise put the base's defaults over those of a class in between."""
    config_class = model_class(algorithm).config_class
    for name, effective in config_class.fields().items():
        nearest = next(cls for cls in config_class.__mro__ if name in vars(cls).get("__annotations__", {}))
        defined = nearest.__dataclass_fields__[name]
        assert (effective.default, effective.metadata) == (defined.default, defined.metadata), name


@pytest.mark.parametrize("algorithm", ["NPG", "TRPO"])
def test_the_critic_of_the_trust_region_methods_learns_at_the_rate_of_sb3_contrib(algorithm):
    assert model_class(algorithm).config_class().learning_rate == 1e-3
