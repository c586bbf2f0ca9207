"""Looking through the wrappers of a single environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym


def unwrap_wrapper(env: gym.Env[Any, Any], wrapper_class: type[Any]) -> Any:
    """The outermost wrapper of ``env`` that is a ``wrapper_class``, None if there is none."""
    layer: Any = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, wrapper_class):
            return layer
        layer = layer.env
    return None


def is_wrapped(env: gym.Env[Any, Any], wrapper_class: type[Any]) -> bool:
    """Whether ``env`` has a wrapper of the class ``wrapper_class``."""
    return unwrap_wrapper(env, wrapper_class) is not None
