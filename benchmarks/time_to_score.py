"""Seconds of training until a policy reaches a score, fastpg beside its peers.

    python -m benchmarks.time_to_score                                        # about an hour with the peers installed
    python -m benchmarks.time_to_score --tasks CartPole-v1,Pendulum-v1 --seeds 3
    python -m benchmarks.time_to_score --json FILE                            # also store what was measured

Everybody gets the same hyper-parameters on the same environments (no rendering), one thread, one core, and is evaluated
in the same way: between iterations, 20 deterministic episodes on environments of their own, by one function for all.
The clock counts the training alone: construction included, imports, evaluation and the compilation of kernels (a
short training of another seed comes first) not. A run ends at the first evaluation that reaches the score, or without
it at the limit of steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastpg.bench.peers import use_one_thread

use_one_thread()

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks import harness, machine  # noqa: E402

N_EPISODES = 20
EVALUATION_SEED = 10_000
Make = Callable[..., Any]


@dataclass(frozen=True)
class Task:
    """An environment, a score, and the hyper-parameters of everybody.

    Attributes:
        env_id: Gymnasium id.
        score: mean return to be reached.
        n_envs: environments side by side.
        chunk: steps between evaluations, whole iterations.
        limit: steps after which a run gives up.
        arguments: algorithm -> constructor arguments that differ from the defaults.
    """

    env_id: str
    score: float
    n_envs: int
    chunk: int
    limit: int
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)


_LUNAR = {"n_steps": 1024, "gamma": 0.999, "gae_lambda": 0.98}
_PENDULUM = {"n_steps": 1024, "gamma": 0.9}
#: CartPole: defaults with shorter rollouts. The others: rl-baselines3-zoo, without state-dependent exploration.
TASKS = (
    Task(
        "CartPole-v1", 475.0, 8, 4096, 200_000, {"PPO": {"n_steps": 256}, "TRPO": {"n_steps": 256, "target_kl": 0.01}}
    ),
    Task(
        "Pendulum-v1",
        -200.0,
        4,
        4096,
        200_000,
        {"PPO": _PENDULUM | {"learning_rate": 1e-3}, "TRPO": _PENDULUM | {"n_critic_updates": 15}},
    ),
    Task(
        "LunarLander-v3",
        200.0,
        16,
        16384 * 2,
        1_500_000,
        {"PPO": _LUNAR | {"n_epochs": 4, "ent_coef": 0.01}, "TRPO": _LUNAR | {"n_critic_updates": 15}},
    ),
)


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


def evaluate(model: Any, env_id: str) -> float:
    """Mean return of ``N_EPISODES`` deterministic episodes, side by side, the same starts for everybody."""
    envs = gym.vector.SyncVectorEnv(
        [partial(gym.make, env_id) for _ in range(N_EPISODES)], autoreset_mode=gym.vector.AutoresetMode.NEXT_STEP
    )
    low, high = getattr(envs.single_action_space, "low", None), getattr(envs.single_action_space, "high", None)
    observations, _ = envs.reset(seed=EVALUATION_SEED)
    returns, is_running = np.zeros(N_EPISODES), np.ones(N_EPISODES, bool)
    while is_running.any():
        actions, _ = model.predict(observations, deterministic=True)
        actions = actions if low is None else np.clip(actions, low, high)
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        returns += np.where(is_running, rewards, 0.0)
        is_running &= ~(terminated | truncated)
    envs.close()
    return float(returns.mean())


def run(task: Task, algorithm: str, make: Make, seed: int) -> dict[str, Any]:
    """One training: ``seconds`` and ``steps`` until the score, None if it was not reached; ``returns`` on the way."""
    start = time.perf_counter()
    model = make(task.env_id, n_envs=task.n_envs, seed=seed, **task.arguments.get(algorithm, {}))
    seconds, steps, returns = time.perf_counter() - start, 0, []
    while steps < task.limit:
        start = time.perf_counter()
        model.learn(task.chunk, reset_num_timesteps=steps == 0)
        seconds, steps = seconds + time.perf_counter() - start, steps + task.chunk
        returns.append(evaluate(model, task.env_id))
        if returns[-1] >= task.score:
            return {"seconds": seconds, "steps": steps, "is_reached": True, "returns": returns}
    return {"seconds": seconds, "steps": steps, "is_reached": False, "returns": returns}


def measure(task: Task, algorithm: str, n_seeds: int) -> dict[str, list[dict[str, Any]]]:
    """Contender -> its runs; the contenders take turns, seed by seed."""
    able = {}
    for name, (module, make) in contenders(algorithm).items():
        reason = harness.Contender(name, lambda: print, requires=module).missing()
        if reason is None:
            able[name] = make
            arguments = task.arguments.get(algorithm, {})
            make(task.env_id, n_envs=task.n_envs, seed=n_seeds, **arguments).learn(1)  # compiles what is compiled
        else:
            print(f"{task.env_id}, {algorithm}: without {name}: {reason}", file=sys.stderr)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in able}
    for seed in range(n_seeds):
        for name, make in able.items():
            runs[name].append(run(task, algorithm, make, seed))
            last = runs[name][-1]
            state = f"{last['seconds']:.1f} s, {last['steps']:,} steps, return {last['returns'][-1]:.1f}"
            print(f"{task.env_id}, {algorithm}, {name}, seed {seed}: {state}", file=sys.stderr)
    return runs


def cell(runs: list[dict[str, Any]]) -> str:
    """``3.1 s (2.8 to 4.0), 53k steps``: median and range over seeds; how many reached the score if not all did.

    A single run has no range: ``3.1 s (one seed), 53k steps``.
    """
    reached = [r for r in runs if r["is_reached"]]
    if not reached:
        return f"none of {len(runs)} within {runs[0]['steps']:,} steps"
    seconds = [r["seconds"] for r in reached]
    spread = f"{min(seconds):.3g} to {max(seconds):.3g}" if len(runs) > 1 else "one seed"
    text = f"{statistics.median(seconds):.3g} s ({spread})"
    text += f", {statistics.median(r['steps'] for r in reached) / 1000:.0f}k steps"
    return text if len(reached) == len(runs) else f"{text}; {len(reached)} of {len(runs)}"


def table(results: dict[str, Any]) -> str:
    """A Markdown table: a row per task and algorithm, a column per contender."""
    names = list(dict.fromkeys(name for row in results.values() for name in row["runs"]))
    lines = ["| to reach | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in results.values():
        cells = [cell(row["runs"][name]) if name in row["runs"] else "" for name in names]
        lines.append(f"| {row['score']:g} on {row['env_id']}, {row['algorithm']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure the chosen tasks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(task.env_id for task in TASKS), help="comma-separated ids")
    parser.add_argument("--algorithms", default="PPO,TRPO", help="PPO, TRPO or both")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, at least 1")
    parser.add_argument("--json", type=Path, help="file to store the figures in; other tasks in it are kept")
    given = parser.parse_args()
    chosen = [task for task in TASKS if task.env_id in given.tasks.split(",")]
    core = harness.pin_to_one_core()
    print(*machine.header(core), "", sep="\n")
    results = {}
    for task in chosen:
        for algorithm in given.algorithms.split(","):
            runs = measure(task, algorithm, given.seeds)
            row = {"env_id": task.env_id, "score": task.score, "algorithm": algorithm, "runs": runs}
            results[f"{task.env_id}-{algorithm}"] = row
            if given.json is not None:
                store(given.json, results, core)
    print(table(results))


def store(path: Path, results: dict[str, Any], core: int | None) -> None:
    """Write ``results`` into ``path``, beside the tasks that are there already."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tasks": {}}
    known |= {"machine": machine.describe(), "header": machine.header(core), "tasks": known["tasks"] | results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
