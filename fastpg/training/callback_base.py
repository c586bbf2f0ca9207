"""What a callback is, and how several are put together. Names, hooks and counters are those of stable-baselines3.

A callback that does not override ``_on_step`` costs nothing per step: the rollout then runs without returning to
Python between steps. An exception in a callback ends training with the model as after its last finished iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastpg.errors import ConfigError

if TYPE_CHECKING:
    from fastpg.training.logging import Logger
    from fastpg.training.model import OnPolicyModel


class BaseCallback:
    """Base of all callbacks: override any of the hooks ``_on_...``.

    Args:
        verbose: 1 sends messages to the log of the model.

    Attributes:
        model: the model that is trained, from ``init_callback`` on.
        n_calls: calls of ``_on_step`` so far, one per step of all environments together.
        num_timesteps: environment steps of the model so far.
        locals: variables of the training loop (``infos``, ``rewards``, ``dones``, ``actions`` ...).
        globals: empty; kept for callbacks that pass it on.
        parent: the callback that holds this one, if any.
    """

    model: OnPolicyModel

    def __init__(self, verbose: int = 0) -> None:
        self.verbose = verbose
        self.n_calls = 0
        self.num_timesteps = 0
        self.locals: dict[str, Any] = {}
        self.globals: dict[str, Any] = {}
        self.parent: BaseCallback | None = None

    @property
    def needs_steps(self) -> bool:
        """True if ``_on_step`` has to be called after every step."""
        return type(self)._on_step is not BaseCallback._on_step

    @property
    def training_env(self) -> Any:
        """The environments that the model is trained on."""
        return self.model.get_env()

    @property
    def logger(self) -> Logger:
        """The log of the model."""
        return self.model.logger

    def init_callback(self, model: OnPolicyModel) -> None:
        """Bind to ``model``; called when ``learn`` starts."""
        self.model = model
        self._init_callback()

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """Called before the first rollout."""
        self.locals = locals_
        self.globals = globals_
        self.num_timesteps = self.model.num_timesteps
        self._on_training_start()

    def on_rollout_start(self) -> None:
        """Called before each rollout."""
        self.num_timesteps = self.model.num_timesteps
        self._on_rollout_start()

    def on_step(self) -> bool:
        """Called after each step of all environments; False stops training."""
        self.n_calls += 1
        self.num_timesteps = self.model.num_timesteps
        return self._on_step()

    def on_rollout_end(self) -> None:
        """Called after each rollout, before the update."""
        self.num_timesteps = self.model.num_timesteps
        self._on_rollout_end()

    def on_training_end(self) -> None:
        """Called once after training, also when an exception ended it."""
        self._on_training_end()

    def update_locals(self, locals_: Mapping[str, Any]) -> None:
        """Replace the variables of the training loop that ``_on_step`` sees."""
        self.locals.update(locals_)
        self.update_child_locals(locals_)

    def update_child_locals(self, locals_: Mapping[str, Any]) -> None:
        """Pass ``locals_`` on to the callbacks that this one holds."""

    def log(self, text: str) -> None:
        """Show ``text`` if ``verbose`` is at least 1: in the log of the model, or printed where that shows no text."""
        if self.verbose < 1:
            return
        if self.logger.shows_text:
            self.logger.log(text)
        else:
            print(text)  # noqa: T201

    def _init_callback(self) -> None:
        """Hook: the model is known."""

    def _on_training_start(self) -> None:
        """Hook: before the first rollout."""

    def _on_rollout_start(self) -> None:
        """Hook: before a rollout."""

    def _on_step(self) -> bool:
        """Hook: after a step of all environments; False stops training."""
        return True

    def _on_rollout_end(self) -> None:
        """Hook: after a rollout, before the update."""

    def _on_training_end(self) -> None:
        """Hook: training is over."""


def goes_on(answer: Any) -> bool:
    """Whether training goes on after a function said ``answer``: it stops for False, of NumPy too, not for None."""
    return answer is None or bool(answer)


CallbackLike: TypeAlias = (
    "BaseCallback | Iterable[BaseCallback] | Callable[[dict[str, Any], dict[str, Any]], bool | None] | None"
)


class CallbackList(BaseCallback):
    """Several callbacks in order; training stops when one of them says so, after all were called.

    Args:
        callbacks: the callbacks.
    """

    def __init__(self, callbacks: Iterable[BaseCallback]) -> None:
        super().__init__()
        self.callbacks = list(callbacks)

    @property
    def needs_steps(self) -> bool:
        """True if one of the callbacks needs every step."""
        return any(callback.needs_steps for callback in self.callbacks)

    def _init_callback(self) -> None:
        for callback in self.callbacks:
            if self.parent is not None:
                callback.parent = self.parent
            callback.init_callback(self.model)

    def _on_training_start(self) -> None:
        for callback in self.callbacks:
            callback.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_start()

    def _on_step(self) -> bool:
        results = [callback.on_step() for callback in self.callbacks]
        return all(results)

    def _on_rollout_end(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_end()

    def _on_training_end(self) -> None:
        for callback in self.callbacks:
            callback.on_training_end()

    def update_child_locals(self, locals_: Mapping[str, Any]) -> None:
        """Pass ``locals_`` on to every callback."""
        for callback in self.callbacks:
            callback.update_locals(locals_)


class ConvertCallback(BaseCallback):
    """A plain function ``callback(locals, globals)`` as a callback; returning False stops training.

    Args:
        callback: called after every step.
        verbose: 1 sends messages to the log.
    """

    def __init__(self, callback: Callable[[dict[str, Any], dict[str, Any]], bool | None], verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback

    def _on_step(self) -> bool:
        return goes_on(self.callback(self.locals, self.globals))


class EventCallback(BaseCallback):
    """Base of callbacks that call another one on an event.

    Args:
        callback: called on each event, or None.
        verbose: 1 sends messages to the log.
    """

    def __init__(self, callback: BaseCallback | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback
        if callback is not None:
            callback.parent = self

    def _init_callback(self) -> None:
        if self.callback is not None:
            self.callback.init_callback(self.model)

    def _on_training_start(self) -> None:
        if self.callback is not None:
            self.callback.on_training_start(self.locals, self.globals)

    def _on_event(self) -> bool:
        """Call the held callback; True without one."""
        return self.callback is None or self.callback.on_step()

    def update_child_locals(self, locals_: Mapping[str, Any]) -> None:
        """Pass ``locals_`` on to the held callback."""
        if self.callback is not None:
            self.callback.update_locals(locals_)


def make_callback(callback: CallbackLike) -> BaseCallback:
    """One callback for what a user passes to ``learn``: a callback, several, a function, or None.

    Raises:
        ConfigError: none of these.
    """
    if isinstance(callback, BaseCallback):
        return callback
    if callback is None:
        return CallbackList([])
    if callable(callback):
        return ConvertCallback(callback)
    if isinstance(callback, Iterable):
        items = list(callback)
        if all(isinstance(item, BaseCallback) for item in items):
            return CallbackList(items)
    raise ConfigError(
        "callback: expected None, a fastpg.callbacks.BaseCallback, a list of them, or a function of (locals, globals), "
        f"got {callback!r}. Fix: derive the callback from fastpg.callbacks.BaseCallback."
    )
