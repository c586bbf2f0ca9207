"""The callbacks that come with fastpg: checkpoints, evaluation, reasons to stop, a progress bar.

Names and arguments are those of stable-baselines3. What a callback is stands in ``callback_base.py``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastpg.errors import ConfigError
from fastpg.training.atomic_file import write_atomically
from fastpg.training.callback_base import BaseCallback, EventCallback
from fastpg.training.evaluation import evaluate

if TYPE_CHECKING:
    from rich.progress import Progress

MODEL_SUFFIX = ".fastpg"


class EveryNTimesteps(EventCallback):
    """Calls a callback every ``n_steps`` environment steps.

    Args:
        n_steps: environment steps between two calls.
        callback: what to call.
    """

    def __init__(self, n_steps: int, callback: BaseCallback) -> None:
        super().__init__(callback)
        self.n_steps = _count("n_steps", n_steps)
        self.last_time_trigger = 0

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self.last_time_trigger = min(self.last_time_trigger, self.num_timesteps)  # the steps may count from 0 again

    def _on_step(self) -> bool:
        if self.num_timesteps - self.last_time_trigger < self.n_steps:
            return True
        self.last_time_trigger = self.num_timesteps
        return self._on_event()


class CheckpointCallback(BaseCallback):
    """Saves the model every ``save_freq`` calls, as ``<save_path>/<name_prefix>_<num_timesteps>_steps.fastpg``.

    What is saved is the model after its last finished iteration.

    Args:
        save_freq: calls of ``on_step`` between two files (one call per step of all environments together).
        save_path: directory, made if missing.
        name_prefix: first part of the file names.
        save_replay_buffer: taken as in stable-baselines3; on-policy algorithms have no replay buffer.
        save_vecnormalize: taken as in stable-baselines3; the statistics of ``normalize`` are in every file.
        verbose: 1 logs each file.
    """

    model_suffix: ClassVar[str] = MODEL_SUFFIX

    def __init__(
        self,
        save_freq: int,
        save_path: str | Path,
        name_prefix: str = "rl_model",
        *,
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        del save_replay_buffer, save_vecnormalize
        self.save_freq = _count("save_freq", save_freq)
        self.save_path = Path(save_path)
        self.name_prefix = name_prefix

    def _init_callback(self) -> None:
        self.save_path.mkdir(parents=True, exist_ok=True)

    def _on_step(self) -> bool:
        if self.n_calls % self.save_freq == 0:
            path = self._path(self.model_suffix)
            self.model.save(path)
            self.log(f"Saved the model to {path}")
        return True

    def _path(self, suffix: str, kind: str = "") -> Path:
        """A file of this moment."""
        return self.save_path / f"{self.name_prefix}_{kind}{self.num_timesteps}_steps{suffix}"


class EvalCallback(EventCallback):
    """Evaluates the model every ``eval_freq`` calls and keeps the best one.

    Records ``eval/mean_reward``, ``eval/mean_ep_length`` (and ``eval/success_rate``) for the next row of the log.

    Args:
        eval_env: environment id, ``gymnasium.Env`` or ``gymnasium.vector.VectorEnv``, not the training one.
        callback_on_new_best: called when the mean return is the best so far.
        callback_after_eval: called after every evaluation.
        n_eval_episodes: episodes per evaluation.
        eval_freq: calls of ``on_step`` between evaluations (one call per step of all environments together).
        log_path: directory of ``evaluations.npz`` (timesteps (E,), results (E, n), ep_lengths (E, n), successes where
            the environment reports them), rewritten at every evaluation.
        best_model_save_path: directory of ``best_model.fastpg``.
        deterministic: take the most probable action.
        render: only False; make ``eval_env`` with a ``render_mode`` to watch or record it.
        seed: of the evaluation episodes; None uses fresh ones each time.
        verbose: 1 logs each result.
        warn: taken as in stable-baselines3; episodes are counted here, so there is no wrapper to miss.
    """

    model_suffix: ClassVar[str] = MODEL_SUFFIX

    def __init__(
        self,
        eval_env: Any,
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        n_eval_episodes: int = 5,
        eval_freq: int = 10000,
        *,
        log_path: str | Path | None = None,
        best_model_save_path: str | Path | None = None,
        deterministic: bool = True,
        render: bool = False,
        seed: int | None = None,
        verbose: int = 1,
        warn: bool = True,
    ) -> None:
        super().__init__(callback_after_eval, verbose)
        del warn
        if render:
            raise ConfigError(
                "render: expected False, got True: evaluation does not draw. Fix: leave render out and make eval_env "
                "with render_mode='human'."
            )
        self.callback_on_new_best = callback_on_new_best
        if callback_on_new_best is not None:
            callback_on_new_best.parent = self
        self.eval_env = eval_env
        self.n_eval_episodes = n_eval_episodes
        self.eval_freq = _count("eval_freq", eval_freq)
        self.log_path = None if log_path is None else Path(log_path)
        self.best_model_save_path = None if best_model_save_path is None else Path(best_model_save_path)
        self.deterministic = deterministic
        self.seed = seed
        self.best_mean_reward = -np.inf
        self.last_mean_reward = -np.inf
        self.evaluations: dict[str, list[Any]] = {"timesteps": [], "results": [], "ep_lengths": []}

    def _init_callback(self) -> None:
        super()._init_callback()
        for directory in (self.log_path, self.best_model_save_path):
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.init_callback(self.model)

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq != 0:
            return True
        result = evaluate(
            self.model,
            self.eval_env,
            n_episodes=self.n_eval_episodes,
            seed=self.seed,
            deterministic=self.deterministic,
        )
        self._record(result.returns, result.lengths, result.successes)
        self.log(f"Evaluation at {self.num_timesteps} steps: {result.mean_return:.2f} +/- {result.std_return:.2f}")
        goes_on = self._keep_if_best(result.mean_return)
        return goes_on and self._on_event()

    def _record(self, returns: Any, lengths: Any, successes: Any) -> None:
        """Record the episodes of an evaluation, ``successes`` or None, for the log, and rewrite ``evaluations.npz``."""
        self.last_mean_reward = float(np.mean(returns))
        self.logger.record("eval/mean_reward", self.last_mean_reward)
        self.logger.record("eval/mean_ep_length", float(np.mean(lengths)))
        if successes is not None:
            self.logger.record("eval/success_rate", float(np.mean(successes)))
            self.evaluations.setdefault("successes", []).append(successes)
        self.evaluations["timesteps"].append(self.num_timesteps)
        self.evaluations["results"].append(returns)
        self.evaluations["ep_lengths"].append(lengths)
        if self.log_path is not None:
            content = io.BytesIO()
            columns: Any = {key: np.asarray(rows) for key, rows in self.evaluations.items()}
            np.savez(content, **columns)
            write_atomically(self.log_path / "evaluations.npz", content.getvalue())

    def _keep_if_best(self, mean_return: float) -> bool:
        if mean_return <= self.best_mean_reward:
            return True
        self.best_mean_reward = mean_return
        if self.best_model_save_path is not None:
            self.model.save(self.best_model_save_path / f"best_model{self.model_suffix}")
        return self.callback_on_new_best is None or self.callback_on_new_best.on_step()

    def update_child_locals(self, locals_: Mapping[str, Any]) -> None:
        """Pass ``locals_`` on to both held callbacks."""
        super().update_child_locals(locals_)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.update_locals(locals_)


class StopTrainingOnRewardThreshold(BaseCallback):
    """Stops training when the best mean return reaches a threshold; for ``EvalCallback(callback_on_new_best=...)``.

    Args:
        reward_threshold: mean return that is enough.
        verbose: 1 logs why training stops.
    """

    def __init__(self, reward_threshold: float, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.reward_threshold = reward_threshold

    def _on_step(self) -> bool:
        best = _evaluation_parent(self).best_mean_reward
        if best < self.reward_threshold:
            return True
        self.log(f"Stopping: the mean return {best:.2f} reached the threshold {self.reward_threshold:.2f}")
        return False


class StopTrainingOnNoModelImprovement(BaseCallback):
    """Stops after evaluations without a new best; for ``EvalCallback(callback_after_eval=...)``.

    Args:
        max_no_improvement_evals: consecutive evaluations without a new best that are allowed.
        min_evals: evaluations before counting starts.
        verbose: 1 logs why training stops.
    """

    def __init__(self, max_no_improvement_evals: int, min_evals: int = 0, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_no_improvement_evals = max_no_improvement_evals
        self.min_evals = min_evals
        self.last_best_mean_reward = -np.inf
        self.no_improvement_evals = 0

    def _on_step(self) -> bool:
        best = _evaluation_parent(self).best_mean_reward
        if self.n_calls > self.min_evals:
            self.no_improvement_evals = 0 if best > self.last_best_mean_reward else self.no_improvement_evals + 1
        self.last_best_mean_reward = best
        if self.no_improvement_evals <= self.max_no_improvement_evals:
            return True
        self.log(f"Stopping: no new best model in {self.no_improvement_evals} evaluations")
        return False


class StopTrainingOnMaxEpisodes(BaseCallback):
    """Stops after ``max_episodes`` finished episodes per environment, counted over all environments.

    Args:
        max_episodes: episodes per environment.
        verbose: 1 logs why training stops.
    """

    def __init__(self, max_episodes: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.max_episodes = _count("max_episodes", max_episodes)
        self.n_episodes = 0

    def _on_step(self) -> bool:
        self.n_episodes += int(np.sum(self.locals["dones"]))
        if self.n_episodes < self.max_episodes * self.model.n_envs:
            return True
        self.log(f"Stopping: {self.n_episodes} episodes were finished")
        return False


class ProgressBarCallback(BaseCallback):
    """A progress bar on the terminal, moved after every rollout."""

    _progress: Progress | None = None

    def _on_training_start(self) -> None:
        from rich import progress  # noqa: PLC0415 - keeps rich out of `import fastpg`

        self._progress = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        self._start = self.model.num_timesteps
        self._task = self._progress.add_task("learn", total=self.locals["total_timesteps"] - self._start)
        self._progress.start()

    def _on_rollout_end(self) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=self.num_timesteps - self._start)

    def _on_training_end(self) -> None:
        if self._progress is not None:  # None where another callback failed before training began
            self._progress.stop()


def _count(name: str, value: Any) -> int:
    """``value`` as an integer >= 1; whole floats such as 1e4 are fine.

    Raises:
        ConfigError: it is something else.
    """
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or not value >= 1 or value != value // 1:
        raise ConfigError(f"{name}: expected an integer >= 1, got {value!r}.")
    return int(value)


def _evaluation_parent(callback: BaseCallback) -> EvalCallback:
    """The EvalCallback that holds ``callback``."""
    if isinstance(callback.parent, EvalCallback):
        return callback.parent
    raise ConfigError(
        f"{type(callback).__name__}: expected to be held by an EvalCallback, got {type(callback.parent).__name__} as "
        "its parent. Fix: pass it as callback_on_new_best or callback_after_eval of an EvalCallback."
    )
