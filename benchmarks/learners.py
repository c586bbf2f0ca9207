"""Whole trainings of fastpg and its peers, and one evaluation for everybody."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np

from benchmarks import harness, machine

EVALUATION_SEED = 10_000
Make = Callable[..., Any]


class Task(Protocol):
    """An environment and the hyper-parameters of everybody.

    Attributes:
        env_id: Gymnasium id.
        n_envs: environments side by side.
        arguments: algorithm -> constructor arguments that differ from the defaults.
    """

    @property
    def env_id(self) -> str: ...
    @property
    def n_envs(self) -> int: ...
    @property
    def arguments(self) -> dict[str, dict[str, Any]]: ...


AnyTask = TypeVar("AnyTask", bound=Task)


def command_line(description: str | None, tasks: Iterable[Task], n_seeds: int) -> argparse.ArgumentParser:
    """What commands that train on ``tasks`` take; ``n_seeds`` by default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(task.env_id for task in tasks), help="comma-separated ids")
    parser.add_argument("--seeds", type=int, default=n_seeds, help="trainings of each, at least 1")
    parser.add_argument("--json", type=Path, help="file to store the figures in; other tasks in it are kept")
    return parser


def chosen(tasks: Iterable[AnyTask], env_ids: str) -> list[AnyTask]:
    """The tasks with the comma-separated ``env_ids``; of those whose environment is not installed, says so.

    Raises:
        SystemExit: no task has such an id.
    """
    known = {task.env_id: task for task in tasks}
    if unknown := [env_id for env_id in env_ids.split(",") if env_id not in known]:
        sys.exit(f"--tasks: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    able = []
    for env_id in env_ids.split(","):
        try:
            gym.make(env_id).close()
            able.append(known[env_id])
        except gym.error.DependencyNotInstalled as error:
            print(f"{env_id} is left out: {error}", file=sys.stderr)
    return able


def contenders(algorithm: str) -> dict[str, tuple[str, Make]]:
    """Name -> (module that must be importable, constructor of (env_id, n_envs, seed, arguments))."""
    family = {"stable-baselines3": "stable_baselines3", "SBX": "sbx"} if algorithm == "PPO" else {}
    family |= {"sb3-contrib": "sb3_contrib"} if algorithm == "TRPO" else {}
    found: dict[str, tuple[str, Make]] = {"fastpg": ("fastpg", partial(_fastpg, algorithm))}
    return found | {name: (library, partial(_peer, library, algorithm)) for name, library in family.items()}


def _fastpg(algorithm: str, env_id: str, **arguments: Any) -> Any:
    import fastpg

    return getattr(fastpg, algorithm)("MlpPolicy", env_id, **arguments)


def _peer(library: str, algorithm: str, env_id: str, **arguments: Any) -> Any:
    from benchmarks.peers.sb3_family import make_model

    return make_model(library, algorithm, env_id, **arguments)


def evaluate(model: Any, env_id: str, n_episodes: int) -> float:
    """Mean return of ``n_episodes`` deterministic episodes, side by side, the same starts for everybody."""
    envs = gym.vector.SyncVectorEnv(
        [partial(gym.make, env_id) for _ in range(n_episodes)], autoreset_mode=gym.vector.AutoresetMode.NEXT_STEP
    )
    low, high = getattr(envs.single_action_space, "low", None), getattr(envs.single_action_space, "high", None)
    observations, _ = envs.reset(seed=EVALUATION_SEED)
    returns, is_running = np.zeros(n_episodes), np.ones(n_episodes, bool)
    while is_running.any():
        actions, _ = model.predict(observations, deterministic=True)
        actions = actions if low is None else np.clip(actions, low, high)
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        returns += np.where(is_running, rewards, 0.0)
        is_running &= ~(terminated | truncated)
    envs.close()
    return float(returns.mean())


def take_turns(
    task: Task,
    algorithm: str,
    n_seeds: int,
    run: Callable[[Make, int], dict[str, Any]],
    describe: Callable[[dict[str, Any]], str],
) -> dict[str, list[dict[str, Any]]]:
    """Contender -> its runs of seeds 0 to ``n_seeds - 1``; the contenders take turns, seed by seed.

    Args:
        task: what is trained on.
        algorithm: ``PPO`` or ``TRPO``.
        n_seeds: runs of each.
        run: one training by the constructor and with the seed given to it.
        describe: a few words on what a training gave, for standard error.
    """
    able = {}
    for name, (module, construct) in contenders(algorithm).items():
        reason = harness.Contender(name, lambda: print, requires=module).missing()
        if reason is None:
            able[name] = partial(construct, task.env_id, n_envs=task.n_envs, **task.arguments.get(algorithm, {}))
            able[name](seed=n_seeds).learn(1)  # compiles what is compiled
        else:
            print(f"{task.env_id}, {algorithm}: without {name}: {reason}", file=sys.stderr)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in able}
    for seed in range(n_seeds):
        for name, make in able.items():
            runs[name].append(run(make, seed))
            print(f"{task.env_id}, {algorithm}, {name}, seed {seed}: {describe(runs[name][-1])}", file=sys.stderr)
    return runs


def store(path: Path, results: dict[str, Any], core: int | None) -> None:
    """Write ``results`` into ``path``, beside the tasks that are there already; each with what it was measured on."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tasks": {}}
    where = {"header": machine.header(core), "machine": machine.describe()}
    known["tasks"] |= {name: row | where for name, row in results.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
