"""The shape of an actor-critic. What users may write for it is read in ``fastpg.algorithms.policy_options``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastpg.kernels.layout import Activation, ActorCriticLayout, HeadLayout, MLPLayout

NetArch = Sequence[int] | Mapping[str, Sequence[int]]

DEFAULT_NET_ARCH = (64, 64)  # of both networks, as stable-baselines3


def actor_critic_layout(
    observation_size: int,
    head: HeadLayout,
    *,
    net_arch: NetArch = DEFAULT_NET_ARCH,
    activation: Activation = "tanh",
) -> ActorCriticLayout:
    """Separate policy and value networks over O = ``observation_size`` inputs.

    Args:
        observation_size: O >= 1.
        head: the action distribution.
        net_arch: hidden widths, each >= 1, of both networks, or of each under the keys ``pi`` and ``vf``; empty is
            linear.
        activation: of the hidden layers.
    """
    widths = net_arch if isinstance(net_arch, Mapping) else {"pi": net_arch, "vf": net_arch}
    return ActorCriticLayout(
        policy=MLPLayout((observation_size, *widths["pi"], head.n_inputs), activation),
        value=MLPLayout((observation_size, *widths["vf"], 1), activation),
        head=head,
    )
