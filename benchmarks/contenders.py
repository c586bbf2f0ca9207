"""Who takes part: fastpg once per implementation of its kernels, and the peers, imported only when they are asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Contender, Run


def fastpg_contenders(prepare: Callable[..., Run], *backends: str) -> tuple[Contender, ...]:
    """fastpg once per kernel implementation."""
    return tuple(Contender(f"fastpg {name}", partial(prepare, backend=name), backend=name) for name in backends)


def sb3(function: str, *arguments: Any, **options: Any) -> Contender:
    """The workload ``function`` of benchmarks/peers/sb3.py."""
    return Contender("stable-baselines3", _prepare("sb3", function, arguments, options), requires="stable_baselines3")


def sb3_contrib(function: str, *arguments: Any, **options: Any) -> Contender:
    """The workload ``function`` of benchmarks/peers/sb3_trpo.py."""
    return Contender("sb3-contrib", _prepare("sb3_trpo", function, arguments, options), requires="sb3_contrib")


def jax(function: str, *arguments: Any, module: str = "jax_ppo") -> Contender:
    """The workload ``function`` of a module of benchmarks/peers."""
    return Contender("JAX", _prepare(module, function, arguments, {}), requires="jax")


def _prepare(module: str, function: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Callable[[], Run]:
    """Imports the peer; data is made when it is needed: arguments that are functions are called."""

    def prepare() -> Run:
        peer = importlib.import_module(f"benchmarks.peers.{module}")
        values = [argument() if callable(argument) else argument for argument in arguments]
        return getattr(peer, function)(*values, **options)

    return prepare


def relative_error(got: np.ndarray, expected: np.ndarray, scale: np.ndarray | None = None) -> float:
    """Norm of the difference over the norm of ``scale`` (default: of ``expected``)."""
    scale = expected if scale is None else scale
    return float(np.linalg.norm(np.asarray(got, np.float64) - expected) / np.linalg.norm(scale))
