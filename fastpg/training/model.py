"""What a user holds: a policy, its environments, its optimiser, and the methods of stable-baselines3's models.

Everything that training changes lives in one immutable ``TrainingState``; an iteration ends by replacing it. The policy
that acts and the normaliser that ``predict`` uses follow the state, so they are never half updated.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar, cast

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import CheckpointError, ConfigError, warn_user
from fastpg.kernels import backends
from fastpg.policies.actor_critic import ActorCritic
from fastpg.policies.problem import SampledProblem
from fastpg.rollout.collector import Collector
from fastpg.rollout.episodes import EpisodeStatistics
from fastpg.rollout.normalize import Normalizer
from fastpg.training import persistence
from fastpg.training.agent import Agent, make_normalizer
from fastpg.training.callback_base import CallbackLike, CallbackList, make_callback
from fastpg.training.callbacks import ProgressBarCallback
from fastpg.training.checkpoint import load_checkpoint, save_checkpoint
from fastpg.training.environments import check_spaces, make_env, number_of, with_n_envs
from fastpg.training.logging import ConsoleSink, Logger, Sink, TensorBoardSink, next_log_directory
from fastpg.training.loop import train
from fastpg.training.signature import describe_constructor
from fastpg.training.space_json import space_from_json, space_to_json
from fastpg.training.state import TrainingState
from fastpg.types import Batch
from fastpg.updates.problem import Update
from fastpg.updates.report import UpdateReport
from fastpg.updates.state import OptimizerState

ModelT = TypeVar("ModelT", bound="OnPolicyModel")
Array = NDArray[Any]


class OnPolicyModel:
    """Base of the on-policy algorithms; a subclass names its configuration and the update made from it.

    Attributes:
        config: the arguments.
        n_rollout_steps: transitions of the running rollout; 0 between iterations.
    """

    config_class: ClassVar[type[OnPolicyConfig]]
    collector_class: ClassVar[type[Collector]] = Collector
    config: OnPolicyConfig
    _state: TrainingState

    def __init_subclass__(cls) -> None:
        if hasattr(cls, "config_class"):
            describe_constructor(cls, cls.config_class)

    @staticmethod
    def make_update(config: Any) -> Update:
        """The update of the algorithm, for its configuration."""
        raise NotImplementedError

    def __init__(self, policy: str, env: Any, **arguments: Any) -> None:
        if policy != "MlpPolicy":
            raise ConfigError(
                f"policy: expected 'MlpPolicy', the only kind of policy, got {policy!r}. Fix: pass 'MlpPolicy' and "
                "describe its networks with policy_kwargs."
            )
        given = {"seed": None, **with_n_envs(env, arguments)}
        config = self.config_class.from_arguments(_with_seed(given))
        vector_env = make_env(config, env)
        try:
            self._build(config, vector_env.single_observation_space, vector_env.single_action_space)
            self._attach(vector_env, env)
        except BaseException:
            if isinstance(env, str):
                vector_env.close()
            raise

    def _build(self, config: OnPolicyConfig, observation_space: Space[Any], action_space: Space[Any]) -> None:
        """Everything but the environments, in the state before training."""
        backends.which(config.backend)  # a backend that is not there is an error now, not in the first rollout
        self.config = config
        self._update = type(self).make_update(config)
        self._env_id: str | None = None
        self.n_rollout_steps = 0
        self._is_learning = False
        self._collector: Collector | None = None
        self._logger: Logger | None = None  # the user's
        self._run_logger = Logger()
        self._tensorboard_directory: Path | None = None
        self._agent = Agent.create(config, observation_space, action_space)
        normalizer = self._agent.normalizer
        self._state = TrainingState(
            optimizer=OptimizerState.start(self.policy.params),
            normalizer=None if normalizer is None else normalizer.snapshot(),
            collector=None,
        )

    def _attach(self, vector_env: Any, origin: Any) -> None:
        """Train on ``vector_env``, made from the user's ``origin``."""
        normalizer = make_normalizer(self.config, self._agent.encoder.size)
        if normalizer is not None:
            normalizer.restore(self._state.normalizer)
            normalizer.start(vector_env.num_envs)
        self._collector = self.collector_class(
            vector_env,
            self.policy,
            n_steps=self.config.n_steps,
            seed=self.seed,
            normalizer=normalizer,
            stats_window_size=self.config.stats_window_size,
            encoder=copy(self._agent.encoder),  # it has work-space, and predict may run while a rollout does
            decoder=self._agent.decoder,
            backend=self.config.backend,
            n_threads=self.config.n_threads,
        )
        if self._state.collector is not None:
            self._collector.load_state_dict(self._state.collector)
        self._env_id = origin if isinstance(origin, str) else self._env_id
        self._state = replace(self._state, collector=self._collector.state_dict())

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} model cannot be pickled or copied: it has its own environments and work-space. "
            "Fix: save it with model.save(path), and load it with fastpg.load(path, env)."
        )

    # --- training ---------------------------------------------------------------------------------------------------

    def learn(
        self: ModelT,
        total_timesteps: int,
        callback: CallbackLike = None,
        log_interval: int | None = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        *,
        progress_bar: bool = False,
    ) -> ModelT:
        """Train for at least ``total_timesteps`` environment steps, rounded up to whole iterations.

        Args:
            total_timesteps: environment steps, summed over environments; 0 does nothing.
            callback: a callback, a list of them, or a function of (locals, globals) that may return False to stop.
            log_interval: iterations between two rows of the log; None writes none.
            tb_log_name: name of the run below ``tensorboard_log``; None takes the name of the algorithm.
            reset_num_timesteps: count steps from 0 and begin new episodes; False goes on where training stopped, with
                ``total_timesteps`` more. Schedules are relative to the end of this call.
            progress_bar: show a progress bar on the terminal.

        Returns:
            The model.

        Raises:
            ConfigError: a wrong argument, a model without environments or one that is being trained already, a schedule
                that returned nonsense.
            EnvError: an environment raised.
            EnvDataError: an environment returned something that cannot be trained on.
            NumericsError: the update was not finite. After any exception, Ctrl-C included, the model is as after its
                last finished iteration, and ``learn`` may be called again.
        """
        goal = _checked_total(total_timesteps)
        _check_log_interval(log_interval)
        hooks = make_callback(callback)
        if progress_bar:
            hooks = CallbackList([hooks, ProgressBarCallback()])
        collector = self.collector
        if self._is_learning:
            raise ConfigError(
                "learn: expected a model that is not being trained, got one whose learn is running, in a callback of "
                "it or in another thread. Fix: wait for its end, or train a second model."
            )
        self._run_logger = self._start_logger(tb_log_name, is_new=reset_num_timesteps)
        try:
            self._is_learning = True
            self._follow_state()
            self._start(goal, collector, is_new=reset_num_timesteps)
            hooks.init_callback(self)
            train(self, hooks, log_interval=log_interval)
        finally:
            self._is_learning = False
            self._follow_state()
            self._run_logger.close()
            self._run_logger = Logger()
        return self

    def _start(self, goal: int, collector: Collector, *, is_new: bool) -> None:
        """Set where training ends; a new run counts from 0 and begins new episodes."""
        if not is_new:
            self._state = replace(self._state, total_timesteps=self._state.num_timesteps + goal)
            return
        no_episodes = EpisodeStatistics(self.config.stats_window_size).state_dict()
        begun = {**collector.state_dict(), "episodes": no_episodes}
        collector.load_state_dict(begun)  # which makes it begin new episodes
        self._state = replace(self._state, num_timesteps=0, total_timesteps=goal, collector=begun)

    def _start_logger(self, run_name: str | None, *, is_new: bool) -> Logger:
        """The log that ``verbose`` and ``tensorboard_log`` ask for, if the user has not set one."""
        if self._logger is not None:
            return Logger()
        sinks: list[Sink] = [ConsoleSink()] if self.config.verbose >= 1 else []
        if self.config.tensorboard_log is not None:
            if is_new or self._tensorboard_directory is None:
                name = run_name or self.config.algorithm
                self._tensorboard_directory = next_log_directory(self.config.tensorboard_log, name)
            sinks.append(TensorBoardSink(self._tensorboard_directory))
        return Logger(sinks)

    def update(self, batch: Batch) -> tuple[OptimizerState, UpdateReport]:
        """The optimiser state after an update on ``batch``, and its report; the model does not change."""
        state = self._state
        problem = SampledProblem(
            batch=batch,
            layout=self.policy.layout,
            n_threads=self.config.n_threads,
            backend=self.config.backend,
        )
        return self._update(
            state.optimizer,
            problem,
            progress_remaining=state.progress_remaining(self.num_timesteps),
            seed=self.seed,
            update_index=state.update_index,
        )

    def commit(self, optimizer: OptimizerState, report: UpdateReport) -> None:
        """Finish an iteration: the one place where training changes the state of a model."""
        old, collector = self._state, self.collector
        self._state = replace(
            old,
            optimizer=optimizer,
            normalizer=None if collector.normalizer is None else collector.normalizer.snapshot(),
            collector=collector.state_dict(),
            num_timesteps=old.num_timesteps + self.n_rollout_steps,
            n_updates=old.n_updates + report.n_epochs,
            update_index=old.update_index + 1,
        )
        self._follow_state()

    def give_up_rollout(self) -> None:
        """A callback has ended the running rollout, which is rolled back next: nothing of it counts."""

    def extra_locals(self) -> dict[str, Any]:
        """What callbacks find in ``locals`` beside the variables of the training loop; nothing here."""
        return {}

    def extra_metrics(self, report: UpdateReport) -> dict[str, float]:
        """Values to log for an update beside the fields of its ``report``, by key; none here."""
        return {}

    def roll_back(self) -> None:
        """Return everything to the last finished iteration; the environments begin new episodes."""
        while True:
            try:
                self._follow_state()
                self.collector.load_state_dict(self._state.collector or {})
                if self.collector.normalizer is not None:
                    self.collector.normalizer.restore(self._state.normalizer)
                return
            except KeyboardInterrupt:  # a second Ctrl-C: the first one is on its way, finish this
                continue

    def _follow_state(self) -> None:
        """Bring the policy and the normaliser of ``predict`` to the state."""
        self.policy.set_params(self._acting_params())
        if self._agent.normalizer is not None:
            self._agent.normalizer.restore(self._state.normalizer)
        self.n_rollout_steps = 0

    def _acting_params(self) -> Array:
        """The parameters (P,) that the policy acts with."""
        return self._state.optimizer.params

    # --- acting -----------------------------------------------------------------------------------------------------

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Array, Any]:
        """The action for an observation, or the actions for a batch of them.

        Args:
            observation: of the observation space, or (n, ...); normalised here if the model normalises.
            state: handed back; for policies with a memory, which there are none of.
            episode_start: not used, as ``state``.
            deterministic: take the most probable action instead of a sample.

        Returns:
            (action, state): in the bounds of the action space.

        Raises:
            ValueError: the tuple of ``env.reset()`` was passed, or a wrong shape.
            EnvDataError: NaN or infinity in the observation.
        """
        del episode_start
        return self._agent.predict(observation, deterministic=deterministic), state

    # --- environments -----------------------------------------------------------------------------------------------

    def get_env(self) -> Any:
        """The vector environment that the model is trained on, or None."""
        return None if self._collector is None else self._collector.env

    def set_env(self, env: Any) -> None:
        """Train on ``env`` from now on; its episodes begin at the next ``learn``.

        Args:
            env: as in the constructor; as many environments, with the same spaces.

        Raises:
            ConfigError: another number of environments or other spaces.
        """
        counted = number_of(env)
        if counted not in (None, self.config.n_envs):
            raise ConfigError(
                f"env: expected {self.config.n_envs} environments, as the model has, got {counted}. Fix: save the "
                "model and load it with fastpg.load(path, env)."
            )
        vector_env = make_env(self.config, env)
        check_spaces(vector_env, self.observation_space, self.action_space)
        self._attach(vector_env, env)

    # --- parameters and files ---------------------------------------------------------------------------------------

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Copies: ``policy`` has the arrays by name, ``policy.optimizer`` Adam's moments (P,) and step."""
        optimizer = self._state.optimizer
        named = persistence.named_parameters(self.policy.layout, optimizer.params)
        return {
            "policy": {name: array.copy() for name, array in named.items()},
            "policy.optimizer": {
                "first_moment": optimizer.first_moment.copy(),
                "second_moment": optimizer.second_moment.copy(),
                "step": optimizer.step,
            },
        }

    def set_parameters(self, parameters: Mapping[str, Mapping[str, Any]], exact_match: bool = True) -> None:
        """Replace parameters (and moments) by ones as ``get_parameters`` returns them.

        Args:
            parameters: ``policy`` and ``policy.optimizer``, each complete unless ``exact_match`` is False.
            exact_match: refuse missing entries; otherwise they stay as they are.

        Raises:
            ConfigError: unknown or missing entries, or wrong shapes.
            NumericsError: a value is not finite. Nothing has changed then.
        """
        optimizer = persistence.replaced_parameters(
            self.policy.layout, self._state.optimizer, parameters, exact_match=exact_match
        )
        self._state = replace(self._state, optimizer=optimizer)
        self._follow_state()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as after its last finished iteration to one file, atomically.

        The file holds parameters, moments, counters of the random numbers, normaliser, progress and episode statistics,
        so ``learn(..., reset_num_timesteps=False)`` on the loaded model goes on bit for bit as this one would in
        environments that restart alike. Where the environments offer ``get_state()`` (arrays by name, random generators
        included) and ``set_state(arrays)``, and no rollout is running, their episodes go on too, and k + k iterations
        are 2 k, bit for bit (schedules apart, which are relative to the end of each ``learn``).

        Raises:
            OSError: the file could not be written; a previous one is intact.
        """
        save_checkpoint(path, *self.state_dict())

    @classmethod
    def load(cls: type[ModelT], path: str | os.PathLike[str], env: Any = None, **overrides: Any) -> ModelT:
        """The model in the file ``path``.

        Args:
            path: written by ``save``.
            env: to train on; None loads a model that can ``predict`` and be given one by ``set_env``.
            overrides: arguments of the constructor to change, such as ``learning_rate`` or ``n_threads``.

        Raises:
            CheckpointError: the file is damaged, of another algorithm, or does not fit ``env`` or ``overrides``.
            ConfigError: a wrong override.
        """
        return cls.from_state(*load_checkpoint(path), env=env, **overrides)

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """(arrays, JSON values) that ``from_state`` makes an equal model of."""
        state, normalizer = self._state, make_normalizer(self.config, self._agent.encoder.size)
        if normalizer is not None:
            normalizer.restore(state.normalizer)
        arrays, meta = persistence.pack(state, self.policy.layout, normalizer)
        arrays |= self._running_episodes()
        return arrays, meta | {
            "algorithm": self.config.algorithm,
            "config": self.config.to_json(),
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "env_id": self._env_id,
        }

    def _running_episodes(self) -> dict[str, Array]:
        """The state of the environments, if they offer it and stand where the last iteration ended."""
        collector = self._collector
        if collector is None or collector.state_dict() != self._state.collector:
            return {}
        return {f"running/{name}": array for name, array in (collector.running_state() or {}).items()}

    @classmethod
    def from_state(
        cls: type[ModelT], arrays: Mapping[str, Array], meta: Mapping[str, Any], env: Any = None, **overrides: Any
    ) -> ModelT:
        """The model that ``state_dict`` described; arguments and errors as ``load``."""
        if meta.get("algorithm") != cls.config_class.algorithm:
            raise CheckpointError(
                f"algorithm: expected a model of {cls.config_class.algorithm}, got {meta.get('algorithm')!r}. "
                "Fix: fastpg.load(path) finds the right class."
            )
        if not isinstance(meta["config"], Mapping):
            raise CheckpointError(f"config: expected the arguments of the model by name, got {meta['config']!r}.")
        saved = _with_seed({"seed": None, **meta["config"]})
        config = cls.config_class.from_json(saved, **_with_seed(with_n_envs(env, overrides)))
        model = cls.__new__(cls)
        model._build(config, space_from_json(meta["observation_space"]), space_from_json(meta["action_space"]))
        model._env_id = meta.get("env_id")
        model._take_state(arrays, meta)
        if env is not None:
            vector_env = make_env(config, env)
            check_spaces(vector_env, model.observation_space, model.action_space)
            model._attach(vector_env, env)
            model._resume_episodes(persistence.group(arrays, "running/"))
        return model

    def _resume_episodes(self, running: Mapping[str, Array]) -> None:
        """Go on with the episodes in a checkpoint, if it has any and the environments can."""
        if not running:
            return
        if self.collector.can_resume and len(running["resetting"]) == self.n_envs:
            self.collector.resume(running)
        else:
            warn_user(
                "The checkpoint holds running episodes, but the given environments cannot take them over: new episodes "
                "begin. Fix: give as many environments as before, with get_state() and set_state()."
            )

    def _take_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go to the state in a checkpoint."""
        state = persistence.unpack(arrays, meta, self._state, self.policy.layout)
        if self._agent.normalizer is not None:
            self._agent.normalizer.load_state_dict(persistence.group(arrays, "normalizer/"))
            state = replace(state, normalizer=self._agent.normalizer.snapshot())
        self._state = state
        self._follow_state()

    # --- attributes -------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> ActorCritic:
        """The networks, with the parameters of the last finished iteration."""
        return self._agent.policy

    @property
    def collector(self) -> Collector:
        """What steps the environments; ConfigError without any."""
        if self._collector is None:
            raise ConfigError(
                "The model has no environment to train on: it was loaded without one. Fix: model.set_env(env), or "
                "fastpg.load(path, env)."
            )
        return self._collector

    @property
    def normalizer(self) -> Normalizer | None:
        """The normaliser that ``predict`` applies, None without normalisation."""
        return self._agent.normalizer

    @property
    def optimizer_state(self) -> OptimizerState:
        """Parameters and moments after the last finished iteration."""
        return self._state.optimizer

    @property
    def observation_space(self) -> Space[Any]:
        """Of a single environment."""
        return self._agent.encoder.space

    @property
    def action_space(self) -> Space[Any]:
        """Of a single environment."""
        return self._agent.decoder.space

    @property
    def env_id(self) -> str | None:
        """The id the environments were made from, None if they were given as objects."""
        return self._env_id

    @property
    def agent(self) -> Agent:
        """What ``predict`` acts with: policy, spaces and the normaliser of observations."""
        return self._agent

    @property
    def seed(self) -> int:
        """Key of all random numbers, drawn from the system if it was not given."""
        return cast(int, self.config.seed)

    @property
    def n_envs(self) -> int:
        """Environments that are stepped together."""
        return self.config.n_envs

    @property
    def num_timesteps(self) -> int:
        """Environment steps so far; within a callback those of the running rollout are included."""
        return self._state.num_timesteps + self.n_rollout_steps

    @property
    def total_timesteps(self) -> int:
        """Environment steps at which the current or last ``learn`` ends."""
        return self._state.total_timesteps

    @property
    def iteration(self) -> int:
        """Finished iterations since the model was made."""
        return self._state.update_index

    @property
    def n_updates(self) -> int:
        """Optimisation epochs since the model was made."""
        return self._state.n_updates

    @property
    def ep_info_buffer(self) -> list[dict[str, float]]:
        """Return ``r`` and length ``l`` of the last finished episodes, oldest first."""
        episodes = self.collector.episodes
        return [{"r": r, "l": length} for r, length in zip(episodes.returns, episodes.lengths, strict=True)]

    @property
    def logger(self) -> Logger:
        """Where metrics are recorded; one that only collects, outside of ``learn``."""
        return self._logger or self._run_logger

    def set_logger(self, logger: Logger) -> None:
        """Record to ``logger`` from now on; it stays open after ``learn``."""
        self._logger = logger


def _with_seed(arguments: dict[str, Any]) -> dict[str, Any]:
    """``arguments`` with a seed drawn from the system in the place of None."""
    is_drawn = "seed" in arguments and arguments["seed"] is None
    return {**arguments, "seed": secrets.randbits(32)} if is_drawn else arguments


def _check_log_interval(log_interval: Any) -> None:
    is_integer = isinstance(log_interval, (int, np.integer)) and not isinstance(log_interval, bool)
    if log_interval is not None and not (is_integer and log_interval >= 1):
        raise ConfigError(
            f"log_interval: expected an integer >= 1 or None, got {log_interval!r}. Fix: pass None to write no log."
        )


def _checked_total(total_timesteps: Any) -> int:
    """``total_timesteps`` as an integer; whole floats such as 1e6 are fine."""
    is_number = isinstance(total_timesteps, (int, float, np.integer, np.floating))
    is_whole = is_number and not isinstance(total_timesteps, bool) and total_timesteps == total_timesteps // 1
    if not is_whole or not 0 <= total_timesteps < 2**63:
        raise ConfigError(
            f"total_timesteps: expected a whole number >= 0, got {total_timesteps!r}. Fix: pass an integer such as "
            "100_000."
        )
    return int(total_timesteps)
