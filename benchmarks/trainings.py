"""Whole trainings through Gymnasium's own environments, construction of model and environments included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.contenders import fastpg_contenders
from benchmarks.harness import Contender, Run, Workload

STEPS_PER_ENV = 2048 * 3  # three iterations: enough to leave the returns of a random policy (22 on CartPole) behind


def training(
    algorithm: str, env_id: str, n_envs: int, *, peer: Callable[..., Contender], least_return: float
) -> Workload:
    """``algorithm`` with default settings; everybody must reach ``least_return`` over its last 100 episodes."""
    n_steps = n_envs * STEPS_PER_ENV

    def prepare(backend: str) -> Run:
        import fastpg

        def run() -> float:
            model = getattr(fastpg, algorithm)("MlpPolicy", env_id, n_envs=n_envs, seed=0, backend=backend)
            model.learn(n_steps)
            return float(np.mean([episode["r"] for episode in model.ep_info_buffer]))

        return run

    def check(mean_return: float) -> None:
        assert mean_return > least_return

    return Workload(
        name=f"train-{algorithm}-{env_id}-{n_envs}",
        title=f"{algorithm} end to end, {env_id}, {n_envs} environments",
        unit="step",
        n_units=n_steps,
        contenders=(*fastpg_contenders(prepare, "native", "jit"), peer("train", env_id, n_envs, n_steps)),
        check=check,
        rounds=3,
        is_rate=True,
    )
