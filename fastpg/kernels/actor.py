"""Acting for N environments on bound buffers: no arrays pass per step."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import _check, backends
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]


class Actor(Protocol):
    """A policy bound to the buffers of a rollout; made by ``bind_actor``."""

    def set_parameters(self, params: Array) -> None:
        """Take a copy of ``params`` (P,), of the dtype of the buffers.

        Raises:
            TypeError, ValueError: wrong dtype or shape.
        """

    def act(self, t: int, step: int) -> None:
        """Read ``observations[t]``; write sampled ``actions[t]``, their ``log_probs[t]`` and ``values[t]``.

        Args:
            t: row of the buffers, 0 <= t < T.
            step: counter of the random numbers (see ``heads.sample``); environment n uses row n.

        Raises:
            IndexError: ``t`` is out of range.
            RuntimeError: no parameters were set.
        """

    def act_deterministic(self, t: int) -> None:
        """As ``act``, with the mode of the distribution in place of a sample."""

    def choose(self, observation: Any, step: int, deterministic: bool) -> bool:
        """Write the action for one ``observation`` to ``actions[0, 0]``; touch no other buffer.

        The check is part of the call, as it would cost as much as the rest. What is no plain observation may become one
        by a conversion, which is left to the caller.

        Args:
            observation: (O,) float32 or float64, exactly a NumPy array; finite in the dtype of the buffers.
            step: as in ``act``; the random numbers are those of environment 0.
            deterministic: take the mode instead of a sample.

        Returns:
            False if ``observation`` is anything else; nothing has happened then.

        Raises:
            RuntimeError: no parameters were set.
            IndexError, ValueError: the buffers are empty.
        """


def bind_actor(
    observations: Array,
    actions: Array,
    log_probs: Array,
    values: Array,
    *,
    layout: ActorCriticLayout,
    seed: int,
    stream: int,
    n_threads: int = 1,
    backend: str | None = None,
) -> Actor:
    """An actor that reads and writes these buffers in place and keeps them alive.

    Args:
        observations: (T, N, O) float32 or float64, read.
        actions: (T, N, D), same dtype for a Gaussian head, else int32, written.
        log_probs: (T, N), same dtype, written, nats.
        values: (T, N), same dtype, written.
        layout: both networks and the head.
        seed: 0 <= seed < 2^64.
        stream: 0 <= stream < 2^8.
        n_threads: threads to use, >= 1; the result does not depend on it.
        backend: implementation, None for the default.

    Returns:
        The actor; its parameters must be set before it acts.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range, or a buffer that is not C-contiguous
            and aligned.
    """
    dtype = _check.float_dtype("bind_actor: observations", observations)
    _check.array_of("bind_actor: observations", observations, dtype, ("T", "N", layout.observation_size))
    if not _check.is_plain(observations):
        raise ValueError(
            "bind_actor: observations: expected a C-contiguous aligned array. Fix: np.ascontiguousarray(observations)."
        )
    rows = observations.shape[:2]
    head = layout.head
    action_dtype = head.action_dtype(dtype)
    _check.output("bind_actor: actions", _given("actions", actions), action_dtype, (*rows, head.n_actions))
    _check.output("bind_actor: log_probs", _given("log_probs", log_probs), dtype, rows)
    _check.output("bind_actor: values", _given("values", values), dtype, rows)
    buffers = [observations, actions, log_probs, values]
    for name, buffer in (("actions", actions), ("log_probs", log_probs), ("values", values)):
        _check.check_no_overlap(f"bind_actor: {name}", buffer, [other for other in buffers if other is not buffer])
    actor: Actor = backends.resolve("actor", backend).bind_actor(
        observations,
        actions,
        log_probs,
        values,
        layout=layout,
        seed=_check.check_integer("bind_actor: seed", seed, 0, 2**64 - 1),
        stream=_check.check_integer("bind_actor: stream", stream, 0, 255),
        n_threads=_check.check_threads("bind_actor", n_threads),
    )
    return actor


def _given(name: str, buffer: Array) -> Array:
    if not isinstance(buffer, np.ndarray):
        raise TypeError(f"bind_actor: {name}: expected a NumPy array, got {type(buffer).__name__}.")
    return buffer
