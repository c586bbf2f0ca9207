"""A vector environment that steps Gymnasium environments one after another in this process, and trusts none of them.

Follows Gymnasium's SAME_STEP autoreset. Every observation, reward and flag is looked at when it arrives, so that an
error names the environment, the episode step and the value; data of the declared kind passes without conversion.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from numbers import Real
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space, create_empty_array
from numpy.typing import NDArray

from fastpg.errors import ConfigError, EnvDataError, EnvError, FastPGError
from fastpg.rollout.autoreset import AutoresetMode, gymnasium_mode
from fastpg.rollout.plain_steps import is_int64, plain_steps
from fastpg.rollout.spaces import as_real_array

Array = NDArray[Any]
EnvFactory = Callable[[], Any]

_OLD_API_FIX = (
    "Fix: implement the Gymnasium API, reset(seed=None, options=None) -> (obs, info) and "
    "step(action) -> (obs, reward, terminated, truncated, info), or wrap an old environment with shimmy."
)


def checked_flag(name: str, flag: Any, where: str) -> bool:
    """``terminated`` or ``truncated`` as a bool; NumPy's bool, 0 and 1 count too.

    Args:
        name: of the flag.
        flag: what ``step`` returned.
        where: environment and step, for the message.

    Raises:
        EnvDataError: something else, None included: an episode would never end.
    """
    if isinstance(flag, bool | np.bool_) or (isinstance(flag, int | np.integer) and flag in (0, 1)):
        return bool(flag)
    raise EnvDataError(
        f"{name} is {_kind(flag)}: expected True or False — {where}. Fix: return a bool for {name} from step()."
    )


class SerialVectorEnv(gym.vector.VectorEnv):
    """N sub-environments stepped in turn; a drop-in for ``gymnasium.vector.SyncVectorEnv`` in SAME_STEP mode.

    Args:
        env_fns: N >= 1 callables, each returning a new ``gymnasium.Env``; all with equal spaces.
        seed: of the first ``reset`` that is given none; sub-environment i gets ``seed + i``.
        backend: implementation of the loop over the sub-environments; None is the default backend.

    Attributes:
        envs: the sub-environments.

    Raises:
        ConfigError: no callable, one that returns the same environment again or something else, or a backend that is
            not installed.
        EnvError: a callable raised; the environments made before are closed.
    """

    def __init__(self, env_fns: Sequence[EnvFactory], *, seed: int | None = None, backend: str | None = None) -> None:
        self.envs: list[Any] = []
        self.num_envs = len(env_fns)
        if not env_fns:
            raise ConfigError("env: expected at least one environment, got an empty list. Fix: give one callable each.")
        try:
            for index, env_fn in enumerate(env_fns):
                self.envs.append(self._make(index, env_fn))
            self._check_same_spaces()
            self._set_spaces(self.envs[0])
            self._backend = backend
            self._bind_stepper()
        except BaseException:
            self._close_quietly()
            raise
        self._first_seed = seed
        self._n_steps = 0  # calls of step; one that raised counts for all sub-environments
        self._episode_starts = [0] * self.num_envs  # in these steps
        self._lean_arrays = self._new_arrays()
        self._has_lean_ends = False  # whether a flag may be set in them

    def _new_arrays(self) -> tuple[Array, Array, Array]:
        """Rewards, ``terminated`` and ``truncated`` of a step, no flag set."""
        return np.empty(self.num_envs), np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)

    def _set_spaces(self, first: Any) -> None:
        self.render_mode = first.render_mode
        self.metadata = {**first.metadata, "autoreset_mode": gymnasium_mode(AutoresetMode.SAME_STEP)}
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        buffer = create_empty_array(first.observation_space, n=self.num_envs, fn=np.zeros)
        self._is_array_space = isinstance(buffer, np.ndarray)
        self._observations: Any = buffer if self._is_array_space else [None] * self.num_envs
        self._shape: tuple[int, ...] = buffer.shape[1:] if isinstance(buffer, np.ndarray) else ()
        self._dtype = buffer.dtype if isinstance(buffer, np.ndarray) else np.dtype(object)
        self._takes_int = self._shape == () and self._dtype == np.int64

    def _bind_stepper(self) -> None:
        self._stepper = plain_steps(self._observations if self._is_array_space else None, backend=self._backend)

    def __getstate__(self) -> dict[str, Any]:
        """All but the stepper, for ``copy`` and ``pickle``."""
        return {name: value for name, value in self.__dict__.items() if name != "_stepper"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state, with a stepper of its own."""
        self.__dict__.update(state)
        self._bind_stepper()

    def _make(self, index: int, env_fn: EnvFactory) -> gym.Env[Any, Any]:
        where = f"env {index} of {self.num_envs}"
        if not callable(env_fn):
            raise ConfigError(
                f"env: expected a list of callables that each make an environment, got {env_fn!r} — {where}. "
                "Fix: [lambda: gymnasium.make('CartPole-v1'), ...]."
            )
        try:
            env = env_fn()
        except FastPGError:
            raise
        except Exception as error:
            raise EnvError(f"creating the environment raised {_text(error)} — {where}.") from error
        if not isinstance(env, gym.Env):
            raise ConfigError(f"env: expected a gymnasium.Env, got {describe(env)} — {where}. {_OLD_API_FIX}")
        if any(env is other for other in self.envs):
            raise ConfigError(
                f"env: expected a new environment from every callable, got the same one twice — {where}. "
                "Fix: create the environment inside the callable."
            )
        return env

    def _check_same_spaces(self) -> None:
        for name in ("observation_space", "action_space"):
            first = getattr(self.envs[0], name, None)
            for index, env in enumerate(self.envs):
                space = getattr(env, name, None)
                if not isinstance(space, gym.Space):
                    raise ConfigError(
                        f"{name}: expected a gymnasium space, got {space!r} — env {index} of {self.num_envs}. "
                        f"Fix: set self.{name} in the environment's __init__."
                    )
                if space != first:
                    raise ConfigError(
                        f"{name}: expected the same space in every environment, got {first} in env 0 and {space} — "
                        f"env {index} of {self.num_envs}. Fix: give environments with equal spaces."
                    )

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a new episode everywhere.

        Args:
            seed: sub-environment i is seeded with ``seed + i``, or with entry i of a sequence of N; None keeps the
                random state of each (the first time: the seed of the constructor).
            options: passed to every ``reset``.

        Returns:
            observations (N, ...), infos as Gymnasium batches them.

        Raises:
            EnvError: a sub-environment raised.
            EnvDataError: a sub-environment returned something other than (obs, info), or a wrong observation.
        """
        if seed is None:
            seed, self._first_seed = self._first_seed, None
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)] if _is_one(seed) else list(seed)  # type: ignore[operator,arg-type]
        if len(seeds) != self.num_envs:
            raise ConfigError(f"seed: expected one per environment ({self.num_envs}), got {len(seeds)}.")
        infos: dict[str, Any] = {}
        for index, env_seed in enumerate(seeds):
            info = self._reset_one(index, seed=env_seed, options=options)
            if info:
                infos = self._add_info(infos, info, index)
        return self._observation_batch(), infos

    def _reset_one(self, index: int, **arguments: Any) -> dict[str, Any]:
        """Reset sub-environment ``index``, store its observation, return its info."""
        self._episode_starts[index] = self._n_steps
        try:
            result = self.envs[index].reset(**arguments)
        except Exception as error:  # noqa: BLE001 - raised again, named
            self._raise_env_error(error, "reset", index)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise EnvDataError(
                f"reset: expected (obs, info), got {_kind(result)}; is this the old Gym API? — {self._where(index)}. "
                f"{_OLD_API_FIX}"
            )
        observation: Any = result[0]
        info: dict[str, Any] = result[1]
        self._observations[index] = self._checked_observation(observation, index)
        return info

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Take one step everywhere; where an episode ends the next one begins.

        Args:
            actions: N actions, ``actions[i]`` for sub-environment i; an array of the batched action space.

        Returns:
            observations (N, ...), rewards (N,) float64, terminated (N,) bool, truncated (N,) bool, infos; where an
            episode ended, ``infos["final_obs"][i]`` and ``infos["final_info"]`` describe its last step.

        Raises:
            EnvError: a sub-environment raised.
            EnvDataError: a sub-environment returned something of a wrong kind.
        """
        return self._step(actions, self._new_arrays(), has_infos=True)

    def step_lean(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """As ``step``, for a caller that looks at little and not for long.

        The infos of running episodes are left out: to collect them costs more than many environments. Rewards and flags
        are the same arrays in every call, overwritten by the next and only to be read.
        """
        if self._has_lean_ends:
            _, terminated, truncated = self._lean_arrays
            terminated[:] = truncated[:] = self._has_lean_ends = False
        return self._step(actions, self._lean_arrays, has_infos=False)

    def _step(
        self, actions: Any, arrays: tuple[Array, Array, Array], *, has_infos: bool
    ) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Step everywhere, into ``arrays``: rewards, and flags of which none is set."""
        if not isinstance(actions, np.ndarray | list | tuple):
            actions = list(actions)
        if len(actions) != self.num_envs:
            raise ConfigError(f"actions: expected one per environment ({self.num_envs}), got {len(actions)}.")
        if len(self.envs) != self.num_envs:
            raise ConfigError(f"envs: expected {self.num_envs} as when they were made, got {len(self.envs)}.")
        stepper, rewards, first = self._stepper, arrays[0], 0
        infos: dict[str, Any] = {}
        self._n_steps += 1
        while first < self.num_envs:
            try:
                special = stepper.run(self.envs, actions, first, rewards, has_infos)
            except Exception as error:  # noqa: BLE001 - raised again, named
                self._raise_env_error(error, "step", stepper.index)
            if special is None:
                break
            index, result = special
            infos = self._take(result, index, arrays, infos, has_infos=has_infos)
            first = index + 1
        return self._observation_batch(), *arrays, infos

    def _take(
        self,
        result: Any,
        index: int,
        arrays: tuple[Array, Array, Array],
        infos: dict[str, Any],
        *,
        has_infos: bool,
    ) -> dict[str, Any]:
        """Store whatever a step of sub-environment ``index`` returned, reset it if it ended; return the new infos."""
        if not isinstance(result, tuple) or len(result) != 5:
            self._raise_old_step_api(result, index)
        rewards, terminated, truncated = arrays
        observation, reward, has_terminated, has_truncated, info = result
        observation = self._observations[index] = self._checked_observation(observation, index)
        rewards[index] = reward if isinstance(reward, float) else self._checked_reward(reward, index)
        if has_terminated is not False or has_truncated is not False:
            self._has_lean_ends = True  # before a flag is set, as that may raise
            terminated[index] = checked_flag("terminated", has_terminated, self._where(index))
            truncated[index] = checked_flag("truncated", has_truncated, self._where(index))
            if terminated[index] or truncated[index]:
                self._add_final(infos, observation, info, index)
                info = self._reset_one(index)
        return self._add_info(infos, info, index) if info and has_infos else infos

    def _add_final(self, infos: dict[str, Any], observation: Any, info: dict[str, Any], index: int) -> None:
        """What ``_add_info`` does with ``final_obs`` and ``final_info``, in a tenth of the time.

        The observation is copied: environments that always return the same array overwrite it in their reset.
        """
        if "final_obs" not in infos:
            infos["final_obs"] = np.full(self.num_envs, None, dtype=object)
            infos["_final_obs"] = np.zeros(self.num_envs, np.bool_)
            infos["final_info"] = {}
            infos["_final_info"] = np.zeros(self.num_envs, np.bool_)
        infos["final_obs"][index] = observation.copy() if isinstance(observation, np.ndarray) else deepcopy(observation)
        infos["_final_obs"][index] = infos["_final_info"][index] = True
        if info:
            infos["final_info"] = self._add_info(infos["final_info"], info, index)

    def _observation_batch(self) -> Any:
        if self._is_array_space:
            return self._observations.copy()
        buffer: Any = create_empty_array(self.single_observation_space, n=self.num_envs, fn=np.zeros)
        return gym.vector.utils.concatenate(self.single_observation_space, self._observations, buffer)

    def _checked_observation(self, observation: Any, index: int) -> Any:
        """``observation`` as an array of the declared shape, or as it is for spaces that are no arrays."""
        if (
            observation.__class__ is np.ndarray
            and observation.dtype is self._dtype
            and observation.shape == self._shape
        ):
            return observation
        if not self._is_array_space or (self._takes_int and is_int64(observation)):
            return observation
        array = as_real_array(observation)
        if array is None:
            raise EnvDataError(
                f"observation: expected an array of real numbers, got {_kind(observation)} — {self._where(index)}. "
                f"Fix: return observations of the declared space {self.single_observation_space}."
            )
        if array.shape != self._shape:
            raise EnvDataError(
                f"observation: expected shape {self._shape}, got {array.shape} — {self._where(index)}. "
                f"Fix: return observations of the declared space {self.single_observation_space}."
            )
        with np.errstate(over="ignore", invalid="ignore"):  # looked at below
            cast = array.astype(self._dtype)
        if self._dtype.kind != "f" and not np.array_equal(cast, array):
            raise EnvDataError(
                f"observation: expected values of dtype {self._dtype}, got {array.dtype} with values that this cannot "
                f"hold — {self._where(index)}. Fix: return observations of the declared space "
                f"{self.single_observation_space}."
            )
        overflown = np.isfinite(array) & ~np.isfinite(cast) if self._dtype.kind == "f" else None
        if overflown is not None and overflown.any():
            raise EnvDataError(
                f"observation is {array[overflown][0]}: expected a number that {self._dtype} can hold — "
                f"{self._where(index)}. Fix: scale the observation."
            )
        return cast

    def _checked_reward(self, reward: Any, index: int) -> float:
        if isinstance(reward, Real | np.bool_):
            return float(reward)
        array = None if reward is None or isinstance(reward, str | bytes) else as_real_array(reward)
        if array is not None and array.size == 1:
            if array.ndim:
                warnings.warn(
                    f"env {index} returned a reward of shape {array.shape}: return a float instead.",
                    DeprecationWarning,
                    stacklevel=3,
                )
            return float(array.reshape(-1)[0])
        raise EnvDataError(
            f"reward is {_kind(reward)}: expected a real number — {self._where(index)}. "
            "Fix: return a float as the second value of step()."
        )

    def _where(self, index: int) -> str:
        return f"env {index} of {self.num_envs}, episode step {self._n_steps - self._episode_starts[index]}"

    def _raise_env_error(self, error: Exception, method: str, index: int) -> NoReturn:
        raise EnvError(f"{method}() raised {_text(error)} — {self._where(index)}.") from error

    def _raise_old_step_api(self, result: Any, index: int) -> NoReturn:
        raise EnvDataError(
            f"step: expected the 5 values (obs, reward, terminated, truncated, info), got {_kind(result)}; is this the "
            f"old Gym API? — {self._where(index)}. {_OLD_API_FIX}"
        )

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of every sub-environment."""
        return self.get_attr("np_random_seed")

    @property  # type: ignore[misc]  # settable in the base class, not here, as in SyncVectorEnv
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The random generator of every sub-environment."""
        return self.get_attr("np_random")

    def render(self) -> tuple[Any, ...]:
        """One rendered frame of every sub-environment."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call the method ``name`` of every sub-environment, or read the attribute."""
        members = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(member(*args, **kwargs) if callable(member) else member for member in members)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The attribute ``name`` of every sub-environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set the attribute ``name`` of every sub-environment, to one value or to a list of N."""
        values = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"values: expected one per environment ({self.num_envs}), got {len(values)}.")
        for env, value in zip(self.envs, values, strict=True):
            env.set_wrapper_attr(name, value)

    def __getattr__(self, name: str) -> Any:
        """``get_state`` and ``set_state``, where every sub-environment has them."""
        if name in ("get_state", "set_state") and all(hasattr(env, name) for env in self.__dict__.get("envs", ())):
            return getattr(self, f"_{name}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _get_state(self) -> dict[str, Array]:
        state = {f"{i}/{name}": array for i, env in enumerate(self.envs) for name, array in env.get_state().items()}
        return state | {"episode_steps": self._n_steps - np.array(self._episode_starts, np.int64)}

    def _set_state(self, state: Mapping[str, Array]) -> None:
        self._first_seed = None
        self._episode_starts = (self._n_steps - state["episode_steps"]).tolist()
        for index, env in enumerate(self.envs):
            prefix = f"{index}/"
            env.set_state({name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)})

    def __del__(self) -> None:
        """Close nothing, as the sub-environments may be the user's; Gymnasium 1.0 would, later versions do not."""

    def close_extras(self, **kwargs: Any) -> None:
        """Close every sub-environment, then raise the first error that one of them raised."""
        del kwargs  # part of Gymnasium's signature
        errors = self._close_quietly()
        self.closed = True  # not to be tried again, even if one failed
        if errors:
            raise EnvError(f"close() raised {_text(errors[0])}.") from errors[0]

    def _close_quietly(self) -> list[Exception]:
        errors = []
        for env in self.envs:
            try:
                env.close()
            except Exception as error:  # noqa: BLE001 - the others must be closed too
                errors.append(error)
        return errors


def _is_one(seed: Any) -> bool:
    return seed is None or isinstance(seed, int | np.integer)


def _kind(value: Any) -> str:
    """What ``value`` is, short enough for a message."""
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if value is None:
        return "None"
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= 60 else type(value).__name__


def describe(value: Any) -> str:
    """``value`` where an environment was expected: the class, and for built-in types the value too."""
    if type(value).__module__ == "builtins":
        return _kind(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else repr(error)
