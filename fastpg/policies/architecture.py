"""The forms in which users write the shape of a policy, read into plain tuples and names.

Nothing here imports a deep-learning framework: an activation class such as ``torch.nn.ReLU`` is known by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, cast

from fastpg.errors import ConfigError
from fastpg.kernels.layout import Activation, ActorCriticLayout, HeadLayout, MLPLayout

DEFAULT_NET_ARCH = (64, 64)  # of both networks, as stable-baselines3
MAX_WIDTH = 65536
ACTIVATIONS: tuple[Activation, ...] = ("tanh", "relu")

_NET_ARCH_FIX = (
    "Fix: give a list of widths for both networks, [64, 64], or dict(pi=[64, 64], vf=[64, 64]); [] is linear."
)


def parse_net_arch(net_arch: Any = None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hidden widths of the policy and of the value network.

    Args:
        net_arch: ``None`` (64, 64 for both), a sequence of widths for both networks (empty: linear), or a mapping
            with the keys ``pi`` and ``vf``.

    Returns:
        (policy widths, value widths), each width in 1..65536.

    Raises:
        ConfigError: another form, an unknown or missing key, or a width that is not an integer in range.
    """
    if net_arch is None:
        return DEFAULT_NET_ARCH, DEFAULT_NET_ARCH
    if isinstance(net_arch, Mapping):
        if set(net_arch) != {"pi", "vf"}:
            raise ConfigError(
                f"net_arch: expected exactly the keys 'pi' and 'vf', got {sorted(map(str, net_arch))}. {_NET_ARCH_FIX}"
            )
        return _parse_widths("net_arch['pi']", net_arch["pi"]), _parse_widths("net_arch['vf']", net_arch["vf"])
    widths = _parse_widths("net_arch", net_arch)
    return widths, widths


def _parse_widths(name: str, widths: Any) -> tuple[int, ...]:
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        raise ConfigError(f"{name}: expected a list of layer widths, got {widths!r}. {_NET_ARCH_FIX}")
    for width in widths:
        if isinstance(width, bool) or not isinstance(width, Integral) or not 1 <= int(width) <= MAX_WIDTH:
            raise ConfigError(f"{name}: expected integer widths in 1..{MAX_WIDTH}, got {width!r}. {_NET_ARCH_FIX}")
    return tuple(int(width) for width in widths)


def parse_activation(activation: Any = "tanh") -> Activation:
    """The name of a hidden activation.

    Args:
        activation: ``"tanh"`` or ``"relu"`` in any case, or a class or function of that name (``torch.nn.ReLU``).

    Raises:
        ConfigError: any other activation.
    """
    name = activation if isinstance(activation, str) else getattr(activation, "__name__", type(activation).__name__)
    if name.lower() not in ACTIVATIONS:
        raise ConfigError(
            f"activation_fn: expected one of {', '.join(ACTIVATIONS)} (or a class of that name), got {activation!r}. "
            "Fix: activation_fn='tanh'."
        )
    return cast(Activation, name.lower())


def actor_critic_layout(
    observation_size: int, head: HeadLayout, *, net_arch: Any = None, activation: Any = "tanh"
) -> ActorCriticLayout:
    """Separate policy and value networks over O = ``observation_size`` inputs; the forms of the parsers above."""
    policy_widths, value_widths = parse_net_arch(net_arch)
    name = parse_activation(activation)
    return ActorCriticLayout(
        policy=MLPLayout((observation_size, *policy_widths, head.n_inputs), name),
        value=MLPLayout((observation_size, *value_widths, 1), name),
        head=head,
    )
