"""Models with stable-baselines3's interface: a translation onto ``OnPolicyModel``, which does all the work."""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from fastpg.algorithms.checks import default_of
from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import ConfigError
from fastpg.sb3 import config as arguments
from fastpg.sb3 import files, parameters
from fastpg.sb3.callbacks import as_callback
from fastpg.sb3.collector import DropInCollector, VecEnvAdapter
from fastpg.sb3.common.logger import Logger, TensorBoardOutputFormat
from fastpg.sb3.common.utils import set_random_seed
from fastpg.sb3.common.vec_env import unwrap_vec_normalize
from fastpg.sb3.environments import as_vec_env
from fastpg.sb3.modules import Device, Optimizer
from fastpg.sb3.policies import ActorCriticPolicy
from fastpg.sb3.rollout_buffer import RolloutBuffer
from fastpg.sb3.schedules import FloatSchedule
from fastpg.training.agent import Agent
from fastpg.training.model import OnPolicyModel, _with_seed
from fastpg.updates.problem import Update

SelfT = TypeVar("SelfT", bound="DropInModel")
Array = NDArray[Any]

#: Arguments that buffers and networks were made for: they cannot be changed afterwards.
_FROZEN = frozenset(
    ("n_steps", "n_envs", "policy_kwargs", "seed", "device", "backend", "n_threads", "normalize", "env_kwargs")
) | {"autoreset_mode", "preset", "use_sde", "sde_sample_freq", "stats_window_size"}
_SCHEDULES = ("clip_range", "clip_range_vf")
#: Methods of stable-baselines3's training loop that scripts override.
_LOOP = ("collect_rollouts", "train", "dump_logs", "_dump_logs", "_setup_model", "_setup_learn")


class DropInModel(OnPolicyModel):
    """Base of the drop-in models; a subclass names configuration, update and the order of the arguments."""

    collector_class = DropInCollector
    argument_order: ClassVar[tuple[str, ...]]
    policy_aliases: ClassVar[dict[str, type[ActorCriticPolicy]]] = {"MlpPolicy": ActorCriticPolicy}
    policy_class: ClassVar[type[ActorCriticPolicy]] = ActorCriticPolicy
    _is_seed_given: bool
    start_time: int = 0

    def __init_subclass__(cls) -> None:
        _check_overridden(cls)
        for name in cls.config_class.fields():
            if not hasattr(cls, name):
                setattr(cls, name, _argument_property(name))
        doc = inspect.cleandoc(cls.__doc__ or "")
        super().__init_subclass__()
        cls.__doc__ = f"{doc}\n\nArguments, their order and defaults are those of stable-baselines3 and sb3-contrib."
        cls.__signature__ = _signature(cls.argument_order, cls.config_class)  # type: ignore[attr-defined]

    def __init__(self, policy: Any, env: Any, *positional: Any, **keywords: Any) -> None:
        _check_policy(policy)
        name = self.config_class.algorithm
        given = arguments.bind_arguments(name, self.argument_order, positional, keywords)
        venv = as_vec_env(env)
        try:
            self._is_seed_given = given.get("seed") is not None
            seeded = _with_seed({"seed": None, **given})
            config = arguments.translate(self.config_class, seeded, n_envs=int(venv.num_envs))
            self._build(config, venv.observation_space, venv.action_space)
            self._attach(VecEnvAdapter(venv), env)
        except BaseException:
            if isinstance(env, str):
                venv.close()
            raise
        self.set_random_seed(self.seed if self._is_seed_given else None)

    def _build(self, config: OnPolicyConfig, observation_space: Space[Any], action_space: Space[Any]) -> None:
        super()._build(config, observation_space, action_space)
        self._run_logger = Logger()
        agent = self._agent
        policy = ActorCriticPolicy(
            agent.policy.layout,
            agent.policy.params,
            backend=config.backend,
            agent=agent,
            optimizer=Optimizer(lambda: self.get_parameters()["policy.optimizer"], self._replace_moments),
            replace_params=self._replace_params,
        )
        self._agent = Agent(
            agent.encoder, agent.decoder, policy=policy, normalizer=agent.normalizer, seed=cast(int, config.seed)
        )
        policy._agent = self._agent

    # --- training ----------------------------------------------------------------------------------------------------

    def learn(
        self: SelfT,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int | None = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfT:
        """Train for at least ``total_timesteps`` steps; see ``OnPolicyModel.learn`` for arguments and errors."""
        self.start_time = time.time_ns()
        hooks = as_callback(callback)
        return super().learn(
            total_timesteps, hooks, log_interval, tb_log_name, reset_num_timesteps, progress_bar=progress_bar
        )

    def _start_logger(self, run_name: str | None, *, is_new: bool) -> Logger:
        """What ``verbose`` and ``tensorboard_log`` ask for, with stable-baselines3's methods."""
        if self._logger is not None:
            return Logger()
        plain = super()._start_logger(run_name, is_new=is_new)
        directory = self._tensorboard_directory
        sinks = [TensorBoardOutputFormat.of(sink) for sink in plain.sinks]
        return Logger(None if directory is None else str(directory), sinks)

    def _start(self, goal: int, collector: Any, *, is_new: bool) -> None:
        """Begin episodes at once where new ones are due, so that ``_last_obs`` is there from the first callback on."""
        super()._start(goal, collector, is_new=is_new)
        if collector.needs_reset:
            collector.reset()

    def give_up_rollout(self) -> None:
        """See ``OnPolicyModel``; the steps of the rollout are counted, as stable-baselines3 does."""
        self._state = replace(self._state, num_timesteps=self.num_timesteps)
        self.n_rollout_steps = 0

    def extra_locals(self) -> dict[str, Any]:
        """See ``OnPolicyModel``: the rollout buffer."""
        return {"rollout_buffer": self.rollout_buffer}

    def _replace_params(self, params: Array) -> None:
        """Take other parameters (P,), which must be finite; moments stay."""
        self.policy.set_params(params)
        self._state = replace(
            self._state, optimizer=replace(self._state.optimizer, params=np.array(params, np.float32))
        )

    def _replace_moments(self, optimizer: Mapping[str, Any]) -> None:
        """Take the moments of the optimiser, as ``get_parameters`` returns them; parameters stay."""
        self.set_parameters({"policy.optimizer": optimizer}, exact_match=False)

    # --- environments and seeds --------------------------------------------------------------------------------------

    @property
    def env(self) -> Any:
        """The vector environment that the model is trained in, or None."""
        adapter = super().get_env()
        return None if adapter is None else adapter.venv

    def get_env(self) -> Any:
        """The vector environment that the model is trained in, or None."""
        return self.env

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """Train in ``env`` from now on; new episodes begin, whatever ``force_reset`` says.

        Raises:
            ConfigError: another number of environments or other spaces.
        """
        del force_reset
        super().set_env(VecEnvAdapter(as_vec_env(env)))

    def get_vec_normalize_env(self) -> Any:
        """The ``VecNormalize`` around the training environment, or None."""
        return unwrap_vec_normalize(self.env)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed the environments and the global generators of Python and NumPy; None does nothing.

        The numbers that the model itself draws are keyed by its argument ``seed``.
        """
        if seed is None:
            return
        set_random_seed(seed)
        self.action_space.seed(seed)
        if self.env is not None:
            self.env.seed(seed)

    # --- parameters and files ----------------------------------------------------------------------------------------

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Copies as arrays: ``policy`` by stable-baselines3's names, ``policy.optimizer`` as PyTorch's optimisers."""
        optimizer = self._state.optimizer
        rate = self.lr_schedule(self._current_progress_remaining)
        return {
            "policy": self.policy.state_dict(),
            "policy.optimizer": parameters.optimizer_dict(
                self.policy.layout, optimizer, rate=rate, is_rms_prop=bool(getattr(self.config, "use_rms_prop", False))
            ),
        }

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto") -> None:
        """Take parameters, and the moments of the optimiser, from a dict or a file.

        Args:
            load_path_or_dict: as ``get_parameters`` returns it (tensors are fine too), or a file that ``save`` of this
                model or of stable-baselines3's wrote.
            exact_match: refuse missing and unknown names; otherwise what is missing stays.
            device: not used.

        Raises:
            ConfigError: names or shapes do not fit. Nothing has changed then.
        """
        del device
        given = load_path_or_dict
        if not isinstance(given, Mapping):
            given = files.read_parameters(given, self.policy.layout)
        expected = {"policy", "policy.optimizer"}
        if not set(given) <= expected or (exact_match and len(given) < len(expected)):
            raise ConfigError(f"parameters: expected the entries {sorted(expected)}, got {sorted(map(str, given))}.")
        old, layout = self._state.optimizer, self.policy.layout
        params = parameters.flat_from(layout, given.get("policy", {}), old.params, exact_match=exact_match)
        new = replace(old, params=params)
        if "policy.optimizer" in given:
            first, second, step = parameters.optimizer_from(layout, old, given["policy.optimizer"])
            new = replace(new, first_moment=first, second_moment=second, step=step)
        self._state = replace(self._state, optimizer=new)
        self._follow_state()

    def save(self, path: Any, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """Write the model; ``.zip`` is appended to a name without suffix, as stable-baselines3 does.

        What is written is fastpg's checkpoint, whatever the name: one file without pickle, which ``load`` and
        ``fastpg.load`` read.

        Args:
            path: a path, or a file opened for writing bytes.
            exclude: not used: the file holds what training needs.
            include: not used.
        """
        del exclude, include
        files.write(path, *self.state_dict())

    @classmethod
    def load(
        cls: type[SelfT],
        path: Any,
        env: Any = None,
        device: Any = "auto",
        custom_objects: Mapping[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfT:
        """The model in a file that ``save`` wrote, or stable-baselines3's own ``save``; nothing in it is executed.

        Args:
            path: a path (``.zip`` may be left out), or a file opened for reading bytes.
            env: to train in; None loads a model that can ``predict``.
            device: only the CPU.
            custom_objects: values of arguments, such as ``learning_rate`` or ``clip_range``; others are not used.
            print_system_info: print what ``fastpg info`` prints.
            force_reset: not used; new episodes begin.
            **kwargs: arguments to change.

        Raises:
            CheckpointError: the file is damaged, foreign, of another algorithm, or does not fit ``env``.
            ConfigError: a wrong argument, or other ``policy_kwargs`` than the saved ones.
        """
        del force_reset
        if print_system_info:
            files.print_system_info()
        known = cls.config_class.fields()
        overrides = {name: value for name, value in (custom_objects or {}).items() if name in known} | kwargs
        if device != "auto":
            overrides["device"] = device
        if env is not None:
            env = VecEnvAdapter(as_vec_env(env))
        arrays, meta = files.read_model(path, cls.config_class, env)
        _check_policy_kwargs(overrides, meta)
        return cls.from_state(arrays, meta, env=env, **arguments.with_zero_rates(overrides))

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """See ``OnPolicyModel``."""
        arrays, meta = super().state_dict()
        return arrays, meta | {"api": files.API, "is_seed_given": self._is_seed_given}

    @classmethod
    def from_state(
        cls: type[SelfT], arrays: Mapping[str, Array], meta: Mapping[str, Any], env: Any = None, **overrides: Any
    ) -> SelfT:
        """See ``OnPolicyModel``; a seed that was given seeds the environments again."""
        if env is not None and not isinstance(env, VecEnvAdapter):
            env = VecEnvAdapter(as_vec_env(env))
        model = super().from_state(arrays, meta, env=env, **overrides)
        model._is_seed_given = bool(meta.get("is_seed_given")) or overrides.get("seed") is not None
        model.set_random_seed(model.seed if model._is_seed_given else None)
        return model

    # --- attributes --------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> ActorCriticPolicy:
        """The networks, with the parameters of the last finished iteration."""
        return cast(ActorCriticPolicy, self._agent.policy)

    @property
    def collector(self) -> DropInCollector:
        """What steps the environments; ConfigError without any."""
        return cast(DropInCollector, super().collector)

    @property
    def policy_kwargs(self) -> dict[str, Any]:
        """The description of the networks, checked."""
        return self.config.policy_kwargs or {}

    @property
    def device(self) -> Device:
        """Always the CPU."""
        return Device("cpu")

    @property
    def lr_schedule(self) -> FloatSchedule:
        """Learning rate as a function of the remaining progress; can be set."""
        return FloatSchedule(self.config.learning_rate)

    @lr_schedule.setter
    def lr_schedule(self, schedule: Any) -> None:
        self._change("learning_rate", schedule)

    @property
    def rollout_buffer(self) -> RolloutBuffer:
        """Copies of the last rollout."""
        return RolloutBuffer(self)

    @property
    def ep_info_buffer(self) -> deque[dict[str, Any]]:  # type: ignore[override]
        """What ``Monitor`` said about the last episodes, oldest first."""
        return self.collector.ep_infos

    @property
    def ep_success_buffer(self) -> deque[bool]:
        """``is_success`` of the last episodes that had it, oldest first."""
        return self.collector.episodes.successes

    @property
    def _last_obs(self) -> Any:
        return None if self._collector is None else self._collector.env.last_observations

    @property
    def _last_episode_starts(self) -> Any:
        return None if self._collector is None else self._collector.env.episode_starts

    @property
    def _n_updates(self) -> int:
        return self.n_updates

    @property
    def _total_timesteps(self) -> int:
        return self.total_timesteps

    @property
    def _current_progress_remaining(self) -> float:
        return self._state.progress_remaining(self._state.num_timesteps)

    @property
    def _vec_normalize_env(self) -> Any:
        return self.get_vec_normalize_env()

    def _setup_lr_schedule(self) -> None:
        """Nothing: a changed ``learning_rate`` counts at once."""

    def _change(self, name: str, value: Any) -> None:
        """Set the argument ``name`` for the updates to come."""
        config = arguments.changed(self.config, name, value)
        update: Update = type(self).make_update(config)
        self.config, self._update = config, update


def _check_overridden(cls: type[DropInModel]) -> None:
    """Raise ConfigError if ``cls`` overrides a part of stable-baselines3's training loop, which nobody would call."""
    for name in _LOOP:
        if name in vars(cls):
            raise ConfigError(
                f"{cls.__name__}.{name}: expected a model without it, as fastpg has a training loop of its own, which "
                "would never call it. Fix: use a callback, or fastpg.updates for another update."
            )


def _argument_property(name: str) -> property:
    """An argument as an attribute that can be set, where that can have an effect."""

    def get(model: DropInModel) -> Any:
        value = getattr(model.config, name)
        return FloatSchedule(value) if name in _SCHEDULES and value is not None else value

    def change(model: DropInModel, value: Any) -> None:
        if name in _FROZEN:
            raise ConfigError(f"{name}: expected to stay as it was made, got {value!r}. Fix: make another model.")
        model._change(name, value.value_schedule if isinstance(value, FloatSchedule) else value)

    return property(get, change)


def _signature(order: tuple[str, ...], config_class: type[OnPolicyConfig]) -> inspect.Signature:
    """``(policy, env, learning_rate=0.0003, ...)`` in stable-baselines3's order, then fastpg's own by name."""
    kind = inspect.Parameter
    specs = config_class.fields()
    by_place = [
        kind(
            name,
            kind.POSITIONAL_OR_KEYWORD,
            default=default_of(specs[name]) if name in specs else arguments.FIXED[name],
        )
        for name in order
    ]
    leading = [kind(name, kind.POSITIONAL_OR_KEYWORD) for name in ("policy", "env")]
    own = [kind(name, kind.KEYWORD_ONLY, default=default_of(specs[name])) for name in arguments.OWN_ARGUMENTS]
    return inspect.Signature([*leading, *by_place, *own])


def _check_policy(policy: Any) -> None:
    """Raise ConfigError unless ``policy`` is the MLP policy, as a string or as a class of that name."""
    name = policy if isinstance(policy, str) else getattr(policy, "__name__", repr(policy))
    if name not in ActorCriticPolicy.names:
        raise ConfigError(
            f"policy: expected 'MlpPolicy', the only kind of policy, got {name!r}. Fix: flatten Dict observations "
            "(gymnasium.wrappers.FlattenObservation); images, gSDE and policies with a memory are not supported."
        )


def _check_policy_kwargs(overrides: dict[str, Any], meta: Mapping[str, Any]) -> None:
    """Raise ConfigError if other ``policy_kwargs`` are given than the saved ones; equal ones are taken out."""
    if "policy_kwargs" not in overrides:
        return
    saved = meta["config"].get("policy_kwargs")
    config_class = arguments.DropInPPOConfig
    given = config_class(policy_kwargs=arguments._plain_policy_kwargs(overrides.pop("policy_kwargs"))).policy_kwargs
    if (given or {}) != (saved or {}):
        raise ConfigError(
            f"policy_kwargs: expected {saved!r}, those of the saved model, got {given!r}. Fix: leave it out."
        )
