"""The group ``training``: whole trainings through Gymnasium's own environments, construction included."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.contenders import fastpg_contenders, peer
from benchmarks.harness import Contender, Run, Workload

N_ITERATIONS = 3  # enough to leave the returns of a random policy (22 on CartPole) behind
N_TO_LEARN = 7  # 114,688 steps, where evaluations of TRPO near the limit of CartPole
CLEANRL = {
    "n_steps": 128,
    "batch_size": 128,
    "n_epochs": 4,
    "learning_rate": "lin_2.5e-4",
    "clip_range_vf": 0.2,
    "ent_coef": 0.01,
}
SB3_FAMILY = {"stable-baselines3": "stable_baselines3", "sb3-contrib": "sb3_contrib", "SBX": "sbx"}


def training(
    algorithm: str,
    env_id: str,
    n_envs: int,
    *others: Contender,
    total: int,
    least_return: float,
    is_long: bool = False,
    **arguments: Any,
) -> Workload:
    """``algorithm`` with the settings given; everybody must reach ``least_return`` in the end.

    Args:
        algorithm: class of fastpg.
        env_id: Gymnasium id.
        n_envs: environments side by side.
        *others: the peers.
        total: steps.
        least_return: mean over the last episodes that shows that something was learned.
        is_long: there is a shorter one of the same algorithm and environment.
        **arguments: of fastpg's constructor.
    """

    def prepare(backend: str) -> Run:
        import fastpg

        def run() -> float:
            make = partial(getattr(fastpg, algorithm), "MlpPolicy", env_id, n_envs=n_envs, seed=0, backend=backend)
            model = make(**arguments)
            model.learn(total)
            return float(np.mean([episode["r"] for episode in model.ep_info_buffer]))

        return run

    def check(mean_return: float) -> None:
        assert mean_return > least_return

    kind = "CleanRL's schedule" if arguments else f"{total:,} steps" if is_long else "end to end"
    return Workload(
        group="training",
        name=f"train-{algorithm}-{env_id}-{n_envs}" + ("-long" if is_long else ""),
        title=f"{algorithm} {kind}, {env_id}, {n_envs} environments",
        unit="step",
        n_units=total,
        contenders=(*fastpg_contenders(prepare), *others),
        check=check,
        rounds=3,
        is_rate=True,
    )


def family(name: str, algorithm: str, env_id: str, n_envs: int, total: int) -> Contender:
    """stable-baselines3 or one of those built on it, with its defaults."""
    library = SB3_FAMILY[name]
    options = {"n_envs": n_envs, "total_timesteps": total}
    return peer(name, library, "benchmarks.peers.sb3_family:train", library, algorithm, env_id, **options)


def workloads() -> tuple[Workload, ...]:
    """In the order of the table."""
    cartpole, pendulum, total = "CartPole-v1", "Pendulum-v1", 8 * 2048 * N_ITERATIONS
    steps = {"n_envs": 8, "n_steps": 2048, "total_timesteps": total}
    tianshou = {
        name: peer("tianshou", "tianshou", "benchmarks.peers.tianshou:train", name, cartpole, **steps)
        for name in ("PPO", "TRPO", "NPG")
    }
    rltools = peer("RLtools", "rltools", "benchmarks.peers.rltools:train", pendulum, **steps)
    cleanrl = peer(
        "CleanRL's schedule in torch",
        "torch",
        "benchmarks.peers.cleanrl_schedule:train",
        cartpole,
        n_envs=4,
        total_timesteps=total,
    )
    ppo = [family(name, "PPO", cartpole, 8, total) for name in ("stable-baselines3", "SBX")]
    on_pendulum = [family(name, "PPO", pendulum, 8, total) for name in ("stable-baselines3", "SBX")]
    trpo, longer_trpo = (
        family("sb3-contrib", "TRPO", cartpole, 8, 8 * 2048 * n_iterations)
        for n_iterations in (N_ITERATIONS, N_TO_LEARN)
    )
    learned = {"total": total, "least_return": 40.0}
    return (
        training("PPO", cartpole, 8, *ppo, tianshou["PPO"], **learned),
        training("PPO", cartpole, 4, cleanrl, **learned, **CLEANRL),
        training("TRPO", cartpole, 8, trpo, tianshou["TRPO"], **learned),
        training("TRPO", cartpole, 8, longer_trpo, total=8 * 2048 * N_TO_LEARN, least_return=150.0, is_long=True),
        training("NPG", cartpole, 8, tianshou["NPG"], **learned),
        training("PPO", pendulum, 8, *on_pendulum, rltools, total=total, least_return=-1450.0),
    )
