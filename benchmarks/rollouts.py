"""The group ``rollouts``: collecting transitions through Gymnasium's environments, and the environment alone."""

from __future__ import annotations

import numpy as np

from benchmarks.contenders import fastpg_contenders, peer
from benchmarks.harness import Contender, Run, Workload


def rollout(env_id: str, n_envs: int, n_steps: int) -> Workload:
    """Policy, value, sampling, step and storing; the last column has no policy and stores nothing."""

    def prepare(backend: str) -> Run:
        import fastpg

        model = fastpg.PPO("MlpPolicy", env_id, n_envs=n_envs, n_steps=n_steps, seed=0, backend=backend)
        collector = model.collector
        return lambda: collector.collect().rewards

    def environment_alone() -> Run:
        import gymnasium as gym

        envs = gym.make_vec(env_id, num_envs=n_envs, vectorization_mode="sync")
        envs.reset(seed=0)
        envs.action_space.seed(0)
        actions = [envs.action_space.sample() for _ in range(n_steps)]
        return lambda: np.stack([envs.step(action)[1] for action in actions])

    def check(rewards: np.ndarray) -> None:
        assert rewards.shape == (n_steps, n_envs)
        assert np.isfinite(rewards).all()
        assert (rewards != 0.0).mean() > 0.9  # steps that only reset an environment give nothing

    settings = {"n_envs": n_envs, "n_steps": n_steps}
    family, tianshou = "benchmarks.peers.sb3_family:collect", "benchmarks.peers.tianshou:collect"
    others = (
        peer("stable-baselines3", "stable_baselines3", family, "stable_baselines3", env_id, **settings),
        peer("SBX", "sbx", family, "sbx", env_id, **settings),
        peer("tianshou", "tianshou", tianshou, env_id, **settings),
        Contender("environment alone", environment_alone),
    )
    contenders = (*fastpg_contenders(prepare), *others)
    title = f"rollout, {env_id}, {n_envs} environments"
    name = f"rollout-{env_id}-{n_envs}"
    n_units = n_envs * n_steps
    return Workload("rollouts", name, title, "step", n_units, contenders, check, rounds=7, is_rate=True)


def workloads() -> tuple[Workload, ...]:
    """In the order of the table."""
    return (rollout("CartPole-v1", 8, 256), rollout("CartPole-v1", 64, 64), rollout("Pendulum-v1", 8, 256))
