"""The keys of ``policy_kwargs``: the shape and initialisation of the networks, the constants of the optimiser.

stable-baselines3's names and defaults. Activation functions are taken by name, so that ``torch.nn.ReLU`` works without
torch being imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastpg.algorithms.checks import Flag, Integer, Keywords, Real, Rejected
from fastpg.kernels.layout import Activation

MAX_LAYER_SIZE = 65536

_layer_size = Integer(1, MAX_LAYER_SIZE)


class Layers:
    """Hidden layer sizes: a list for both networks, or ``dict(pi=[...], vf=[...])``; empty means linear."""

    def __call__(self, value: Any) -> dict[str, list[int]]:
        """Check ``value``; returns the dict form."""
        if isinstance(value, Sequence) and len(value) == 1 and isinstance(value[0], Mapping):
            value = value[0]  # the form [dict(pi=..., vf=...)] of stable-baselines3 before 1.8
        if not isinstance(value, Mapping):
            value = {"pi": value, "vf": value}
        if not set(value) <= {"pi", "vf"}:
            raise Rejected("a list of layer sizes or dict(pi=[...], vf=[...])")
        return {net: self._sizes(value.get(net, ())) for net in ("pi", "vf")}

    def _sizes(self, sizes: Any) -> list[int]:
        try:
            return [_layer_size(size) for size in sizes]
        except (TypeError, Rejected):
            raise Rejected(f"layer sizes that are integers in [1, {MAX_LAYER_SIZE}]") from None


@dataclass(eq=False, repr=False)
class ByName:
    """One of ``names``, given as a string or as a class with that name, without regard to case."""

    names: tuple[str, ...]

    def __call__(self, value: Any) -> str:
        """Check ``value``; returns the name in lower case."""
        text = value if isinstance(value, str) else getattr(value, "__name__", "")
        name = text.rsplit(".", 1)[-1].lower()
        if name not in self.names:
            raise Rejected(f"one of {', '.join(map(repr, self.names))} or a class of that name")
        return name


class Betas:
    """The two decay rates of Adam, each in [0, 1)."""

    def __call__(self, value: Any) -> list[float]:
        """Check ``value``."""
        if not isinstance(value, Sequence) or len(value) != 2:
            raise Rejected("two numbers in [0, 1)")
        betas = [Real(0.0, 1.0)(beta) for beta in value]
        if max(betas) >= 1.0:
            raise Rejected("two numbers in [0, 1)")
        return betas


_MLP_ONLY = "fastpg trains MLP policies on flat observations"
_NO_SDE = "state-dependent exploration is not supported yet"

POLICY_KWARGS = Keywords(
    checks={
        "net_arch": Layers(),
        "activation_fn": ByName(("tanh", "relu")),
        "ortho_init": Flag(),
        "log_std_init": Real(-20.0, 20.0),
        "optimizer_class": ByName(("adam",)),
        "optimizer_kwargs": Keywords(checks={"eps": Real(0.0, is_above=True), "betas": Betas()}),
    },
    unsupported={
        "features_extractor_class": _MLP_ONLY,
        "features_extractor_kwargs": _MLP_ONLY,
        "share_features_extractor": _MLP_ONLY,
        "normalize_images": _MLP_ONLY,
        "use_sde": _NO_SDE,
        "full_std": _NO_SDE,
        "use_expln": _NO_SDE,
        "squash_output": "squashed actions are not supported yet; actions are clipped to the bounds of the space",
    },
)


@dataclass(frozen=True, kw_only=True)
class PolicyOptions:
    """``policy_kwargs`` with the defaults of stable-baselines3 filled in.

    Attributes:
        net_arch: hidden layer sizes of the policy (``pi``) and value (``vf``) network.
        activation: of the hidden layers.
        ortho_init: orthogonal initialisation; otherwise PyTorch's default for a linear layer.
        log_std_init: initial log standard deviation of Gaussian actions.
        adam_epsilon: Adam's epsilon.
        adam_betas: Adam's two decay rates.
    """

    net_arch: Mapping[str, Sequence[int]]
    activation: Activation
    ortho_init: bool
    log_std_init: float
    adam_epsilon: float
    adam_betas: tuple[float, float]

    @classmethod
    def from_kwargs(cls, policy_kwargs: Mapping[str, Any] | None) -> PolicyOptions:
        """The options for checked ``policy_kwargs``."""
        given = policy_kwargs or {}
        optimizer = given.get("optimizer_kwargs", {})
        return cls(
            net_arch=given.get("net_arch", {"pi": [64, 64], "vf": [64, 64]}),
            activation=given.get("activation_fn", "tanh"),
            ortho_init=given.get("ortho_init", True),
            log_std_init=given.get("log_std_init", 0.0),
            adam_epsilon=optimizer.get("eps", 1e-5),
            adam_betas=tuple(optimizer.get("betas", (0.9, 0.999))),
        )
