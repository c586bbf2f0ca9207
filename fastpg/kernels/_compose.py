"""Fused kernels written in terms of smaller ones, once for the implementations that do not fuse.

``reference`` and ``jit`` bind these to their own kernels; ``native`` has its own fused versions, which must agree.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import ActorCriticLayout
from fastpg.kernels.philox import STREAM_SHUFFLE

Array = NDArray[Any]
#: An update stops when the estimated KL exceeds this multiple of ``target_kl``. Source: OpenAI Spinning Up, ppo.py.
KL_STOP_FACTOR = 1.5
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Kernels(NamedTuple):
    """The modules of one implementation that the compositions call."""

    philox: ModuleType
    mlp: ModuleType
    heads: ModuleType
    clipped_loss: ModuleType
    gradient_norm: ModuleType
    adam: ModuleType


def minibatch_bounds(n_samples: int, batch_size: int) -> list[tuple[int, int]]:
    """(first, end) of every minibatch; a shorter last one of a single row is merged into the one before it."""
    starts = list(range(0, n_samples, batch_size))
    if len(starts) > 1 and n_samples - starts[-1] == 1 < batch_size:
        starts.pop()
    return list(zip(starts, [*starts[1:], n_samples], strict=True))


def composed_ppo_update(
    kernels: Kernels,
    state: tuple[Array, Array, Array],
    samples: tuple[Array, ...],
    *,
    loss_arguments: dict[str, Any],
    adam_arguments: dict[str, Any],
    n_epochs: int,
    batch_size: int,
    max_grad_norm: float,
    target_kl: float | None,
    adam_step: int,
    seed: int,
    update_index: int,
    first_epoch: int,
    old_params: Array | None,
    out: tuple[Array, Array, Array],
    stats: Array,
) -> None:
    """See ``fastpg.kernels.ppo_update.ppo_update``; ``samples`` are its six arrays of B rows."""
    old_inputs, old_log_std = old_policy(kernels, loss_arguments["layout"], old_params, samples[0])
    for new, old in zip(out, state, strict=True):
        new[:] = old
    params = out[0]
    gradient = np.empty_like(params)
    norm = np.zeros(1)
    n_samples = len(samples[0])
    order = np.empty(n_samples, np.int64)
    record = UpdateRecord()
    for epoch in range(first_epoch, first_epoch + n_epochs):
        kernels.philox.permutation(seed, STREAM_SHUFFLE, (update_index << 16) | epoch, out=order)
        record.begin_epoch()
        for first, end in minibatch_bounds(n_samples, batch_size):
            rows = order[first:end]
            minibatch = (np.take(array, rows, axis=0) for array in samples)
            loss_stats = np.zeros(7)
            kernels.clipped_loss.clipped_loss_gradient(
                params,
                *minibatch,
                old_head_inputs=None if old_inputs is None else np.take(old_inputs, rows, axis=0),
                old_log_std=old_log_std,
                out=gradient,
                stats=loss_stats,
                **loss_arguments,
            )
            record.add_loss(loss_stats)
            if target_kl is not None and record.last_kl > KL_STOP_FACTOR * target_kl:
                record.stopped = True
                break
            kernels.gradient_norm.clip_global_norm(gradient, max_norm=max_grad_norm, out=gradient, stats=norm)
            record.gradient_norms.append(norm[0])
            step = adam_step + len(record.gradient_norms)
            kernels.adam.adam_step(params, gradient, *out[1:], step=step, out=out, **adam_arguments)
        if record.stopped:
            break
    record.write(stats)


def old_policy(
    kernels: Kernels, layout: ActorCriticLayout, params: Array | None, observations: Array
) -> tuple[Array | None, Array | None]:
    """Head inputs (B, K) and log standard deviations of the policy that a KL penalty is relative to."""
    if params is None:
        return None, None
    policy, log_std, _ = layout.split(params)
    head_inputs = np.empty((len(observations), layout.head.n_inputs), params.dtype)
    kernels.mlp.mlp_forward(policy, observations, layout=layout.policy, out=head_inputs, n_threads=1)
    return head_inputs, log_std


class UpdateRecord:
    """Statistics of an update in progress."""

    def __init__(self) -> None:
        self.losses: list[Array] = []
        self.epoch_starts: list[int] = []
        self.gradient_norms: list[float] = []
        self.last_kl = 0.0
        self.stopped = False

    def add_epoch(self, losses: Array, gradient_norms: Array, stopped: bool) -> None:
        """Statistics (n, 7) of the minibatches of a whole epoch, and the norms of its steps."""
        self.begin_epoch()
        self.losses.extend(losses)
        self.gradient_norms.extend(gradient_norms.tolist())
        self.stopped = stopped

    def begin_epoch(self) -> None:
        self.epoch_starts.append(len(self.losses))

    def add_loss(self, stats: Array) -> None:
        self.losses.append(stats)
        self.last_kl = float(stats[4])

    @np.errstate(all="ignore")
    def write(self, stats: Array) -> None:
        """Into the ten places of ``PPOUpdateStats``."""
        losses = np.array(self.losses)
        _, policy_gradient_loss, value_loss, entropy_loss, _, clip_fraction, _ = losses.mean(axis=0)
        stats[:] = (
            policy_gradient_loss,
            value_loss,
            entropy_loss,
            clip_fraction,
            losses[self.epoch_starts[-1] :, 4].mean(),
            losses[-1, 0],
            np.mean(self.gradient_norms) if self.gradient_norms else 0.0,
            len(self.epoch_starts),
            len(self.gradient_norms),
            self.stopped,
        )


class ComposedActor:
    """See ``fastpg.kernels.actor.Actor``."""

    def __init__(
        self,
        kernels: Kernels,
        buffers: tuple[Array, Array, Array, Array],
        *,
        layout: ActorCriticLayout,
        seed: int,
        stream: int,
    ) -> None:
        self._kernels = kernels
        self._observations, self._actions, self._log_probs, self._values = buffers
        self._layout = layout
        self._seed = seed
        self._stream = stream
        self._head_inputs = np.empty((buffers[0].shape[1], layout.head.n_inputs), buffers[0].dtype)
        self._networks: tuple[Array, Array, Array] | None = None

    def set_parameters(self, params: Array) -> None:
        """Take a copy of ``params`` (P,)."""
        if not isinstance(params, np.ndarray) or params.dtype != self._observations.dtype:
            got = params.dtype if isinstance(params, np.ndarray) else type(params).__name__
            raise TypeError(f"set_parameters: params: expected dtype {self._observations.dtype}, got {got}.")
        if params.shape != (self._layout.n_params,):
            raise ValueError(f"set_parameters: params: expected shape ({self._layout.n_params},), got {params.shape}.")
        self._networks = self._layout.split(params.copy())

    def act(self, t: int, step: int) -> None:
        """Sample for every environment."""
        log_std = self._evaluate(t)
        self._kernels.heads.sample(
            self._head_inputs,
            log_std,
            head=self._layout.head,
            seed=self._seed,
            stream=self._stream,
            step=step,
            out=self._actions[t],
        )
        self._write_log_probs(t, log_std)

    def act_deterministic(self, t: int) -> None:
        """The mode for every environment."""
        log_std = self._evaluate(t)
        self._kernels.heads.mode(self._head_inputs, log_std, head=self._layout.head, out=self._actions[t])
        self._write_log_probs(t, log_std)

    def choose(self, observation: Any, step: int, deterministic: bool) -> bool:
        """The action for one observation."""
        policy, log_std, _ = self._checked_networks(0)
        if not self._log_probs.size:
            raise ValueError("choose: expected buffers with room for an action.")
        rows = _plain_row(observation, self._layout.observation_size, policy.dtype)
        if rows is None:
            return False
        inputs, head, out = self._head_inputs[:1], self._layout.head, self._actions[0, :1]
        self._kernels.mlp.mlp_forward(policy, rows, layout=self._layout.policy, out=inputs, n_threads=1)
        if deterministic:
            self._kernels.heads.mode(inputs, log_std, head=head, out=out)
        else:
            random = {"seed": self._seed, "stream": self._stream, "step": step}
            self._kernels.heads.sample(inputs, log_std, head=head, **random, out=out)
        return True

    def _evaluate(self, t: int) -> Array:
        """Both networks on ``observations[t]``; returns ``log_std``."""
        policy, log_std, value = self._checked_networks(t)
        observations = self._observations[t]
        forward = self._kernels.mlp.mlp_forward
        forward(policy, observations, layout=self._layout.policy, out=self._head_inputs, n_threads=1)
        forward(value, observations, layout=self._layout.value, out=self._values[t][:, None], n_threads=1)
        return log_std

    def _checked_networks(self, t: int) -> tuple[Array, Array, Array]:
        """(policy, log_std, value), if there are any and ``t`` is a row of the buffers."""
        if self._networks is None:
            raise RuntimeError("act: expected parameters, got none. Fix: call set_parameters first.")
        if not 0 <= t < len(self._observations):
            raise IndexError(f"act: t: expected an integer in [0, {len(self._observations) - 1}], got {t}.")
        return self._networks

    def _write_log_probs(self, t: int, log_std: Array) -> None:
        self._kernels.heads.log_prob(
            self._head_inputs, log_std, self._actions[t], head=self._layout.head, out=self._log_probs[t]
        )


def _plain_row(observation: Any, size: int, dtype: Any) -> Array | None:
    """``observation`` (O,) as one row (1, O), None if it is no array of finite float32 or float64 numbers."""
    if observation.__class__ is not np.ndarray or observation.shape != (size,) or observation.dtype not in _FLOATS:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        row = observation.astype(dtype)
    return row[None] if np.isfinite(row).all() else None
