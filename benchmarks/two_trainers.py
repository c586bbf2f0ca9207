"""Two trainers in two Python threads beside one: what the GIL, locks and shared caches cost.

    python -m benchmarks.two_trainers

Prints, for whole updates and whole trainings, ``2 * (time of one alone) / (time of both at once)``: 2 is perfect, 1
means that they take turns. Both are timed in turns in the same process, median of several (the best of several would
favour the one, which needs only one quiet core), and must compute the same.
Environments written in Python hold the GIL while they step, so trainings scale as far as their updates dominate.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import fastpg
from fastpg import kernels
from tests import ppo_updates

N_SAMPLES = 4096


def updates(batch_size: int, n_threads: int = 1) -> np.ndarray:
    """Parameters after a whole update of PPO on ``N_SAMPLES`` samples, about 0.1 s."""
    return ppo_updates.update(
        ppo_updates.HALFCHEETAH,
        n_samples=N_SAMPLES,
        batch_size=batch_size,
        n_epochs=20,
        n_threads=n_threads,
        backend=None,
    ).params


def training(algorithm: str, **arguments: Any) -> np.ndarray:
    """Parameters after a short training on CartPole-v1."""
    model = getattr(fastpg, algorithm)("MlpPolicy", "CartPole-v1", seed=0, **arguments)
    return model.learn(4096).policy.params


Work = Callable[[], np.ndarray]
CASES: dict[str, Work] = {
    "PPO update, minibatches of 64": partial(updates, 64),
    "PPO update, minibatches of 2048": partial(updates, 2048),
    "PPO update, minibatches of 64, n_threads=2 each": partial(updates, 64, n_threads=2),
    "training, PPO on CartPole-v1, defaults": partial(training, "PPO"),
    "training, TRPO on CartPole-v1, defaults": partial(training, "TRPO"),
    "training, PPO on CartPole-v1, 256x256": partial(training, "PPO", policy_kwargs={"net_arch": [256, 256]}),
}
#: What the one does alone, where it is not the same: with two threads it would take both processors.
ALONE: dict[str, Work] = {"PPO update, minibatches of 64, n_threads=2 each": partial(updates, 64)}


def seconds(work: Work, n_trainers: int, expected: np.ndarray) -> float:
    """Wall time of ``n_trainers`` at once."""
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(n_trainers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    assert len(results) == n_trainers
    for result in results:
        np.testing.assert_array_equal(result, expected)
    return elapsed


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=11)
    n_rounds = parser.parse_args().rounds
    print(f"{len(os.sched_getaffinity(0))} processors, kernels: {kernels.which().name}, {kernels.which().isa}")
    for name, work in CASES.items():
        expected = work()
        alone = ALONE.get(name, work)
        times = [(seconds(alone, 1, expected), seconds(work, 2, expected)) for _ in range(n_rounds)]
        one, two = (median(column) for column in zip(*times, strict=True))
        print(f"{name:50s} one {one * 1e3:7.1f} ms   two {two * 1e3:7.1f} ms   scaling {2 * one / two:.2f}")


if __name__ == "__main__":
    main()
