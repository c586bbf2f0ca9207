"""The regression guard: has a kernel's fraction of the machine's peak fallen below the committed one?

Only ratios are compared, never times: the peak is measured between the turns of the kernels, so that a slow or busy
machine moves both. Fractions count the operations of the plain algorithm, so that a kernel that comes to do with fewer
of them counts as faster. A kernel that is too slow is measured again, and its best attempt counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpg.bench import machine, problems, report, tasks
from fastpg.bench.tasks import SHORT, Task
from fastpg.errors import ConfigError, FastPGError
from fastpg.kernels import backends
from fastpg.version import __version__

ALLOWED_LOSS = 0.25  # of the committed fraction; two builds by different compilers differ by up to 10 %
N_ATTEMPTS = 4
#: Bound by arithmetic: the others depend on the caches of the machine, or on the speed of Python.
GUARDED = (
    *(task for task in SHORT if task.flops and task.name != "cg10_b2048"),
    # ten iterations are too long to be left alone on a busy machine
    tasks.conjugate_gradient("cg2_b2048", layout=problems.LARGE, n_samples=2048, n_iterations=2),
)

Fractions = dict[str, float]


class RegressionError(FastPGError, ArithmeticError):
    """A kernel is slower, relative to the peak of the machine, than the committed figure allows."""


@dataclass(frozen=True)
class Verdict:
    """What a check found; ``skipped`` says why nothing could be compared, and is empty if something was."""

    isa: str
    measured: Fractions
    committed: Fractions
    skipped: str = ""

    @property
    def too_slow(self) -> list[str]:
        """Names of the kernels below what is allowed."""
        return below(self.measured, self.committed)


def below(measured: Mapping[str, float], committed: Mapping[str, float]) -> list[str]:
    """Names whose measured fraction is more than ``ALLOWED_LOSS`` below the committed one."""
    return [name for name in measured if measured[name] < (1.0 - ALLOWED_LOSS) * committed[name]]


def measure_fractions(chosen: Sequence[Task], *, backend: str | None = None) -> Fractions:
    """Task -> fraction of the peak on one thread, in operations of the plain algorithm."""
    cores = machine.usable_cores()[-1:]
    measured = report.measure(chosen, backend=backend, n_threads=1, cores=cores)
    if measured.peak is None:
        raise ConfigError(f"the peak of this machine cannot be measured: {machine.why_no_peak()}")
    fractions = {}
    for task in chosen:
        share = report.fraction_of_peak(task, measured.times[task.name].best, measured.peak)
        fractions[task.name] = share * (task.plain_flops or task.flops) / task.flops
    return fractions


def check(
    path: Path,
    *,
    chosen: Sequence[Task] = GUARDED,
    backend: str | None = None,
    measure: Callable[..., Fractions] = measure_fractions,
) -> Verdict:
    """Compare this machine with the fractions in ``path`` for its instruction set.

    Args:
        path: written by ``record``.
        chosen: kernels to compare; those without a committed figure are left out.
        backend: kernels to measure, None for the default.
        measure: (tasks, backend) to fractions.

    Returns:
        The best of up to ``N_ATTEMPTS`` attempts; an attempt repeats the kernels that were too slow so far.

    Raises:
        ConfigError: the file cannot be read.
        WrongResultError: a kernel computed something else than the reference.
    """
    isa, known = backends.which(backend).isa, read(path)
    if machine.why_no_peak() is not None:
        return Verdict(isa, {}, {}, f"the peak of this machine cannot be measured: {machine.why_no_peak()}")
    if isa not in known:
        return Verdict(isa, {}, {}, f"{path} has no figures for {isa} (it has: {', '.join(known) or 'none'})")
    committed: Fractions = known[isa]["fractions"]
    left = [task for task in chosen if task.name in committed]
    best: Fractions = {}
    for _ in range(N_ATTEMPTS):
        for name, fraction in measure(left, backend=backend).items():
            best[name] = max(fraction, best.get(name, 0.0))
        left = [task for task in left if task.name in below(best, committed)]
        if not left:
            break
    return Verdict(isa, best, {name: committed[name] for name in best})


def record(
    path: Path,
    *,
    chosen: Sequence[Task] = GUARDED,
    backend: str | None = None,
    measure: Callable[..., Fractions] = measure_fractions,
) -> Fractions:
    """Write the fractions of this machine into ``path`` under its instruction set, leaving the others as they are.

    Raises:
        ConfigError: the directory of ``path`` does not exist, or ``path`` is another file.
        WrongResultError: a kernel computed something else than the reference.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"record: expected a file in a directory that exists, got {path}. Fix: make {path.parent}.")
    known = read(path) if path.exists() else {}
    fractions = {name: round(value, 3) for name, value in measure(chosen, backend=backend).items()}
    which = backends.which(backend)
    about = {"cpu": machine.cpu_name(), "compiler": which.compiler, "fastpg": __version__}
    known[which.isa] = {**about, "fractions": fractions}
    path.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", encoding="utf-8")
    return fractions


def read(path: Path) -> dict[str, Any]:
    """Instruction set -> what was recorded for it.

    Raises:
        ConfigError: ``path`` is not such a file.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        for entry in known.values():
            _ = {name: float(fraction) for name, fraction in entry["fractions"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: expected a file written by fastpg bench --record, but it cannot be read ({error!r}). "
            "Fix: give the path of such a file, or write one."
        ) from error
    return dict(known)
