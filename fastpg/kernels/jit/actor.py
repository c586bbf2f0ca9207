"""Acting on bound buffers in Numba: both networks, the sample and its log-probability in one compiled call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels._compose import ComposedActor, Kernels
from fastpg.kernels.jit import adam, clipped_loss, gradient_norm, heads, mlp, philox
from fastpg.kernels.jit._compile import GAUSSIAN, head_arguments, jit, network_arguments, writable
from fastpg.kernels.jit._distributions import head_scales, mode_row, normalize_rows, row_log_prob, sample_row
from fastpg.kernels.jit._network import TILE_ROWS, forward_tile, n_units
from fastpg.kernels.jit.philox import fill_normal, fill_uniform
from fastpg.kernels.layout import ActorCriticLayout

Array = NDArray[Any]
KERNELS = Kernels(philox, mlp, heads, clipped_loss, gradient_norm, adam)
_NO_WORDS = np.zeros(4, np.uint64)


def bind_actor(
    observations: Array,
    actions: Array,
    log_probs: Array,
    values: Array,
    *,
    layout: ActorCriticLayout,
    seed: int,
    stream: int,
    n_threads: int,
) -> Actor:
    """The actor on these buffers."""
    return Actor(KERNELS, (observations, actions, log_probs, values), layout=layout, seed=seed, stream=stream)


class Actor(ComposedActor):
    """See ``fastpg.kernels.actor.Actor``."""

    def act(self, t: int, step: int) -> None:
        """Sample for every environment."""
        self._run(t, philox.counter_words(self._seed, self._stream, step), False)

    def act_deterministic(self, t: int) -> None:
        """The mode for every environment."""
        self._run(t, _NO_WORDS, True)

    def _run(self, t: int, words: Array, is_mode: bool) -> None:
        networks, layout = self._checked_networks(t), self._layout
        chosen = np.empty(self._actions.shape[1:], self._observations.dtype)
        _act(
            *networks,
            *network_arguments(layout.policy),
            *network_arguments(layout.value),
            *head_arguments(layout.head),
            words,
            is_mode,
            writable(self._observations[t]),
            chosen,
            self._log_probs[t],
            self._values[t],
        )
        self._actions[t] = chosen


@jit
def _act(
    policy: Array,
    log_std: Array,
    value: Array,
    policy_sizes: Array,
    is_policy_relu: bool,
    value_sizes: Array,
    is_value_relu: bool,
    kind: int,
    columns: Array,
    words: Array,
    is_mode: bool,
    observations: Array,
    actions: Array,
    log_probs: Array,
    values: Array,
) -> None:
    n_rows, n_inputs, n_actions = log_probs.size, policy_sizes[-1], columns.size - 1
    rows, chosen = observations.reshape(observations.size), actions.reshape(actions.size)
    numbers = np.empty_like(actions)
    if not is_mode and kind == GAUSSIAN:
        fill_normal(words, numbers)
    elif not is_mode:
        fill_uniform(words, numbers)
    drawn = numbers.reshape(numbers.size)
    scales = head_scales(log_std)
    work = np.empty(min(n_rows, TILE_ROWS) * max(n_units(policy_sizes), n_units(value_sizes)), policy.dtype)
    for first in range(0, n_rows, TILE_ROWS):
        size, start = min(TILE_ROWS, n_rows - first), first * policy_sizes[0]
        at = forward_tile(policy, policy_sizes, is_policy_relu, rows, start, size, work, 0)
        for i in range(size):
            z_at, action_at = at + i * n_inputs, (first + i) * n_actions
            if is_mode:
                mode_row(kind, columns, work, z_at, chosen, action_at)
            else:
                sample_row(kind, columns, work, z_at, log_std, drawn, chosen, action_at)
        normalize_rows(kind, columns, work, at, size)
        for i in range(size):
            action_at = (first + i) * n_actions
            log_probs[first + i] = row_log_prob(kind, columns, work, at + i * n_inputs, scales, chosen, action_at)
        at = forward_tile(value, value_sizes, is_value_relu, rows, start, size, work, 0)
        for i in range(size):
            values[first + i] = work[at + i]
