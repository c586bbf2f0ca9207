"""Whether a model fits into memory, asked before it is made: the kernel of the system kills instead of explaining."""

from __future__ import annotations

import os

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import ConfigError
from fastpg.kernels.layout import ActorCriticLayout

_N_VECTORS = 8  # of P floats: parameters, moments, what replaces them, the gradient, the policy's copies
_N_COLUMNS = 10  # of T N floats beside observations and actions: rewards, values, advantages ...
_STEP_BYTES = 1024  # Python objects of one step of a rollout
_GIB = 2**30


def check_memory(config: OnPolicyConfig, layout: ActorCriticLayout) -> None:
    """Raise ConfigError if rollout and networks need more memory than the machine has.

    Args:
        config: has T = ``n_steps`` and N = ``n_envs``.
        layout: of the networks; a rollout holds O observations and D actions per sample, twice with the batch.
    """
    row = layout.observation_size + layout.head.n_actions + _N_COLUMNS
    rollout = config.n_steps * (config.n_envs * row * 4 * 2 + _STEP_BYTES)
    networks = layout.n_params * 4 * _N_VECTORS
    memory = _physical_memory()
    if memory is None or rollout + networks <= memory:
        return
    raise ConfigError(
        f"n_steps, n_envs, net_arch: expected a model for the {memory / _GIB:.3g} GiB of memory of this machine, got "
        f"one that needs about {rollout / _GIB:.3g} GiB for n_steps * n_envs = {config.n_steps} * {config.n_envs} "
        f"samples of {layout.observation_size} values, and {networks / _GIB:.3g} GiB for {layout.n_params} parameters. "
        "Fix: lower n_steps, n_envs or the layer sizes in net_arch, or observe fewer values."
    )


def _physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
