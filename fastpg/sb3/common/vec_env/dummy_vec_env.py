"""Environments stepped one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import create_empty_array

from fastpg.errors import ConfigError, EnvDataError, EnvError, FastPGError
from fastpg.rollout.serial import checked_flag
from fastpg.sb3.common.vec_env.base_vec_env import Array, Indices, Step, VecEnv
from fastpg.sb3.common.wrapping import is_wrapped

#: What is said beside an exception of an environment, which may come from what it returned.
_API = {
    "reset": "(It has to return (observation, info).)",
    "step": "(It has to return (observation, reward, terminated, truncated, info); wrap the old Gym API with shimmy.)",
}


class DummyVecEnv(VecEnv):
    """A vector environment that steps its environments in turn.

    Args:
        env_fns: callables that each make a ``gymnasium.Env``; a different one each.

    Attributes:
        envs: the environments.

    Raises:
        ConfigError: no callable, something that makes no ``gymnasium.Env``, or the same environment twice.
    """

    def __init__(self, env_fns: Sequence[Callable[[], Any]]) -> None:
        self.envs = [_checked(env_fn) for env_fn in env_fns]
        if not self.envs:
            raise ConfigError("env_fns: expected at least one callable, got an empty list.")
        if len({id(env.unwrapped) for env in self.envs}) != len(self.envs):
            raise ConfigError(
                "env_fns: expected each callable to make its own environment, got the same one twice. Fix: create the "
                "environment inside the callable."
            )
        first = self.envs[0]
        super().__init__(len(self.envs), first.observation_space, first.action_space)
        self.metadata = first.metadata
        buffer: Any = create_empty_array(first.observation_space, n=self.num_envs, fn=np.zeros)
        self._buffer = buffer
        self._is_array = isinstance(self._buffer, np.ndarray)
        self._shape: tuple[int, ...] = self._buffer.shape[1:] if isinstance(self._buffer, np.ndarray) else ()
        self._rewards = np.zeros(self.num_envs, np.float32)
        self._dones = np.zeros(self.num_envs, np.bool_)
        self._infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self.actions: Any = None

    def reset(self) -> Any:
        """Begin new episodes everywhere; the observations (N, ...)."""
        for index in range(self.num_envs):
            self._reset_one(index, seed=self._seeds[index], options=self._options[index])
        self._reset_seeds()
        self._reset_options()
        return self._observations()

    def _reset_one(self, index: int, *, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        arguments = {"options": options} if options else {}
        try:
            observation, self.reset_infos[index] = self.envs[index].reset(seed=seed, **arguments)
        except Exception as error:  # noqa: BLE001 - raised again, named
            self._raise_env_error(error, "reset", index)
        self._keep(index, observation)

    def _raise_env_error(self, error: Exception, method: str, index: int) -> NoReturn:
        if isinstance(error, FastPGError):
            raise error
        raise EnvError(
            f"{method}() raised {type(error).__name__}: {error} — env {index} of {self.num_envs}. {_API[method]}"
        ) from error

    def step_async(self, actions: Array) -> None:
        """Keep ``actions`` (N, ...) for ``step_wait``."""
        self.actions = actions

    def step_wait(self) -> Step:
        """Step the environments; see ``VecEnv``."""
        buffer, is_array = self._buffer, self._is_array
        infos = self._infos = [{}] * self.num_envs
        for index, (env, action) in enumerate(zip(self.envs, self.actions, strict=True)):
            try:
                observation, reward, terminated, truncated, info = env.step(action)
                self._rewards[index] = reward if reward.__class__ is float else float(reward)
                infos[index] = info = dict(info)  # an environment may hand out the same dict again
            except Exception as error:  # noqa: BLE001 - raised again, named
                self._raise_env_error(error, "step", index)
            if terminated.__class__ is not bool or truncated.__class__ is not bool:
                where = f"env {index} of {self.num_envs}"
                terminated = checked_flag("terminated", terminated, where)
                truncated = checked_flag("truncated", truncated, where)
            self._dones[index] = has_ended = terminated or truncated
            info["TimeLimit.truncated"] = truncated and not terminated
            if has_ended:
                info["terminal_observation"] = observation
                self._reset_one(index)
            elif is_array and observation.__class__ is np.ndarray and observation.shape == self._shape:
                buffer[index] = observation
            else:
                self._keep(index, observation)
        return self._observations(), self._rewards.copy(), self._dones.copy(), infos

    def _keep(self, index: int, observation: Any) -> None:
        """Store the observation of environment ``index`` in the batch."""
        if self._is_array:
            if np.shape(observation) != self._shape:
                raise EnvDataError(
                    f"observation: expected shape {self._shape}, got {np.shape(observation)} — env {index} of "
                    f"{self.num_envs}. Fix: return observations of the declared space {self.observation_space}."
                )
            self._buffer[index] = observation
        elif isinstance(self._buffer, dict):
            for key, batch in self._buffer.items():
                batch[index] = observation[key]
        else:
            for batch, part in zip(self._buffer, observation, strict=True):
                batch[index] = part

    def _observations(self) -> Any:
        """A copy of the batch."""
        if self._is_array:
            return self._buffer.copy()
        if isinstance(self._buffer, dict):
            return {key: batch.copy() for key, batch in self._buffer.items()}
        return tuple(batch.copy() for batch in self._buffer)

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()

    def get_images(self) -> Sequence[Array | None]:
        """One rendered frame of each environment, if they were made with render_mode='rgb_array'."""
        return [env.render() if self.render_mode == "rgb_array" else None for env in self.envs]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """See ``VecEnv``."""
        return [env.get_wrapper_attr(attr_name) for env in self._targets(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """See ``VecEnv``."""
        for env in self._targets(indices):
            _set_where_it_is(env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """See ``VecEnv``."""
        return [env.get_wrapper_attr(method_name)(*args, **kwargs) for env in self._targets(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """See ``VecEnv``."""
        return [is_wrapped(env, wrapper_class) for env in self._targets(indices)]

    def _targets(self, indices: Indices) -> list[Any]:
        return [self.envs[index] for index in self._get_indices(indices)]


def _checked(env_fn: Any) -> Any:
    """The environment that ``env_fn`` makes."""
    env = env_fn() if callable(env_fn) and not isinstance(env_fn, gym.Env) else env_fn
    if env is env_fn or not isinstance(env, gym.Env):
        raise ConfigError(
            f"env_fns: expected callables that each make a gymnasium.Env, got {env!r}. Fix: "
            "[lambda: gymnasium.make('CartPole-v1')], and wrap an environment of the old Gym with shimmy."
        )
    return env


def _set_where_it_is(env: Any, name: str, value: Any) -> None:
    """Set the attribute in the wrapper that has it; in the outermost one if none does."""
    layer = env
    while True:
        if name in vars(layer):
            setattr(layer, name, value)
            return
        if not isinstance(layer, gym.Wrapper):
            break
        layer = layer.env
    setattr(env if not hasattr(layer, name) else layer, name, value)
