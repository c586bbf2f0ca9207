"""Digests of short trainings with the native kernels, of all that each has learnt and logged.

``python -m tests.training.bits`` takes the arguments of ``tests.bits``. The inputs are the initial parameters: LAPACK,
which makes orthogonal ones, has other last bits on another processor, though float32 hardly ever shows them. The
environment has the same bits everywhere, so that the rest of a training must have them as well: rollout, normalisation,
update, log.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

import fastpg
from fastpg.training.logging import Logger, Sink
from tests import bits
from tests.envs import OscillatorEnv

DISCRETE, GAUSSIAN, BERNOULLI = spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,), np.float32), spaces.MultiBinary(3)
SIXTY = {"n_steps": 60}
SMALL = {"n_steps": 40, "batch_size": 72}  # the last minibatch is smaller than the others
WIDTHS = {"net_arch": [64, 32, 20]}
RELU = {"net_arch": [33], "activation_fn": "relu"}


@dataclass(frozen=True)
class Training:
    """A model and how long it learns.

    Attributes:
        algorithm: its class.
        actions: the action space.
        arguments: beside environments, seed, backend and threads.
        n_envs: environments.
        n_iterations: rollouts with their updates.
        threads: numbers of threads to train with.
    """

    algorithm: type[Any]
    actions: spaces.Space[Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    n_envs: int = 5
    n_iterations: int = 3
    threads: tuple[int, ...] = (1,)

    def model(self, n_threads: int) -> Any:
        """A new model."""
        envs = [lambda: OscillatorEnv(self.actions)] * self.n_envs
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="batch_size=.* does not divide")
            warnings.filterwarnings("ignore", message="n_threads=.* is more than")
            return self.algorithm("MlpPolicy", envs, backend="native", seed=0, n_threads=n_threads, **self.arguments)


BOTH = (1, 2)
#: 2600 rows, of which kernels take several chunks; PPO too where minibatches have 1300 of them.
MANY = {"n_steps": 325}
LARGE = {**MANY, "batch_size": 1300, "n_epochs": 3}
NORMALIZED = {**SMALL, "normalize": True, "policy_kwargs": WIDTHS}
ADAPTIVE = {**SIXTY, "t_schedule": "adaptive"}
TRAININGS = {
    "PPO discrete": Training(fastpg.PPO, DISCRETE, NORMALIZED, threads=BOTH),
    "PPO gaussian": Training(fastpg.PPO, GAUSSIAN, NORMALIZED, threads=BOTH),
    "PPO gaussian relu": Training(fastpg.PPO, GAUSSIAN, {**SMALL, "ent_coef": 0.01, "policy_kwargs": RELU}),
    "PPO bernoulli": Training(fastpg.PPO, BERNOULLI, {**SMALL, "clip_range_vf": 0.2, "target_kl": 0.02}),
    "PPO discrete, large minibatches": Training(fastpg.PPO, DISCRETE, LARGE, 8, 2, BOTH),
    "PPO gaussian, large minibatches": Training(fastpg.PPO, GAUSSIAN, LARGE, 8, 2, BOTH),
    "PPO gaussian, adaptive clip range": Training(fastpg.PPO, GAUSSIAN, {**SMALL, "clip_range": "adaptive"}),
    "PPO gaussian, backtracking": Training(fastpg.PPO, GAUSSIAN, {**SMALL, "constraint": "backtrack"}),
    "TRPO discrete": Training(fastpg.TRPO, DISCRETE, SIXTY),
    "TRPO gaussian": Training(fastpg.TRPO, GAUSSIAN, {**SIXTY, "policy_kwargs": WIDTHS}),
    "TRPO gaussian, many rows": Training(fastpg.TRPO, GAUSSIAN, MANY, 8, 2, BOTH),
    "TRPO gaussian, radius by return": Training(fastpg.TRPO, GAUSSIAN, {**SIXTY, "adaptive_radius": "return"}),
    "NPG discrete": Training(fastpg.NPG, DISCRETE, {**SIXTY, "critic_solver": "lm"}, threads=BOTH),
    "NPG gaussian": Training(fastpg.NPG, GAUSSIAN, {**SIXTY, "normalize": True}, threads=BOTH),
    "NPG gaussian, Hessian-free": Training(fastpg.NPG, GAUSSIAN, {**SIXTY, "preset": "hessian_free"}),
    "A2C discrete": Training(fastpg.A2C, DISCRETE, n_iterations=20),
    "A2C gaussian": Training(fastpg.A2C, GAUSSIAN, {"policy_kwargs": RELU}, n_iterations=20, threads=BOTH),
    "MDPO discrete": Training(fastpg.MDPO, DISCRETE, SIXTY),
    "MDPO gaussian": Training(fastpg.MDPO, GAUSSIAN, {**SIXTY, "entropy_weight": 0.01}, threads=BOTH),
    "MDPO gaussian, adaptive": Training(fastpg.MDPO, GAUSSIAN, ADAPTIVE),
    "VPG gaussian": Training(fastpg.VPG, GAUSSIAN, SIXTY),
}


class Rows(Sink):
    """Everything that is logged, but for times."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def write(self, values: Mapping[str, Any], step: int) -> None:
        self.values |= {f"{step} {key}": float(value) for key, value in values.items() if not key.startswith("time/")}


def trained(training: Training, n_threads: int, params: bits.Arrays) -> str:
    """The digests of one training that begins with ``params``."""
    model, rows = training.model(n_threads), Rows()
    model.set_parameters({"policy": params}, exact_match=False)
    model.set_logger(Logger([rows]))
    model.learn(training.n_iterations * training.n_envs * model.config.n_steps)
    return " ".join(f"{name} {bits.digest(content)}" for name, content in known(model, rows))


def known(model: Any, rows: Rows) -> Iterator[tuple[str, list[Any]]]:
    """What ``model`` has learnt, and what was logged on the way.

    The arrays are parameters, moments, what the update remembers, and the statistics of the normaliser.
    """
    arrays, meta = model.state_dict()
    yield "arrays", [arrays[name] for name in sorted(arrays)]
    yield "numbers", [repr([meta[name] for name in ("progress", "collector", "scalars")])]
    yield "log", [repr(sorted(rows.values.items()))]


def compute(path: Path) -> bits.Digests:
    """Digests of every training, begun with the parameters of the file."""
    initial = {
        f"{name}/{key}": value
        for name, training in TRAININGS.items()
        for key, value in training.model(1).get_parameters()["policy"].items()
    }
    arrays = bits.kept(path, initial)
    return {
        f"{name}, n_threads={n_threads}": trained(training, n_threads, parameters_of(name, arrays))
        for name, training in TRAININGS.items()
        for n_threads in training.threads
    }


def parameters_of(name: str, arrays: bits.Arrays) -> bits.Arrays:
    """Those of one training in the file."""
    return {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}


main = partial(bits.main, compute, "trainings")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
