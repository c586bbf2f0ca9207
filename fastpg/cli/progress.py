"""What runs beside a training started from the command line: the progress bar and the regular saving."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastpg.training.callback_base import BaseCallback

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class ProgressBar(BaseCallback):
    """A bar with steps, speed, remaining time and the current mean return; nothing where output is no terminal.

    Args:
        console: shared with the tables, which are printed above the bar.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._progress: Progress | None = None

    def _on_training_start(self) -> None:
        if not self._console.is_terminal or self._console.quiet:
            return
        from rich import progress as bars  # noqa: PLC0415

        self._progress = bars.Progress(
            bars.BarColumn(bar_width=30),
            bars.TaskProgressColumn(),
            bars.TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            bars.TextColumn("[cyan]{task.fields[fps]:,.0f} steps/s"),
            bars.TextColumn("[green]{task.fields[reward]}"),
            bars.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._start = self.model.num_timesteps
        self._started_at = time.perf_counter()
        total = self.model.total_timesteps - self._start
        self._task = self._progress.add_task("train", total=total, fps=0.0, reward="")
        self._progress.start()

    def _on_rollout_start(self) -> None:
        if self._progress is None:
            return
        n_steps = self.model.num_timesteps - self._start
        reward = self.model.collector.episodes.ep_rew_mean
        self._progress.update(
            self._task,
            completed=n_steps,
            fps=n_steps / (time.perf_counter() - self._started_at),
            reward="" if reward is None else f"return {reward:.1f}",
        )

    def _on_training_end(self) -> None:
        if self._progress is not None:
            self._progress.stop()


class RegularSaving(BaseCallback):
    """Saves the model between two iterations when the last save is long enough ago, so that a crash costs little.

    Args:
        path: the checkpoint, replaced atomically.
        interval_s: seconds between two saves.
    """

    def __init__(self, path: Path, *, interval_s: float) -> None:
        super().__init__()
        self._path = path
        self._interval_s = interval_s
        self._saved_at = time.monotonic()

    def _on_rollout_start(self) -> None:
        if time.monotonic() - self._saved_at >= self._interval_s:
            self.model.save(self._path)
            self._saved_at = time.monotonic()
