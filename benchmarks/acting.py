"""The group ``acting``: actions for some environments, and advantages of what was collected."""

from __future__ import annotations

from benchmarks.harness import Workload
from benchmarks.updates import of_task
from fastpg.bench import problems, tasks


def workloads() -> tuple[Workload, ...]:
    """In the order of the table."""
    acting = [tasks.act(f"act-{n}", layout=problems.SMALL, n_envs=n) for n in (1, 8, 64, 1024)]
    predict = tasks.predict("predict-1", "CartPole-v1")
    gae = [tasks.gae(f"gae-{t}x{n}", n_steps=t, n_envs=n) for t, n in ((2048, 1), (128, 64), (128, 1024))]
    return tuple(of_task("acting", task) for task in (*acting, predict, *gae))
