"""Callbacks under the names, argument orders and file names of stable-baselines3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastpg.errors import ConfigError
from fastpg.sb3.common.evaluation import evaluate_policy
from fastpg.sb3.common.vec_env import sync_envs_normalization, unwrap_vec_normalize
from fastpg.sb3.environments import as_vec_env
from fastpg.sb3.files import SUFFIX
from fastpg.training import callbacks as ours
from fastpg.training.callback_base import BaseCallback, CallbackList, ConvertCallback, EventCallback
from fastpg.training.callbacks import (
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)

__all__ = [
    "BaseCallback",
    "CallbackList",
    "CheckpointCallback",
    "ConvertCallback",
    "EvalCallback",
    "EventCallback",
    "EveryNTimesteps",
    "LogEveryNTimesteps",
    "ProgressBarCallback",
    "StopTrainingOnMaxEpisodes",
    "StopTrainingOnNoModelImprovement",
    "StopTrainingOnRewardThreshold",
]


class CheckpointCallback(ours.CheckpointCallback):
    """Saves the model every ``save_freq`` calls as ``<save_path>/<name_prefix>_<steps>_steps.zip``.

    What is saved is the model after its last finished iteration.

    Args:
        save_freq: calls between two files, one call per step of all environments together.
        save_path: directory, made if missing.
        name_prefix: first part of the names.
        save_replay_buffer: not used: there is no replay buffer.
        save_vecnormalize: save the statistics of ``VecNormalize`` too, as
            ``<name_prefix>_vecnormalize_<steps>_steps.pkl`` (which is no pickle).
        verbose: 1 says what was saved.
    """

    model_suffix = SUFFIX

    def __init__(
        self,
        save_freq: int,
        save_path: str | Path,
        name_prefix: str = "rl_model",
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(save_freq, save_path, name_prefix, save_replay_buffer=save_replay_buffer, verbose=verbose)
        self.save_vecnormalize = save_vecnormalize

    def _on_step(self) -> bool:
        normalizer = unwrap_vec_normalize(self.training_env) if self.save_vecnormalize else None
        if normalizer is not None and self.n_calls % self.save_freq == 0:
            normalizer.save(self._path(".pkl", "vecnormalize_"))
        return super()._on_step()


class EvalCallback(ours.EvalCallback):
    """Evaluates the model every ``eval_freq`` calls, keeps the best as ``best_model.zip``, writes ``evaluations.npz``.

    The log gets a row of its own with every evaluation. Statistics of ``VecNormalize`` around the training environment
    are copied to ``eval_env``.

    Args:
        eval_env: a ``gymnasium.Env`` or a vector environment, not the training one.
        callback_on_new_best: called when the mean return is the best so far.
        callback_after_eval: called after every evaluation.
        n_eval_episodes: episodes per evaluation.
        eval_freq: calls between evaluations, one call per step of all environments together.
        log_path: directory of ``evaluations.npz``.
        best_model_save_path: directory of ``best_model.zip``.
        deterministic: take the most probable action.
        render: draw the episodes.
        verbose: 1 says each result.
        warn: warn if ``eval_env`` has no ``Monitor``.
    """

    model_suffix = SUFFIX

    def __init__(
        self,
        eval_env: Any,
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        n_eval_episodes: int = 5,
        eval_freq: int = 10000,
        log_path: str | Path | None = None,
        best_model_save_path: str | Path | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
    ) -> None:
        super().__init__(
            as_vec_env(eval_env),
            callback_on_new_best,
            callback_after_eval,
            n_eval_episodes,
            eval_freq,
            log_path=log_path,
            best_model_save_path=best_model_save_path,
            deterministic=deterministic,
            verbose=verbose,
        )
        self.render = render
        self.warn = warn
        self._successes: list[bool] = []

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq != 0:
            return True
        if unwrap_vec_normalize(self.training_env) is not None:
            self._sync()
        self._successes = []
        returns, lengths = evaluate_policy(
            self.model,
            self.eval_env,
            n_eval_episodes=self.n_eval_episodes,
            deterministic=self.deterministic,
            render=self.render,
            callback=self._log_success_callback,
            return_episode_rewards=True,
            warn=self.warn,
        )
        self._record(returns, lengths, self._successes or None)
        mean = self.last_mean_reward
        self.log(
            f"Evaluation at {self.num_timesteps} steps: return {mean:.2f} +/- {np.std(returns):.2f}, length "
            f"{np.mean(lengths):.2f} +/- {np.std(lengths):.2f}"
        )
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        goes_on = self._keep_if_best(mean)
        return goes_on and self._on_event()

    @property
    def evaluations_timesteps(self) -> list[int]:
        """Steps of the model at each evaluation."""
        return self.evaluations["timesteps"]

    @property
    def evaluations_results(self) -> list[list[float]]:
        """Returns of the episodes of each evaluation."""
        return self.evaluations["results"]

    @property
    def evaluations_length(self) -> list[list[int]]:
        """Lengths of the episodes of each evaluation, in steps."""
        return self.evaluations["ep_lengths"]

    @property
    def evaluations_successes(self) -> list[list[bool]]:
        """``is_success`` of the episodes of each evaluation, where they had it."""
        return self.evaluations.get("successes", [])

    def _sync(self) -> None:
        try:
            sync_envs_normalization(self.training_env, self.eval_env)
        except AttributeError as error:
            raise ConfigError(
                "eval_env: expected the same wrappers as around the training environment, as its VecNormalize has to "
                f"have one to be copied to ({error}). Fix: wrap eval_env alike."
            ) from error

    def _log_success_callback(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """Collect ``is_success`` of ended episodes."""
        del globals_
        if locals_["done"] and locals_["info"].get("is_success") is not None:
            self._successes.append(bool(locals_["info"]["is_success"]))


class LogEveryNTimesteps(EveryNTimesteps):
    """Writes a row of the log every ``n_steps`` environment steps.

    Args:
        n_steps: environment steps between two rows.
    """

    def __init__(self, n_steps: int) -> None:
        super().__init__(n_steps, ConvertCallback(self._log_row))

    def _log_row(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> bool:
        del locals_, globals_
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        return True
