"""The group ``updates``: minibatches of PPO, products and solves with the Fisher matrix, whole updates of TRPO."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.contenders import fastpg_contenders, peer, task_contenders
from benchmarks.harness import Run, Workload
from fastpg.algorithms.trpo import TRPOConfig, trpo
from fastpg.bench import problems, tasks
from fastpg.bench.tasks import Task, relative_error, shape_of
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.policies.problem import SampledProblem
from fastpg.types import Batch
from fastpg.updates.acceptance import Backtracking
from fastpg.updates.critic import AdamCritic
from fastpg.updates.damping import FixedDamping
from fastpg.updates.directions import ConjugateGradient, NaturalGradient
from fastpg.updates.local_model import LocalModelUpdate, Ratio
from fastpg.updates.proximity import KLNewOld
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import KLRadius

SHAPES = {"small": problems.SMALL, "large": problems.LARGE}


def of_task(group: str, task: Task) -> Workload:
    """A task of ``fastpg bench`` as a comparison."""
    title = f"{task.title}, {task.shape}" if task.shape else task.title
    n_flops = float(task.flops * task.n_units)
    return Workload(group, task.name, title, task.unit, task.n_units, task_contenders(task), task.check, n_flops)


def trpo_update(shape: str, n_samples: int, *, is_own: bool = False) -> Workload:
    """One update of policy and critic on a batch, with sb3-contrib's arguments.

    Args:
        shape: key of ``SHAPES``.
        n_samples: in the batch.
        is_own: as fastpg does it by default, alone; else as sb3-contrib measures divergences and lengths, beside it.
    """
    layout = SHAPES[shape]
    problem = partial(problems.trust_region_problem, layout, n_samples)

    def prepare(backend: str, dtype: Any = np.float32) -> Run:
        rollout = {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in problem().rollout.items()}
        samples = SampledProblem(batch=Batch(**rollout), layout=layout, backend=backend)
        state = OptimizerState.start(problem().policy.params.astype(dtype))
        arguments = problem().arguments
        update = trpo(TRPOConfig(n_steps=n_samples, **arguments)) if is_own else _update(arguments)
        return lambda: update(state, samples, progress_remaining=1.0, seed=problems.SEED, update_index=0)[0].params

    def check(params: np.ndarray) -> None:
        expected, old = prepare("reference", np.float64)(), problem().policy.params
        n_actor = layout.actor.n_params
        for part in (slice(None, n_actor), slice(n_actor, None)):
            assert relative_error(params[part], expected[part], scale=expected[part] - old[part]) < 1e-3

    contrib = peer("sb3-contrib", "sb3_contrib", "fastpg.bench.peers.sb3_trpo:update", problem)
    title = f"TRPO update{' with its own defaults' if is_own else ''}, {n_samples} samples, {shape_of(layout)}"
    name = f"trpo_{'own_' if is_own else ''}update-{shape}-{n_samples}"
    contenders = fastpg_contenders(prepare) if is_own else (*fastpg_contenders(prepare), contrib)
    return Workload("updates", name, title, "update", 1, contenders, check, rounds=15)


def _update(arguments: dict[str, Any]) -> LocalModelUpdate:
    """TRPO as sb3-contrib measures divergences, so that the result can be compared."""
    cg = ConjugateGradient(max_iterations=arguments["cg_max_steps"], absolute_tolerance=1e-5)
    return LocalModelUpdate(
        surrogate=Ratio(normalize_advantage=arguments["normalize_advantage"]),
        proximity=KLNewOld(is_per_dimension=True),
        direction=NaturalGradient(solver=cg, damping=FixedDamping(arguments["cg_damping"])),
        radius=KLRadius(target_kl=arguments["target_kl"], is_damped=True),
        acceptance=Backtracking(
            shrinking_factor=arguments["line_search_shrinking_factor"],
            max_iterations=arguments["line_search_max_iter"],
        ),
        critic=AdamCritic(
            learning_rate=arguments["learning_rate"],
            n_epochs=arguments["n_critic_updates"],
            batch_size=arguments["batch_size"],
        ),
    )


def ppo_update(shape: str, batch_size: int, *, hidden: tuple[int, ...] = (64, 64), name: str = "") -> Task:
    """2048 samples or one minibatch, whatever is more; the task may be drawn over batch sizes."""
    layout: ActorCriticLayout = problems.with_hidden(SHAPES[shape], hidden)
    n_minibatches = max(1, 2048 // batch_size)
    name = name or f"ppo_update-{shape}-{batch_size}"
    return tasks.ppo_update(name, layout=layout, batch_size=batch_size, n_minibatches=n_minibatches)


def workloads() -> tuple[Workload, ...]:
    """In the order of the table."""
    ppo = [ppo_update(shape, batch_size) for shape in SHAPES for batch_size in (64, 256, 2048)]
    wide = [ppo_update("large", size, hidden=(256, 256), name=f"ppo_update-256x256-{size}") for size in (64, 2048)]
    fisher = [
        tasks.fisher_product(f"fisher_product-{shape}-2048", layout=layout, n_samples=2048)
        for shape, layout in SHAPES.items()
    ]
    large = {"layout": problems.LARGE, "n_samples": 2048}
    solves = [tasks.conjugate_gradient(f"conjugate_gradient-large-2048-{n}", n_iterations=n, **large) for n in (10, 15)]
    solves.append(tasks.conjugate_gradient("bind_cg-large-2048-10", n_iterations=10, is_bound=False, **large))
    timed = tuple(of_task("updates", task) for task in (*ppo, *wide, *fisher, *solves))
    trpo_updates = [trpo_update(shape, 2048, is_own=is_own) for is_own in (False, True) for shape in SHAPES]
    return (*timed, *trpo_updates)
