"""Episode statistics of a single environment: in the info of its last step, and in a CSV file."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import gymnasium as gym

from fastpg.errors import ConfigError, EnvError

SUFFIX = "monitor.csv"
_DIGITS = 6  # of a return and a time, as stable-baselines3 rounds them


class Monitor(gym.Wrapper[Any, Any, Any, Any]):
    """Puts ``episode`` = {r: return, l: steps, t: seconds since the start} into the info of an episode's last step.

    Args:
        env: the environment.
        filename: of a CSV file with a row per episode, ``.monitor.csv`` is appended; None writes none.
        allow_early_resets: allow ``reset`` before an episode has ended.
        reset_keywords: arguments of ``reset`` that every call has to give; they are columns too.
        info_keywords: entries of the last info that are columns too.
        override_existing: replace an existing file; False continues it.
    """

    EXT = SUFFIX

    def __init__(
        self,
        env: gym.Env[Any, Any],
        filename: str | None = None,
        allow_early_resets: bool = True,
        reset_keywords: tuple[str, ...] = (),
        info_keywords: tuple[str, ...] = (),
        override_existing: bool = True,
    ) -> None:
        super().__init__(env)
        self.t_start = time.time()
        self.results_writer = None
        if filename is not None:
            header = {"t_start": self.t_start, "env_id": env_id_of(env)}
            columns = (*reset_keywords, *info_keywords)
            self.results_writer = ResultsWriter(filename, header, columns, override_existing)
        self.reset_keywords, self.info_keywords = reset_keywords, info_keywords
        self.allow_early_resets = allow_early_resets
        self.rewards: list[float] = []
        self.needs_reset = True
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []
        self.episode_times: list[float] = []
        self.total_steps = 0
        self.current_reset_info: dict[str, Any] = {}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            EnvError: the running one has not ended, with ``allow_early_resets=False``.
            ConfigError: one of ``reset_keywords`` is missing.
        """
        if not self.allow_early_resets and not self.needs_reset:
            raise EnvError(
                "reset: expected the episode to have ended, as allow_early_resets is False. Fix: "
                "Monitor(env, allow_early_resets=True)."
            )
        missing = [key for key in self.reset_keywords if kwargs.get(key) is None]
        if missing:
            raise ConfigError(f"reset: expected the arguments {missing} (reset_keywords of Monitor), got none.")
        self.current_reset_info = {key: kwargs[key] for key in self.reset_keywords}
        self.rewards = []
        self.needs_reset = False
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step.

        Raises:
            EnvError: the episode has ended.
        """
        if self.needs_reset:
            raise EnvError("step: expected a running episode, got one that has ended. Fix: call reset first.")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rewards.append(float(reward))
        self.total_steps += 1
        if terminated or truncated:
            self._end_episode(info)
        return observation, reward, terminated, truncated, info

    def _end_episode(self, info: dict[str, Any]) -> None:
        self.needs_reset = True
        episode_return, length, seconds = sum(self.rewards), len(self.rewards), time.time() - self.t_start
        row = {"r": round(episode_return, _DIGITS), "l": length, "t": round(seconds, _DIGITS)}
        row |= {key: info[key] for key in self.info_keywords} | self.current_reset_info
        self.episode_returns.append(episode_return)
        self.episode_lengths.append(length)
        self.episode_times.append(seconds)
        if self.results_writer is not None:
            self.results_writer.write_row(row)
        info["episode"] = row

    def close(self) -> None:
        """Close the environment and the file."""
        super().close()
        if self.results_writer is not None:
            self.results_writer.close()

    def get_total_steps(self) -> int:
        """Steps so far."""
        return self.total_steps

    def get_episode_rewards(self) -> list[float]:
        """Returns of all finished episodes."""
        return self.episode_returns

    def get_episode_lengths(self) -> list[int]:
        """Their lengths, in steps."""
        return self.episode_lengths

    def get_episode_times(self) -> list[float]:
        """Seconds between the start and their ends."""
        return self.episode_times


class ResultsWriter:
    """A CSV file of episodes: a line ``#{"t_start": ..., "env_id": ...}``, column names, a row per episode.

    Args:
        filename: ``.monitor.csv`` is appended; a directory gets a file ``monitor.csv``. Missing directories are made.
        header: of the first line.
        extra_keys: columns beside r, l and t.
        override_existing: replace an existing file; False continues it.
    """

    def __init__(
        self,
        filename: str = "",
        header: Mapping[str, Any] | None = None,
        extra_keys: Sequence[str] = (),
        override_existing: bool = True,
    ) -> None:
        name = str(filename)
        if not name.endswith(SUFFIX):
            name = os.path.join(name, SUFFIX) if os.path.isdir(name) else f"{name}.{SUFFIX}"
        path = Path(os.path.realpath(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file_handler = path.open("w" if override_existing else "a", newline="\n")
        self.logger = csv.DictWriter(self.file_handler, fieldnames=("r", "l", "t", *extra_keys), lineterminator="\n")
        if override_existing:
            self.file_handler.write(f"#{json.dumps(dict(header or {}))}\n")
            self.logger.writeheader()
        self.file_handler.flush()

    def write_row(self, epinfo: Mapping[str, Any]) -> None:
        """Append the row of one episode."""
        self.logger.writerow(dict(epinfo))
        self.file_handler.flush()

    def close(self) -> None:
        """Close the file; may be called again."""
        self.file_handler.close()


def env_id_of(env: Any) -> str:
    """The id that ``env`` was registered with, "None" if it has none."""
    spec = getattr(env, "spec", None)
    return str(None if spec is None else spec.id)


class LoadMonitorResultsError(Exception):
    """There are no monitor files where they were looked for."""


def get_monitor_files(path: str) -> list[str]:
    """The monitor files in the directory ``path``."""
    return sorted(glob(os.path.join(path, f"*{SUFFIX}")))


def load_results(path: str) -> Any:
    """The episodes in all monitor files of the directory ``path``, in the order of their ends, as a data frame.

    Raises:
        ImportError: pandas is not installed.
        LoadMonitorResultsError: there is no such file.
    """
    try:
        import pandas  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError("load_results needs the package pandas. Fix: pip install pandas") from error
    files = get_monitor_files(path)
    if not files:
        raise LoadMonitorResultsError(f"path: expected a directory with files *{SUFFIX}, got none in {path}.")
    frames, starts = [], []
    for name in files:
        with open(name) as file:
            start = json.loads(file.readline().removeprefix("#"))["t_start"]
            frame = pandas.read_csv(file, index_col=None)
        frame["t"] += start
        starts.append(start)
        frames.append(frame)
    rows = [frame for frame in frames if not frame.empty] or frames[:1]
    table = pandas.concat(rows).sort_values("t").reset_index()
    table["t"] -= min(starts)
    return table
