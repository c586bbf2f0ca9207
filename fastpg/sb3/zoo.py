"""rl-baselines3-zoo on fastpg: its commands train, evaluate and tune these models instead of stable-baselines3's.

``python -m fastpg.sb3.zoo train --algo ppo --env CartPole-v1`` does what ``python -m rl_zoo3.train`` does with the same
arguments. Needs rl_zoo3, which brings stable-baselines3 and PyTorch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from fastpg.sb3.models import A2C, PPO, TRPO

ALGORITHMS = {"ppo": PPO, "a2c": A2C, "trpo": TRPO}
#: Modules of rl_zoo3 that hold the table of algorithms.
_TABLES = ("rl_zoo3", "rl_zoo3.utils", "rl_zoo3.train", "rl_zoo3.enjoy", "rl_zoo3.exp_manager", "rl_zoo3.record_video")
COMMANDS = ("train", "enjoy", "record_video")


def register() -> dict[str, Any]:
    """Put the models of fastpg into rl_zoo3's table of algorithms; returns the table.

    Raises:
        ImportError: rl_zoo3 is not installed.
    """
    try:
        zoo = importlib.import_module("rl_zoo3")
    except ImportError as error:
        raise ImportError(f"The zoo needs the package rl_zoo3 ({error}). Fix: pip install rl_zoo3") from error
    table = {**zoo.ALGOS, **ALGORITHMS}
    for name in _TABLES:
        try:
            module = importlib.import_module(name)
        except ImportError:  # of what only this command needs; it will say so itself
            continue
        if hasattr(module, "ALGOS"):
            module.ALGOS = table  # type: ignore[attr-defined]
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command of the zoo, ``train`` for instance, with the arguments that follow its name.

    Raises:
        SystemExit: no such command, or rl_zoo3 is not installed; with a message.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in COMMANDS:
        raise SystemExit(f"usage: python -m fastpg.sb3.zoo {{{','.join(COMMANDS)}}} [arguments of rl_zoo3]")
    try:
        register()
    except ImportError as error:
        raise SystemExit(f"Error: {error}") from error
    sys.argv = [f"rl_zoo3 {words[0]}", *words[1:]]
    module: Any = importlib.import_module(f"rl_zoo3.{words[0]}")
    getattr(module, words[0] if hasattr(module, words[0]) else "main")()


if __name__ == "__main__":
    main()
