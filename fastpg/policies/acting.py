"""Acting again and again on as many rows: buffers that are bound once, networks that are packed once per parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels import actor
from fastpg.kernels.philox import STREAM_PREDICT
from fastpg.policies.actor_critic import ActorCritic

Array = NDArray[Any]


class BoundPolicy:
    """``ActorCritic.act`` for a fixed number of rows, with the same actions. Not for use by two threads at once.

    Args:
        policy: acts with the parameters that it has when it is called.
        n_rows: B, >= 1.
        seed: of the random numbers of samples.

    Attributes:
        observations: (B, O) float32, to be filled with encoded observations before ``act``.
    """

    def __init__(self, policy: ActorCritic, n_rows: int, *, seed: int) -> None:
        layout, dtype = policy.layout, np.dtype(np.float32)
        self._policy = policy
        self._params: Array | None = None
        self._actions = np.empty((1, n_rows, layout.head.n_actions), layout.head.action_dtype(dtype))
        observations = np.zeros((1, n_rows, layout.observation_size), dtype)
        self.observations: Array = observations[0]
        self._result: Array = self._actions[0]
        self._first = self._result[:1]
        self._actor = actor.bind_actor(
            observations,
            self._actions,
            np.empty((1, n_rows), dtype),
            np.empty((1, n_rows), dtype),
            layout=layout,
            seed=seed,
            stream=STREAM_PREDICT,
            backend=policy.backend,
        )

    def choose(self, observation: Any, *, deterministic: bool, step: int) -> Array | None:
        """Action (1, D) for one ``observation`` (O,), if it is a plain array of finite float32 or float64.

        Valid until the next call. None if it is anything else, which ``act`` may still take after a conversion.
        """
        params = self._policy.params
        if params is not self._params:
            self._take(params)
        return self._first if self._actor.choose(observation, step, deterministic) else None

    def act(self, *, deterministic: bool, step: int) -> Array:
        """Actions (B, D) for ``observations``, valid until the next call; see ``ActorCritic.act``."""
        params = self._policy.params
        if params is not self._params:
            self._take(params)
        if deterministic:
            self._actor.act_deterministic(0)
        else:
            self._actor.act(0, step)
        return self._result

    def _take(self, params: Array) -> None:
        self._actor.set_parameters(params)
        self._params = params
