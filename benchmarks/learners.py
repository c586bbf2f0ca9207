"""Whole trainings of fastpg and its peers, and one evaluation for everybody."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np

from benchmarks import harness, machine
from benchmarks.trainings import CLEANRL, SB3_FAMILY

EVALUATION_SEED = 10_000
CLEANRL_SCHEDULE = "CleanRL's schedule"
#: Algorithm -> libraries that have it, with stable-baselines3's interface.
FAMILY = {"PPO": ("stable-baselines3", "SBX"), "TRPO": ("sb3-contrib",)}
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


def contenders(algorithm: str, env_id: str) -> dict[str, tuple[str, Make]]:
    """Name -> (module that must be importable, constructor of (env_id, n_envs, seed, arguments)).

    Args:
        algorithm: ``PPO``, ``TRPO`` or ``CLEANRL_SCHEDULE``.
        env_id: what is trained on; RLtools' Python package has PPO for continuous actions only.
    """
    if algorithm == CLEANRL_SCHEDULE:
        torch_loop = partial(_peer, "cleanrl_schedule:Model")
        return {"fastpg": ("fastpg", _annealed_fastpg), "CleanRL's schedule in torch": ("torch", torch_loop)}
    found: dict[str, tuple[str, Make]] = {"fastpg": ("fastpg", partial(_fastpg, algorithm))}
    for name in FAMILY[algorithm]:
        library = SB3_FAMILY[name]
        found[name] = (library, partial(_peer, "sb3_family:make_model", library, algorithm))
    found["tianshou"] = ("tianshou", partial(_peer, "tianshou:Model", algorithm))
    if (algorithm, env_id) == ("PPO", "Pendulum-v1"):
        found["RLtools"] = ("rltools", partial(_peer, "rltools:Model"))
    return found


def _fastpg(algorithm: str, env_id: str, **arguments: Any) -> Any:
    import fastpg

    return getattr(fastpg, algorithm)("MlpPolicy", env_id, **arguments)


def _annealed_fastpg(env_id: str, *, total_timesteps: int, **arguments: Any) -> Any:
    """PPO with the numbers of CleanRL's schedule; the learning rate gets to 0 at ``total_timesteps``.

    A linear schedule of fastpg's own would get there at the end of every call of ``learn``.
    """
    start = float(CLEANRL["learning_rate"].removeprefix("lin_"))
    models: list[Any] = []

    def learning_rate(_: float) -> float:
        return start * max(0.0, 1.0 - (models[0].num_timesteps if models else 0) / total_timesteps)

    models.append(_fastpg("PPO", env_id, **CLEANRL | arguments | {"learning_rate": learning_rate}))
    return models[0]


def _peer(constructor: str, *leading: str, **arguments: Any) -> Any:
    """``module:function`` of benchmarks/peers called with the arguments."""
    module, _, name = constructor.partition(":")
    return getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)(*leading, **arguments)


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
    *,
    names: Collection[str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Contender -> its runs of seeds 0 to ``n_seeds - 1``; the contenders take turns, seed by seed.

    Args:
        task: what is trained on.
        algorithm: ``PPO``, ``TRPO`` or ``CLEANRL_SCHEDULE``.
        n_seeds: runs of each.
        run: one training by the constructor and with the seed given to it.
        describe: a few words on what a training gave, for standard error.
        names: who takes part; everybody if None.
    """
    able = {}
    for name, (module, construct) in contenders(algorithm, task.env_id).items():
        if names is not None and name not in names:
            continue
        reason = harness.Contender(name, lambda: print, requires=module).missing()
        if reason is None:
            able[name] = partial(construct, task.env_id, **{"n_envs": task.n_envs} | task.arguments.get(algorithm, {}))
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
