"""The table of kernels in ``docs/kernels.md``: each timed in its three implementations, with operations and bytes.

    python -m benchmarks.kernel_table            prints the table
    python -m benchmarks.kernel_table --write    puts it into docs/kernels.md, between the two marks

The implementations of a kernel take turns with the peak of the machine; a figure is the best turn. Results are compared
with the reference before any time is taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine as described
from fastpg.bench import machine, problems, tasks
from fastpg.bench.flops import act as act_flops
from fastpg.bench.timing import take_turns
from fastpg.kernels import backends
from tests.kernels.cases import CASES, KernelCase

PAGE = Path(__file__).parent.parent / "docs" / "kernels.md"
MARKS = ("<!-- kernel table -->", "<!-- end of the kernel table -->")
#: Turns of a kernel; one is enough for the reference, which takes up to seconds.
N_TURNS = {"native": 15, "jit": 15, "reference": 1}
PEAK_SECONDS = 0.005
SINGLE = 4

#: Cases of the tests that stand for a kernel, and their size: vectors of two 64x64 networks, else 2048 samples.
CHOSEN = (
    ("uniform", 2048),
    ("normal", 2048),
    ("permutation", 2048),
    ("gae_1_envs", 2048),
    ("gae_1024_envs", 128),
    ("mlp_forward_17_64_64_6_tanh", 2048),
    ("mlp_backward_17_64_64_6_tanh", 2048),
    ("log_prob_categorical", 2048),
    ("entropy_categorical", 2048),
    ("kl_old_new_categorical", 2048),
    ("sample_categorical", 2048),
    ("mode_categorical", 2048),
    ("clipped_loss_cartpole", 64),
    ("clipped_loss_halfcheetah", 2048),
    ("kl_gradient_old_new_halfcheetah", 2048),
    ("clip_global_norm", 9155),
    ("adam_step", 9155),
    ("rmsprop_step", 9155),
    ("update_moments", 2048),
    ("normalize", 2048),
    ("surrogate_gradient_halfcheetah", 2048),
    ("surrogate_evaluate_halfcheetah", 2048),
    ("surrogate_hessian_vector_product_halfcheetah", 2048),
    ("value_update_halfcheetah", 2048),
    ("fisher_diagonal_halfcheetah", 64),
    ("fisher_factors_halfcheetah", 64),
    ("cholesky_solve", 300),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kernel on one problem.

    Attributes:
        title: first cell.
        kernel: functions of ``fastpg.kernels`` that this measures.
        prepare: backend to (call, units of work per call); the result has been checked.
        flops: per unit, 0 where they are not what it costs.
        n_bytes: read and written at least, per unit.
    """

    title: str
    kernel: str
    prepare: Callable[[str], tuple[Callable[[], Any], int]]
    flops: int
    n_bytes: int


def rows() -> Iterator[Row]:
    """All of the table, whole updates first."""
    small, large = problems.SMALL, problems.LARGE
    for name, layout, n_samples in (("ppo_update_b64", small, 64), ("ppo_update_b2048", large, 2048)):
        samples = n_samples * (layout.observation_size + layout.head.n_actions + 4)
        yield _task_row(name, "`ppo_update`, one minibatch", "ppo_update", samples + 7 * layout.n_params)
    activations = 2048 * (sum(large.policy.sizes) + large.head.n_inputs)
    yield _task_row("fvp_b2048", "`Fisher.product`", "bind_fisher", activations + 3 * large.actor.n_params)
    cg_numbers = 11 * activations + 10 * 9 * large.actor.n_params
    yield _task_row("cg10_b2048", "`Fisher.solve`, 10 iterations", "bind_fisher", cg_numbers)
    for name, n_envs in (("act_n1", 1), ("act_n1024", 1024)):
        numbers = n_envs * (small.observation_size + small.head.n_actions + 2) + small.n_params
        yield _task_row(name, "`Actor.act`", "bind_actor", numbers, flops=act_flops(small, n_envs))
    by_name = {case.name: case for case in CASES}
    for case_name, size in CHOSEN:
        yield _case_row(by_name[case_name], size)


def _task_row(name: str, what: str, kernel: str, numbers: int, flops: int = 0) -> Row:
    task = next(task for task in tasks.SHORT if task.name == name)

    def prepare(backend: str) -> tuple[Callable[[], Any], int]:
        run = task.prepare(backend=backend)
        task.check(run())
        return run, task.n_units

    title = f"{what}: {name.rpartition('_')[2][1:]} rows, {task.shape}"
    return Row(title=title, kernel=kernel, prepare=prepare, flops=task.flops or flops, n_bytes=SINGLE * numbers)


def _case_row(case: KernelCase, size: int) -> Row:
    def prepare(backend: str) -> tuple[Callable[[], Any], int]:
        run = partial(case.function, **case.inputs(size, "float32"), backend=backend)
        case.assert_close(case.outputs(run()), case.call("reference", case.inputs(size, "float32")), "float32")
        return run, 1

    inputs = case.inputs(size, "float32")
    arrays = [value for key, value in inputs.items() if isinstance(value, np.ndarray) and key != "out"]
    n_bytes = sum(array.nbytes for array in (*arrays, *case.call("reference", inputs)))
    title = f"`{case.name}`, {size}"
    return Row(title=title, kernel=_kernel_of(case), prepare=prepare, flops=case.flops(size), n_bytes=n_bytes)


def _kernel_of(case: KernelCase) -> str:
    """The function of the family whose name the case's begins with, the longest such."""
    functions = backends.FAMILIES[case.family]
    fitting = [name for name in functions if case.name.startswith(name)]
    return max(fitting, key=len) if fitting else functions[-1]


def cells(row: Row, peak: Callable[[], float] | None) -> list[str]:
    """What stands in the table for ``row``, measured now."""
    peaks: list[float] = []
    best: dict[str, float] = {}
    for names in (("native", "jit"), ("reference",)):
        present = [name for name in names if name in backends.available()]
        calls = {name: row.prepare(name) for name in present}
        runs = {name: call for name, (call, _) in calls.items()}
        between = (lambda: peaks.append(peak())) if peak else (lambda: None)
        times = take_turns(runs, n_turns=N_TURNS[names[0]], between=between)
        best |= {name: times[name].best / calls[name][1] for name in present}
    text = [row.title]
    for name in N_TURNS:
        text.append(_duration(best[name]) if name in best else "")
        if name != "reference":
            text.append(_fraction(row.flops, best.get(name), max(peaks, default=0.0)))
    return [*text, _count(row.flops), _count(row.n_bytes)]


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def _fraction(flops: int, seconds: float | None, peak: float) -> str:
    return f"{flops / seconds / 1e9 / peak:.0%}" if flops and seconds and peak else ""


def _count(n: int) -> str:
    return "" if not n else f"{n:,}" if n < 10_000 else f"{n / 1e3:,.0f} k" if n < 10_000_000 else f"{n / 1e6:,.0f} M"


def table() -> str:
    """The marked part of the page."""
    peak = None
    if "native" in backends.available():
        peak = partial(machine.fma_peak_gflops, PEAK_SECONDS)
    lines = [
        "| kernel | native | of peak | jit | of peak | reference | flops | bytes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows():
        print(row.title, file=sys.stderr, flush=True)
        lines.append("| " + " | ".join(cells(row, peak)) + " |")
    isa = ", ".join(f"{name} {backends.which(name).isa}" for name in ("native", "jit") if name in backends.available())
    lines += ["", f"Measured on: {machine.cpu_name()}, one thread; {isa}; float32{described.commit_text()}."]
    return "\n".join([MARKS[0], *lines, MARKS[1]])


def write(text: str) -> None:
    """Replace what stands between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(before + text + after, encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Time every kernel in its three implementations.")
    parser.add_argument("--write", action="store_true", help="into docs/kernels.md instead of printing it")
    (write if parser.parse_args().write else print)(table())


if __name__ == "__main__":
    main()
