"""The same script on ``fastpg.sb3`` and on stable-baselines3: do they learn alike, and how long does it take?

``python -m benchmarks.drop_in`` trains PPO, TRPO and A2C on CartPole-v1 with both, seeds 0 to 2, and prints a table:
the mean return of the last 100 episodes during training, and environment steps per second of CPU time. The imports are
the only difference.
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

import numpy as np

LIBRARIES = ("fastpg.sb3", "stable_baselines3")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 128, "batch_size": 256},
    "TRPO": {"n_steps": 128},
    "A2C": {},
}
POINTS = (10_000, 20_000, 30_000, 40_000, 60_000)
N_ENVS = 8


def home_of(library: str, algorithm: str) -> str:
    """The package that has ``algorithm``."""
    return "sb3_contrib" if (library, algorithm) == ("stable_baselines3", "TRPO") else library


def run(library: str, algorithm: str, seed: int) -> tuple[list[float], float]:
    """(mean returns at ``POINTS``, steps per second of CPU time)."""
    model_class = getattr(importlib.import_module(home_of(library, algorithm)), algorithm)
    make_vec_env = importlib.import_module(f"{library}.common.env_util").make_vec_env
    base = importlib.import_module(f"{library}.common.callbacks").BaseCallback

    class Curve(base):
        def __init__(self) -> None:
            super().__init__()
            self.rows: list[tuple[int, float]] = []

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            returns = [episode["r"] for episode in self.model.ep_info_buffer]
            self.rows.append((self.num_timesteps, float(np.mean(returns)) if returns else 0.0))

    env = make_vec_env("CartPole-v1", n_envs=N_ENVS, seed=seed)
    model = model_class("MlpPolicy", env, seed=seed, device="cpu", **ARGUMENTS[algorithm])
    curve = Curve()
    start = time.process_time()
    model.learn(POINTS[-1], callback=curve)
    seconds = time.process_time() - start
    means = [min(curve.rows, key=lambda row, at=at: abs(row[0] - at))[1] for at in POINTS]
    return means, POINTS[-1] / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    n_seeds = parser.parse_args().seeds
    print("| | | " + " | ".join(f"{point // 1000}k" for point in POINTS) + " | steps/s of CPU time |")
    print("|---|---|" + "---|" * (len(POINTS) + 1))
    for algorithm in ARGUMENTS:
        for library in LIBRARIES:
            results = [run(library, algorithm, seed) for seed in range(n_seeds)]
            curves = np.array([means for means, _ in results])
            cells = [f"{m:.0f} ± {s:.0f}" for m, s in zip(curves.mean(0), curves.std(0), strict=True)]
            speed = float(np.median([speed for _, speed in results]))
            home = home_of(library, algorithm)
            print(f"| {algorithm} | {home} | {' | '.join(cells)} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
