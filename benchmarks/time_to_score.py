"""Seconds of training until a policy reaches a score, fastpg beside its peers.

    python -m benchmarks.time_to_score                                        # some two hours with all peers installed
    python -m benchmarks.time_to_score --tasks CartPole-v1,Pendulum-v1 --seeds 3
    python -m benchmarks.time_to_score --json FILE                            # also store what was measured

Everybody in a row gets the same hyper-parameters on the same environments (no rendering), one thread, one core, and is
evaluated in the same way: between iterations, 20 deterministic episodes on environments of their own, by one function
for all. The clock counts the training alone: construction included, imports, evaluation and the compilation of kernels
(a short training of another seed comes first) not. A run ends at the first evaluation that reaches the score, or
without it at the limit of steps.
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
from benchmarks.learners import CLEANRL_SCHEDULE, Make, chosen, command_line, evaluate, store, take_turns  # noqa: E402

N_EPISODES = 20
ALGORITHMS = ("PPO", "TRPO", CLEANRL_SCHEDULE)


@dataclass(frozen=True)
class Task:
    """An environment, a score, and the hyper-parameters of everybody.

    Attributes:
        env_id: Gymnasium id.
        score: mean return to be reached.
        n_envs: environments side by side.
        chunk: steps between evaluations, whole iterations.
        limit: steps after which a run gives up.
        arguments: algorithm -> constructor arguments that differ from the defaults; of these algorithms only.
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
#: CleanRL's schedule is for discrete actions; its learning rate gets to 0 where a run gives up. On LunarLander-v3 it
#: reaches 200 neither here nor in torch.
TASKS = (
    Task(
        "CartPole-v1",
        475.0,
        8,
        4096,
        200_000,
        {
            "PPO": {"n_steps": 256},
            "TRPO": {"n_steps": 256, "target_kl": 0.01},
            CLEANRL_SCHEDULE: {"n_envs": 4, "total_timesteps": 200_000},
        },
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


def run(task: Task, make: Make, seed: int) -> dict[str, Any]:
    """One training: ``seconds`` and ``steps`` until the score, None if it was not reached; ``returns`` on the way."""
    start = time.perf_counter()
    model = make(seed=seed)
    seconds, steps, returns = time.perf_counter() - start, 0, []
    while steps < task.limit:
        start = time.perf_counter()
        model.learn(task.chunk, reset_num_timesteps=steps == 0)
        seconds, steps = seconds + time.perf_counter() - start, steps + task.chunk
        returns.append(evaluate(model, task.env_id, N_EPISODES))
        if returns[-1] >= task.score:
            return {"seconds": seconds, "steps": steps, "is_reached": True, "returns": returns}
    return {"seconds": seconds, "steps": steps, "is_reached": False, "returns": returns}


def describe(result: dict[str, Any]) -> str:
    """``3.1 s, 53,248 steps, return 201.3``."""
    return f"{result['seconds']:.1f} s, {result['steps']:,} steps, return {result['returns'][-1]:.1f}"


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
    parser = command_line(__doc__, TASKS, n_seeds=3)
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS), help="some of " + ", ".join(ALGORITHMS))
    given = parser.parse_args()
    algorithms = given.algorithms.split(",")
    if unknown := set(algorithms) - set(ALGORITHMS):
        parser.error(f"--algorithms: expected some of {', '.join(ALGORITHMS)}, got {', '.join(sorted(unknown))}")
    tasks = chosen(TASKS, given.tasks)
    core = harness.pin_to_one_core()
    print(*machine.header(core), "", sep="\n")
    results = {}
    for task in tasks:
        for algorithm in (name for name in algorithms if name in task.arguments):
            runs = take_turns(task, algorithm, given.seeds, partial(run, task), describe)
            row = {"env_id": task.env_id, "score": task.score, "algorithm": algorithm, "runs": runs}
            results[f"{task.env_id}-{algorithm}"] = row
            if given.json is not None:
                store(given.json, results, core)
    print(table(results))


if __name__ == "__main__":
    main()
