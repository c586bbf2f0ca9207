"""The group ``training``: whole trainings through Gymnasium's own environments, construction included."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.contenders import fastpg_contenders, peer
from benchmarks.harness import Contender, Run, Workload

# Enough to leave the returns of a random policy (22 on CartPole) behind, the last of them without an update after it.
N_STEPS = 8 * 2048
TOTAL = 3 * N_STEPS
TOTAL_OF_TRUST_REGIONS = 4 * N_STEPS
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
    algorithm: str, env_id: str, n_envs: int, *others: Contender, total: int, least_return: float, **arguments: Any
) -> Workload:
    """``algorithm`` with the settings given; everybody must reach ``least_return`` in the end.

    Args:
        algorithm: class of fastpg.
        env_id: Gymnasium id.
        n_envs: environments side by side.
        *others: the peers.
        total: steps.
        least_return: mean over the last episodes that shows that something was learned.
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

    kind = "CleanRL's schedule" if arguments else "end to end"
    return Workload(
        group="training",
        name=f"train-{algorithm}-{env_id}-{n_envs}",
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
    cartpole, pendulum = "CartPole-v1", "Pendulum-v1"
    totals = {"PPO": TOTAL, "TRPO": TOTAL_OF_TRUST_REGIONS, "NPG": TOTAL_OF_TRUST_REGIONS}
    steps = {name: {"n_envs": 8, "n_steps": 2048, "total_timesteps": total} for name, total in totals.items()}
    tianshou = {
        name: peer("tianshou", "tianshou", "benchmarks.peers.tianshou:train", name, cartpole, **steps[name])
        for name in totals
    }
    rltools = peer("RLtools", "rltools", "benchmarks.peers.rltools:train", pendulum, **steps["PPO"])
    cleanrl = peer(
        "CleanRL's schedule in torch",
        "torch",
        "benchmarks.peers.cleanrl_schedule:train",
        cartpole,
        n_envs=4,
        total_timesteps=TOTAL,
    )
    ppo = [family(name, "PPO", cartpole, 8, TOTAL) for name in ("stable-baselines3", "SBX")]
    on_pendulum = [family(name, "PPO", pendulum, 8, TOTAL) for name in ("stable-baselines3", "SBX")]
    trpo = family("sb3-contrib", "TRPO", cartpole, 8, totals["TRPO"])
    least = {"least_return": 40.0}
    return (
        training("PPO", cartpole, 8, *ppo, tianshou["PPO"], total=TOTAL, **least),
        training("PPO", cartpole, 4, cleanrl, total=TOTAL, **least, **CLEANRL),
        training("TRPO", cartpole, 8, trpo, tianshou["TRPO"], total=totals["TRPO"], **least),
        training("NPG", cartpole, 8, tianshou["NPG"], total=totals["NPG"], **least),
        training("PPO", pendulum, 8, *on_pendulum, rltools, total=TOTAL, least_return=-1450.0),
    )
