"""stable-baselines3, sb3-contrib and SBX, used as their users use them; torch with one thread."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.env_util import make_vec_env

from fastpg.bench.timing import Run

torch.set_num_threads(1)

#: Settings -> the first policy of SBX with them.
_FIRST: dict[str, Any] = {}


def make_model(library: str, algorithm: str, env_id: str, *, n_envs: int, seed: int = 0, **arguments: Any) -> Any:
    """``algorithm`` of the module ``library``; environments from ``make_vec_env`` without rendering."""
    env = make_vec_env(env_id, n_envs=n_envs, seed=seed, env_kwargs={"render_mode": None})
    device = {} if library == "sbx" else {"device": "cpu"}
    model = getattr(importlib.import_module(library), algorithm)("MlpPolicy", env, seed=seed, **device, **arguments)
    if library == "sbx":
        settings = f"{algorithm} {env_id} {n_envs} {sorted(arguments.items())}"
        _share_compiled(model.policy, _FIRST.setdefault(settings, model.policy))
    return model


def _share_compiled(policy: Any, first: Any) -> None:
    """Let ``policy`` use the functions of ``first``, an equal one: JAX compiles once for each function object."""
    for name in ("actor_state", "vf_state"):
        functions = getattr(first, name)
        setattr(policy, name, getattr(policy, name).replace(apply_fn=functions.apply_fn, tx=functions.tx))


def train(library: str, algorithm: str, env_id: str, *, n_envs: int, total_timesteps: int, **arguments: Any) -> Run:
    """A whole training, construction included; returns the mean of the last 100 episodes."""

    def run() -> float:
        model = make_model(library, algorithm, env_id, n_envs=n_envs, **arguments)
        model.learn(total_timesteps)
        return float(np.mean([episode["r"] for episode in model.ep_info_buffer]))

    return run


def collect(library: str, env_id: str, *, n_envs: int, n_steps: int) -> Run:
    """``collect_rollouts`` of PPO of the module ``library``; returns the rewards."""
    model = make_model(library, "PPO", env_id, n_envs=n_envs, n_steps=n_steps)
    _, callback = model._setup_learn(n_envs * n_steps)

    def run() -> np.ndarray:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=n_steps)
        return model.rollout_buffer.rewards

    return run
