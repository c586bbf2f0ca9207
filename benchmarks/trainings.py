"""The group ``training``: whole trainings through Gymnasium's own environments, construction included."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contenders import fastpg_contenders, peer
from benchmarks.harness import Contender, Run, Workload

#: Three iterations of 8 environments, 2048 steps: enough to leave a random policy's returns (22 on CartPole) behind.
TOTAL = 3 * 8 * 2048
#: Seven, where evaluations of TRPO near the limit of CartPole.
LONG_TOTAL = 7 * 8 * 2048
CLEANRL = {
    "n_steps": 128,
    "batch_size": 128,
    "n_epochs": 4,
    "learning_rate": "lin_2.5e-4",
    "clip_range_vf": 0.2,
    "ent_coef": 0.01,
}
#: TRPO's damping as in sb3-contrib; by default it follows the signal, which takes a second linear system per update.
FIXED_DAMPING = {"damping": "fixed", "damped_scale": True}
SB3_FAMILY = {"stable-baselines3": "stable_baselines3", "sb3-contrib": "sb3_contrib", "SBX": "sbx"}


def training(
    algorithm: str,
    env_id: str,
    n_envs: int,
    *others: Contender,
    total: int,
    least_return: float,
    environment: str | None = None,
    is_sync: bool = False,
    rounds: int = 3,
    settings: str = "",
    ends: str = "",
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
        environment: module that the environment needs; None if Gymnasium alone has it.
        is_sync: fastpg gets Gymnasium's ``SyncVectorEnv`` in place of the id, of which it would make its own.
        rounds: trainings of each that are timed.
        settings: what ``arguments`` are, for the title; empty for the defaults.
        ends: what the name ends with, where another workload would have the same.
        **arguments: of fastpg's constructor.
    """

    def prepare(backend: str) -> Run:
        import fastpg

        def run() -> float:
            env = sync_vector_env(env_id, n_envs) if is_sync else env_id
            make = partial(getattr(fastpg, algorithm), "MlpPolicy", env, n_envs=n_envs, seed=0, backend=backend)
            model = make(**arguments)
            model.learn(total)
            return float(np.mean([episode["r"] for episode in model.ep_info_buffer]))

        return run

    def check(mean_return: float) -> None:
        assert mean_return > least_return

    kind = settings or (f"{total:,} steps" if total > TOTAL else "end to end")
    names = ["train", algorithm, env_id, str(n_envs), *["long"] * (total > TOTAL), ends]
    return Workload(
        group="training",
        name="-".join(filter(None, names)),
        title=f"{algorithm} {kind}, {env_id}, {n_envs} environments",
        unit="step",
        n_units=total,
        contenders=tuple(replace(each, environment=environment) for each in (*fastpg_contenders(prepare), *others)),
        check=check,
        rounds=rounds,
        is_rate=True,
    )


def sync_vector_env(env_id: str, n_envs: int) -> Any:
    """Gymnasium's; resets in the same step, so that every step of it is one of the environments."""
    import gymnasium as gym

    mode = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    return gym.make_vec(env_id, num_envs=n_envs, vectorization_mode="sync", vector_kwargs=mode)


def family(name: str, algorithm: str, env_id: str, n_envs: int, total: int) -> Contender:
    """stable-baselines3 or one of those built on it, with its defaults."""
    library = SB3_FAMILY[name]
    options = {"n_envs": n_envs, "total_timesteps": total}
    return peer(name, library, "benchmarks.peers.sb3_family:train", library, algorithm, env_id, **options)


def environment_alone(env_id: str, n_envs: int, total: int) -> Contender:
    """As many steps with random actions; it learns nothing, and every check of a return passes."""

    def prepare() -> Run:
        import gymnasium as gym

        envs = gym.make_vec(env_id, num_envs=n_envs, vectorization_mode="sync")
        envs.action_space.seed(0)
        actions = [envs.action_space.sample() for _ in range(256)]

        def run() -> float:
            envs.reset(seed=0)
            for step in range(total // n_envs):
                envs.step(actions[step % len(actions)])
            return math.inf

        return run

    return Contender("environment alone", prepare)


def halfcheetah(**arguments: Any) -> Workload:
    """TRPO where most of the time is the environment's; -375 is the return before the first update."""
    env_id, n_envs, total = "HalfCheetah-v5", 8, LONG_TOTAL
    others = family("sb3-contrib", "TRPO", env_id, n_envs, total), environment_alone(env_id, n_envs, total)
    options = {"total": total, "least_return": -350.0, "environment": "mujoco"}
    return training("TRPO", env_id, n_envs, *others, **options, **arguments)


def workloads() -> tuple[Workload, ...]:
    """In the order of the table."""
    cartpole, pendulum, total = "CartPole-v1", "Pendulum-v1", TOTAL
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
    trpo, longer_trpo = (family("sb3-contrib", "TRPO", cartpole, 8, n_steps) for n_steps in (TOTAL, LONG_TOTAL))
    learned = {"total": total, "least_return": 40.0}
    return (
        training("PPO", cartpole, 8, *ppo, tianshou["PPO"], **learned),
        training("PPO", cartpole, 8, ppo[0], **learned, is_sync=True, settings="SyncVectorEnv", ends="sync"),
        training("PPO", cartpole, 4, cleanrl, **learned, settings="CleanRL's schedule", **CLEANRL),
        training("TRPO", cartpole, 8, trpo, tianshou["TRPO"], **learned),
        training("TRPO", cartpole, 8, longer_trpo, total=LONG_TOTAL, least_return=150.0),
        halfcheetah(),
        halfcheetah(settings=f"{LONG_TOTAL:,} steps, sb3-contrib's damping", ends="fixed-damping", **FIXED_DAMPING),
        training("NPG", cartpole, 8, tianshou["NPG"], **learned),
        training("PPO", pendulum, 8, *on_pendulum, rltools, total=total, least_return=-1450.0),
    )
