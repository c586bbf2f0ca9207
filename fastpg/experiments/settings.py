"""What the algorithms are run with on each task: rl-baselines3-zoo's tuned settings where it has them.

Zoo: ``hyperparams/{ppo,trpo,a2c}.yml`` of DLR-RM/rl-baselines3-zoo, without state-dependent exploration, which fastpg
does not have, and the initial noise that goes with it. What the zoo leaves out is stable-baselines3's default, and so
it is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastpg.errors import ConfigError

Arguments = Mapping[str, Any]

#: Environments side by side where an algorithm is run with its own defaults.
N_ENVS_OF_DEFAULTS = 8
SETTINGS = ("zoo", "defaults")
#: Arguments that say more about the task than about the algorithm.
SHARED = ("gamma", "gae_lambda", "normalize")


@dataclass(frozen=True, kw_only=True)
class Task:
    """An environment, how long to train on it, and with what.

    Attributes:
        env: Gymnasium id.
        total_timesteps: environment steps of one run.
        threshold: return at which Gymnasium calls it solved; None if it does not say.
        tuned: algorithm -> arguments. Algorithms that are not listed get TRPO's ``SHARED`` ones.
    """

    env: str
    total_timesteps: int
    threshold: float | None
    tuned: Mapping[str, Arguments]


TASKS: Mapping[str, Task] = {
    task.env: task
    for task in (
        Task(
            env="CartPole-v1",
            total_timesteps=100_000,
            threshold=475.0,
            tuned={
                "PPO": {
                    "n_envs": 8,
                    "n_steps": 32,
                    "batch_size": 256,
                    "gamma": 0.98,
                    "gae_lambda": 0.8,
                    "n_epochs": 20,
                    "learning_rate": "lin_1e-3",
                    "clip_range": "lin_0.2",
                },
                "TRPO": {
                    "n_envs": 2,
                    "n_steps": 512,
                    "batch_size": 512,
                    "gae_lambda": 0.98,
                    "cg_damping": 1e-3,
                    "n_critic_updates": 20,
                },
                "A2C": {"n_envs": 8},
            },
        ),
        Task(
            env="Acrobot-v1",
            total_timesteps=200_000,
            threshold=-100.0,
            tuned={
                "PPO": {"normalize": True, "n_envs": 16, "n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4},
                "TRPO": {"normalize": True, "n_envs": 2, "n_steps": 1024},
                "A2C": {"normalize": True, "n_envs": 16},
            },
        ),
        Task(
            env="Pendulum-v1",
            total_timesteps=200_000,
            threshold=None,
            tuned={
                "PPO": {"n_envs": 4, "n_steps": 1024, "gamma": 0.9, "learning_rate": 1e-3},
                "TRPO": {"n_envs": 2, "n_steps": 1024, "gamma": 0.9, "n_critic_updates": 15},
                "A2C": {
                    "normalize": True,
                    "n_envs": 8,
                    "n_steps": 8,
                    "gae_lambda": 0.9,
                    "vf_coef": 0.4,
                    "learning_rate": "lin_7e-4",
                },
            },
        ),
        Task(
            env="LunarLander-v3",
            total_timesteps=500_000,
            threshold=200.0,
            tuned={
                "PPO": {
                    "n_envs": 16,
                    "n_steps": 1024,
                    "gamma": 0.999,
                    "gae_lambda": 0.98,
                    "n_epochs": 4,
                    "ent_coef": 0.01,
                },
                "TRPO": {
                    "n_envs": 2,
                    "n_steps": 512,
                    "gae_lambda": 0.98,
                    "cg_damping": 0.01,
                    "n_critic_updates": 15,
                },
                "A2C": {"n_envs": 8, "gamma": 0.995, "learning_rate": "lin_0.00083", "ent_coef": 1e-5},
            },
        ),
    )
}


def find_task(env: str) -> Task:
    """The task on ``env``, with or without the version number, in any case.

    Raises:
        ConfigError: there is none.
    """
    for name, task in TASKS.items():
        if env.lower() in (name.lower(), name.lower().partition("-")[0]):
            return task
    raise ConfigError(f"tasks: expected names among {', '.join(TASKS)}, got {env!r}.")


def arguments_for(task: Task, algorithm: str, *, settings: str) -> dict[str, Any]:
    """Constructor arguments of ``algorithm`` on ``task``.

    Args:
        task: from ``TASKS``.
        algorithm: a key of ``ALGORITHMS``, upper case.
        settings: ``zoo``, or ``defaults`` for the defaults of the algorithm with 8 environments.

    Raises:
        ConfigError: there are no such settings.
    """
    if settings not in SETTINGS:
        raise ConfigError(f"settings: expected one of {', '.join(SETTINGS)}, got {settings!r}.")
    if settings == "defaults":
        return {"n_envs": N_ENVS_OF_DEFAULTS}
    if algorithm in task.tuned:
        return dict(task.tuned[algorithm])
    shared = {name: value for name, value in task.tuned["TRPO"].items() if name in SHARED}
    return {"n_envs": N_ENVS_OF_DEFAULTS} | shared
