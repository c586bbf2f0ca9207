"""What users of stable-baselines3 pass as ``callback``, made into a callback of fastpg."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastpg.training.callback_base import BaseCallback, CallbackList, goes_on, make_callback
from fastpg.training.model import OnPolicyModel

_HOOKS = ("init_callback", "on_training_start", "on_rollout_start", "on_step", "on_rollout_end", "on_training_end")


class ForeignCallback(BaseCallback):
    """A callback of stable-baselines3's own class, called at the same moments.

    Args:
        callback: has ``init_callback``, ``on_training_start``, ``on_step`` and the others.
    """

    def __init__(self, callback: Any) -> None:
        super().__init__()
        self.callback = callback

    def init_callback(self, model: OnPolicyModel) -> None:
        """Passed on."""
        super().init_callback(model)
        self.callback.init_callback(model)

    def _on_training_start(self) -> None:
        self.callback.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        self.callback.on_rollout_start()

    def _on_step(self) -> bool:
        return goes_on(self.callback.on_step())

    def _on_rollout_end(self) -> None:
        self.callback.on_rollout_end()

    def _on_training_end(self) -> None:
        self.callback.on_training_end()

    def update_child_locals(self, locals_: Mapping[str, Any]) -> None:
        """Passed on."""
        self.callback.update_locals(dict(locals_))


def as_callback(callback: Any) -> BaseCallback:
    """One callback for None, a callback of fastpg or stable-baselines3, several of them, or a function.

    Raises:
        ConfigError: none of these.
    """
    if _is_foreign(callback):
        return ForeignCallback(callback)
    if isinstance(callback, Iterable) and not isinstance(callback, BaseCallback):
        items = list(callback)
        if any(_is_foreign(item) for item in items):
            return CallbackList([as_callback(item) for item in items])
        return make_callback(items)
    return make_callback(callback)


def _is_foreign(callback: Any) -> bool:
    return not isinstance(callback, BaseCallback) and all(hasattr(callback, name) for name in _HOOKS)
