"""Episode statistics of a vector environment."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fastpg.sb3.common.monitor import ResultsWriter, env_id_of
from fastpg.sb3.common.vec_env.base_vec_env import Step, VecEnv, VecEnvWrapper


class VecMonitor(VecEnvWrapper):
    """Puts return, length and time of an ended episode into its info, as ``Monitor`` does for one environment.

    Args:
        venv: what is watched.
        filename: of a CSV file of the episodes; None writes none.
        info_keywords: entries of the last info to add.
    """

    def __init__(self, venv: VecEnv, filename: str | None = None, info_keywords: tuple[str, ...] = ()) -> None:
        super().__init__(venv)
        self.info_keywords = info_keywords
        self.t_start = time.time()
        header = {"t_start": self.t_start, "env_id": env_id_of(venv)}
        self.results_writer = ResultsWriter(filename, header, info_keywords) if filename else None
        self.episode_returns = np.zeros(self.num_envs, np.float64)
        self.episode_lengths = np.zeros(self.num_envs, np.int32)
        self.episode_count = 0

    def reset(self) -> Any:
        """Begin new episodes everywhere."""
        self.episode_returns[:] = 0.0
        self.episode_lengths[:] = 0
        return self.venv.reset()

    def step_wait(self) -> Step:
        """The step of ``venv``, with ``episode`` in the infos of ended episodes."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self.episode_returns += rewards
        self.episode_lengths += 1
        for index in dones.nonzero()[0]:
            row = {
                "r": float(self.episode_returns[index]),
                "l": int(self.episode_lengths[index]),
                "t": round(time.time() - self.t_start, 6),
            } | {key: infos[index][key] for key in self.info_keywords}
            infos[index]["episode"] = row
            self.episode_count += 1
            self.episode_returns[index], self.episode_lengths[index] = 0.0, 0
            if self.results_writer is not None:
                self.results_writer.write_row(row)
        return observations, rewards, dones, infos

    def close(self) -> None:
        """Close the file and ``venv``."""
        if self.results_writer is not None:
            self.results_writer.close()
        self.venv.close()
