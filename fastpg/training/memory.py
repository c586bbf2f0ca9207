"""Whether a model fits into memory, asked before it is made: the kernel of the system kills instead of explaining."""

from __future__ import annotations

from fastpg import machine
from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import MemoryLimitError
from fastpg.kernels.layout import ActorCriticLayout

_FLOAT_BYTES = 4  # models compute in float32
_N_VECTORS = 8  # of P floats: parameters, moments, what replaces them, the gradient, the policy's copies
_N_COLUMNS = 10  # of T N floats beside observations and actions: rewards, values, advantages ...
_N_ACTIVATIONS = 2  # of every unit: the activation and its derivative
_STEP_BYTES = 1024  # Python objects of one step of a rollout
_GIB = 2**30


def rollout_bytes(config: OnPolicyConfig, layout: ActorCriticLayout) -> int:
    """Bytes of T N samples: O observations, D actions and what is computed of them, twice with the batch."""
    row = layout.observation_size + layout.head.n_actions + _N_COLUMNS
    return config.n_steps * (config.n_envs * row * _FLOAT_BYTES * 2 + _STEP_BYTES)


def network_bytes(config: OnPolicyConfig, layout: ActorCriticLayout) -> int:
    """Bytes of what is as long as the P parameters, and of the activations that an update keeps."""
    n_units = sum(layout.policy.sizes[1:])
    kept = config.n_samples_kept * n_units * _N_ACTIVATIONS
    return (layout.n_params * _N_VECTORS + kept) * _FLOAT_BYTES


def check_memory(config: OnPolicyConfig, layout: ActorCriticLayout) -> None:
    """Raise MemoryLimitError if rollout and networks need more memory than there is.

    Args:
        config: has T = ``n_steps`` and N = ``n_envs``.
        layout: of the networks.
    """
    rollout, networks = rollout_bytes(config, layout), network_bytes(config, layout)
    update = config.update_bytes(layout.actor)
    available = machine.available_memory()
    if available is None or rollout + networks + update <= available:
        return
    kept, own = config.n_samples_kept, f" and {update / _GIB:.3g} GiB for the options of the update,"
    raise MemoryLimitError(
        f"n_steps, n_envs, net_arch: expected a model for the {available / _GIB:.3g} GiB of memory that are available, "
        f"got one that needs about {rollout / _GIB:.3g} GiB for n_steps * n_envs = {config.n_steps} * {config.n_envs} "
        f"samples of {layout.observation_size} values,{own if update else ''} and {networks / _GIB:.3g} GiB for "
        f"{layout.n_params} parameters{f' and the activations of {kept} samples' if kept else ''}. "
        "Fix: lower n_steps, n_envs or the layer sizes in net_arch, or observe fewer values"
        f"{', or keep less of each update (tonga_rank, tonga_n_minibatches)' if update else ''}."
    )
