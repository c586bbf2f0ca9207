"""Mean return of the policies after a given number of steps, fastpg beside its peers, seed by seed.

    python -m benchmarks.final_return                                 # an hour with the peers installed
    python -m benchmarks.final_return --tasks CartPole-v1 --seeds 5
    python -m benchmarks.final_return --json FILE                     # also store what was measured

Everybody gets the same hyper-parameters on the same environments (no rendering), one thread, one core, and is evaluated
in the same way: 100 deterministic episodes at the end, by one function for all.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastpg.bench.peers import use_one_thread

use_one_thread()

from benchmarks import harness, machine  # noqa: E402
from benchmarks.learners import Make, chosen, command_line, evaluate, store, take_turns  # noqa: E402

N_EPISODES = 100
ALGORITHM = "TRPO"
NAMES = ("fastpg", "sb3-contrib")


@dataclass(frozen=True)
class Task:
    """An environment and how long to train on it.

    Attributes:
        env_id: Gymnasium id.
        n_envs: environments side by side.
        total_timesteps: of a training.
        title: the settings, for the table.
        arguments: algorithm -> constructor arguments that differ from the defaults.
    """

    env_id: str
    n_envs: int
    total_timesteps: int
    title: str
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)


TASKS = (
    Task("CartPole-v1", 8, 100_000, "8 environments, defaults, 100k steps"),
    Task(
        "Pendulum-v1",
        2,
        100_000,
        "2 environments, zoo settings without gSDE, 100k steps",
        {ALGORITHM: {"n_steps": 1024, "gamma": 0.9, "n_critic_updates": 15}},
    ),
    Task("LunarLander-v3", 8, 300_000, "8 environments, defaults, 300k steps"),
)


def run(task: Task, make: Make, seed: int) -> dict[str, Any]:
    """One training: its ``seconds``, construction included, and the ``return`` at its end."""
    start = time.perf_counter()
    model = make(seed=seed).learn(task.total_timesteps)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "return": evaluate(model, task.env_id, N_EPISODES)}


def describe(result: dict[str, Any]) -> str:
    """``237.1, 31.5 s``."""
    return f"{result['return']:.1f}, {result['seconds']:.1f} s"


def cell(runs: list[dict[str, Any]]) -> str:
    """``237 ± 5 (221 to 250), 31.5 s``: mean and its standard error, range over the seeds; median time."""
    returns = [result["return"] for result in runs]
    error = f" ± {statistics.stdev(returns) / len(returns) ** 0.5:.0f}" if len(returns) > 1 else ""
    seconds = statistics.median(result["seconds"] for result in runs)
    return f"{statistics.mean(returns):.0f}{error} ({min(returns):.0f} to {max(returns):.0f}), {seconds:.3g} s"


def table(results: dict[str, Any]) -> str:
    """A Markdown table: a row per task, a column per contender."""
    names = list(dict.fromkeys(name for row in results.values() for name in row["runs"]))
    lines = ["| | seeds | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in results.values():
        n_seeds = max(len(runs) for runs in row["runs"].values())
        cells = [cell(row["runs"][name]) if name in row["runs"] else "" for name in names]
        title = f"{row['algorithm']}, {row['env_id']}, {row['title']}"
        lines.append(f"| {title} | 0 to {n_seeds - 1} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train and evaluate on the chosen tasks, print one table."""
    given = command_line(__doc__, TASKS, n_seeds=5).parse_args()
    tasks = chosen(TASKS, given.tasks)
    core = harness.pin_to_one_core()
    print(*machine.header(core), "", sep="\n")
    results = {}
    for task in tasks:
        runs = take_turns(task, ALGORITHM, given.seeds, partial(run, task), describe, names=NAMES)
        row = {"env_id": task.env_id, "title": task.title, "algorithm": ALGORITHM, "runs": runs}
        results[f"{task.env_id}-{ALGORITHM}"] = row
        if given.json is not None:
            store(given.json, results, core)
    print(table(results))


if __name__ == "__main__":
    main()
