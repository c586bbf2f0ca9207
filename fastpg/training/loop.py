"""The training loop: collect, advantages, update, commit, metrics.

The commit is a single assignment (``OnPolicyModel.commit``). Whatever is raised before it, by an environment, a
callback, the update or Ctrl-C, leaves the model as after its last finished iteration.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastpg.kernels.elementary import exp
from fastpg.training.advantages import make_batch
from fastpg.training.metrics import METRICS
from fastpg.types import Batch
from fastpg.updates.report import UpdateReport

if TYPE_CHECKING:
    from fastpg.training.callback_base import BaseCallback
    from fastpg.training.model import OnPolicyModel


class StopTraining(Exception):  # noqa: N818 - a callback's wish, not an error
    """A callback returned False: the rollout is given up and training ends."""


def train(model: OnPolicyModel, callback: BaseCallback, *, log_interval: int | None) -> None:
    """Iterate until ``model.total_timesteps`` or until ``callback`` stops it.

    Args:
        model: with an environment.
        callback: already bound to the model.
        log_interval: iterations between two rows of the log; None writes none.
    """
    watch = Stopwatch(model.num_timesteps)
    variables = {"self": model, "total_timesteps": model.total_timesteps, "callback": callback, **model.extra_locals()}
    try:
        callback.on_training_start(variables, {})
        while model.num_timesteps < model.total_timesteps:
            batch, report = run_iteration(model, callback)
            watch.n_iterations += 1
            if log_interval is not None and watch.n_iterations % log_interval == 0:
                record_metrics(model, batch, report, watch)
                model.logger.dump(step=model.num_timesteps)
    except StopTraining:
        model.logger.log("A callback stopped training.")
    finally:
        callback.on_training_end()


def run_iteration(model: OnPolicyModel, callback: BaseCallback) -> tuple[Batch, UpdateReport]:
    """One rollout and one update, as a transaction.

    Returns:
        the samples and the report of the update.

    Raises:
        StopTraining: the callback stopped it.
    """
    config = model.config
    try:
        callback.on_rollout_start()
        rollout = model.collector.collect(_step_hook(model, callback))
        if rollout is None:
            model.give_up_rollout()
            raise StopTraining
        model.n_rollout_steps = model.collector.n_valid_last
        callback.on_rollout_end()
        batch = make_batch(rollout, config)
        optimizer, report = model.update(batch)
        model.commit(optimizer, report)
    except BaseException:
        model.roll_back()
        raise
    return batch, report


def _step_hook(model: OnPolicyModel, callback: BaseCallback) -> Any:
    """What the collector calls after every step; None if no callback wants it."""
    if not callback.needs_steps:
        return None

    def on_step(variables: Mapping[str, Any]) -> bool:
        model.n_rollout_steps += int(np.count_nonzero(variables["valid"]))
        callback.update_locals(variables)
        return callback.on_step()

    return on_step


class Stopwatch:
    """Wall time, CPU time, iterations and steps since ``learn`` began.

    Args:
        num_timesteps: environment steps of the model when it began.
    """

    def __init__(self, num_timesteps: int) -> None:
        self.n_iterations = 0
        self._first_timestep = num_timesteps
        self._start = time.perf_counter()
        self._cpu_start = time.process_time()

    def record(self, logger: Any, num_timesteps: int) -> None:
        """Record the group ``time/``."""
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        logger.record("time/iterations", self.n_iterations)
        logger.record("time/fps", int((num_timesteps - self._first_timestep) / elapsed))
        logger.record("time/time_elapsed", elapsed)
        logger.record("time/cpu_time", time.process_time() - self._cpu_start)
        logger.record("time/total_timesteps", num_timesteps)


def record_metrics(model: OnPolicyModel, batch: Batch, report: UpdateReport, watch: Stopwatch) -> None:
    """Record one row: episode statistics, times, and the numbers of the last update."""
    logger = model.logger
    episodes = model.collector.episodes
    for name in ("ep_rew_mean", "ep_len_mean", "success_rate"):
        if getattr(episodes, name) is not None:
            logger.record(f"rollout/{name}", getattr(episodes, name))
    watch.record(logger, model.num_timesteps)
    for name, value in report.numbers():
        if f"train/{name}" in _KEYS:
            logger.record(f"train/{name}", value)
    for key, value in model.extra_metrics(report).items():
        logger.record(key, value)
    logger.record("train/explained_variance", explained_variance(batch))
    logger.record("train/n_updates", model.n_updates)
    log_std = model.policy.layout.split(model.policy.params)[1]
    if log_std.size:
        logger.record("train/std", float(exp(log_std).mean()))


_KEYS = {metric.key for metric in METRICS}


def explained_variance(batch: Batch) -> float:
    """1 - Var(returns - values) / Var(returns) over the samples; NaN for constant returns."""
    variance = float(np.var(batch.returns))
    return float("nan") if variance == 0.0 else 1.0 - float(np.var(batch.returns - batch.old_values)) / variance
