"""The libraries that one would use instead, each on the same tasks, where they are installed.

The modules beside this one import the library they are about, so they are imported by name and only when it is there. A
function of a module is called as the ``kind`` of the task, takes the task's ``arguments`` and returns what is timed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from fastpg.bench.tasks import Task
from fastpg.bench.timing import Run


@dataclass(frozen=True)
class Peer:
    """A library beside which fastpg is measured.

    Attributes:
        name: for tables.
        requires: the module that must be importable.
        distribution: what pip calls it.
        modules: kind of task -> module of this package with a function of that name.
    """

    name: str
    requires: str
    distribution: str
    modules: Mapping[str, str]

    def missing(self) -> str | None:
        """Why this peer cannot run here, or None."""
        if importlib.util.find_spec(self.requires) is None:
            return f"{self.requires} is not installed (pip install {self.distribution})"
        return None

    def version(self) -> str:
        """Of what is installed."""
        return metadata.version(self.distribution)

    def prepare(self, task: Task) -> Run:
        """Import the library, on one thread, and build everything up to the first call."""
        use_one_thread()
        module = importlib.import_module(f"{__name__}.{self.modules[task.kind]}")
        run: Run = getattr(module, task.kind)(*task.arguments())
        return run


#: In the order of the tables.
PEERS = (
    Peer(
        "stable-baselines3",
        "stable_baselines3",
        "stable-baselines3",
        {"ppo_update": "sb3", "act": "sb3", "predict": "sb3", "gae": "sb3"},
    ),
    Peer("sb3-contrib", "sb3_contrib", "sb3-contrib", {"fisher_product": "sb3_trpo", "conjugate_gradient": "sb3_trpo"}),
    Peer(
        "JAX",
        "jax",
        "jax",
        {
            "ppo_update": "jax_ppo",
            "act": "jax_ppo",
            "gae": "jax_ppo",
            "fisher_product": "jax_fisher",
            "conjugate_gradient": "jax_fisher",
        },
    ),
)


def use_one_thread() -> None:
    """Keep the numerical libraries of the peers to one thread. Has an effect before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
