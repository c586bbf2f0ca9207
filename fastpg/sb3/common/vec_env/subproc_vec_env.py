"""Environments that step in processes of their own."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from fastpg.errors import ConfigError, EnvError
from fastpg.sb3.common.vec_env.base_vec_env import Array, Indices, Step, VecEnv
from fastpg.sb3.common.vec_env.dummy_vec_env import DummyVecEnv

_JOIN_TIMEOUT_S = 5.0


def _answer(venv: DummyVecEnv, command: str, arguments: Any) -> Any:
    """What the environment of a worker says to one command."""
    if command == "step":
        venv.step_async(np.asarray([arguments]))
        observations, rewards, dones, infos = venv.step_wait()
        return _first(observations), rewards[0], dones[0], infos[0], venv.reset_infos[0]
    if command == "reset":
        seed, options = arguments
        venv._seeds, venv._options = [seed], [options]
        return _first(venv.reset()), venv.reset_infos[0]
    if command == "spaces":
        return venv.observation_space, venv.action_space, venv.metadata
    if command == "call":
        name, args, kwargs = arguments
        return getattr(venv, name)(*args, **kwargs)
    raise ValueError(f"command: expected step, reset, spaces or call, got {command!r}.")


def _first(observations: Any) -> Any:
    """The only row of a batch."""
    if isinstance(observations, dict):
        return {key: batch[0] for key, batch in observations.items()}
    return tuple(batch[0] for batch in observations) if isinstance(observations, tuple) else observations[0]


def _work(connection: Any, parent: Any, env_fn: CloudpickleWrapper) -> None:
    """Answer commands until told to close or left alone. Ctrl-C, which every process gets, is the parent's alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent.close()
    venv = None
    try:
        try:
            venv = DummyVecEnv([env_fn.fn])
            connection.send((True, None))
        except Exception as error:  # noqa: BLE001 - raised in the parent
            connection.send((False, _portable(error)))
            return
        while True:
            command, arguments = connection.recv()
            if command == "close":
                return
            try:
                connection.send((True, _answer(venv, command, arguments)))
            except Exception as error:  # noqa: BLE001 - raised in the parent
                connection.send((False, _portable(error)))
    except (EOFError, ConnectionError):
        pass
    finally:
        if venv is not None:
            venv.close()
        connection.close()


def _portable(error: Exception) -> tuple[bool, str]:
    """(is it an AttributeError, text): exceptions themselves may not survive the pipe."""
    origin = error.__cause__ or error
    text = str(origin).replace(" — env 0 of 1", "")  # the only one of its worker; the parent knows which it is
    return isinstance(origin, AttributeError), f"{type(origin).__name__}: {text}"


class SubprocVecEnv(VecEnv):
    """A vector environment whose environments each live in a process of their own.

    Worth its cost where a step takes longer than about 0.1 ms; below, ``DummyVecEnv`` is faster.

    Args:
        env_fns: callables that each make a ``gymnasium.Env``.
        start_method: of ``multiprocessing``; None takes forkserver, or spawn where there is none. A script has to
            guard its entry with ``if __name__ == "__main__":`` then.

    Raises:
        ConfigError: no callable.
        EnvError: an environment could not be made; or later, raised, or its process died.
    """

    def __init__(self, env_fns: Sequence[Callable[[], Any]], start_method: str | None = None) -> None:
        if not env_fns:
            raise ConfigError("env_fns: expected at least one callable, got an empty list.")
        if start_method is None:
            start_method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context: Any = multiprocessing.get_context(start_method)
        self.waiting = False
        self.closed = False
        self.remotes: list[Any] = []
        self._n_unread: list[int] = []  # answers of each process that are on their way
        self.processes: list[Any] = []
        for env_fn in env_fns:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, ours, CloudpickleWrapper(env_fn)), daemon=True)
            process.start()
            theirs.close()
            self.remotes.append(ours)
            self.processes.append(process)
            self._n_unread.append(1)
        try:
            for index in range(len(env_fns)):
                self._receive(index)
            observation_space, action_space, metadata = self._ask(0, "spaces", None)
        except BaseException:
            self.close()
            raise
        super().__init__(len(env_fns), observation_space, action_space)
        self.metadata = metadata

    def _ask(self, index: int, command: str, arguments: Any) -> Any:
        self._send(index, command, arguments)
        return self._receive(index)

    def _send(self, index: int, command: str, arguments: Any) -> None:
        """Send a command; answers to earlier ones that an error or an interrupt left unread are dropped first."""
        while self._n_unread[index]:
            self._read(index)
        try:
            self.remotes[index].send((command, arguments))
        except OSError as error:
            raise self._death(index) from error
        self._n_unread[index] += 1

    def _read(self, index: int) -> tuple[bool, Any]:
        """The next answer, whatever it is."""
        try:
            answer: tuple[bool, Any] = self.remotes[index].recv()
        except (EOFError, OSError) as error:
            raise self._death(index) from error
        self._n_unread[index] -= 1
        return answer

    def _receive(self, index: int) -> Any:
        is_good, answer = self._read(index)
        if is_good:
            return answer
        is_missing_attribute, text = answer
        if is_missing_attribute:
            raise AttributeError(text)
        raise EnvError(f"env {index} of {len(self.remotes)} raised {text}.")

    def _death(self, index: int) -> EnvError:
        return EnvError(
            f"env {index} of {len(self.remotes)}: its process has died. Fix: look for a crash or too little memory, "
            "and guard the script with if __name__ == '__main__':."
        )

    def step_async(self, actions: Array) -> None:
        """Send every process its action."""
        for index, action in enumerate(actions):
            self._send(index, "step", action)
        self.waiting = True

    def step_wait(self) -> Step:
        """Collect what the processes answer."""
        self.waiting = False
        results = [self._receive(index) for index in range(self.num_envs)]
        observations, rewards, dones, infos, self.reset_infos = (list(column) for column in zip(*results, strict=True))
        return _stacked(observations), np.array(rewards, np.float32), np.array(dones, np.bool_), infos

    def reset(self) -> Any:
        """Begin new episodes everywhere; the observations (N, ...)."""
        for index in range(self.num_envs):
            self._send(index, "reset", (self._seeds[index], self._options[index]))
        results = [self._receive(index) for index in range(self.num_envs)]
        observations, self.reset_infos = (list(column) for column in zip(*results, strict=True))
        self._reset_seeds()
        self._reset_options()
        return _stacked(observations)

    def close(self) -> None:
        """End the processes; may be called again."""
        if self.closed:
            return
        self.closed = True
        for remote in self.remotes:
            with suppress(OSError):
                remote.send(("close", None))
        for process in self.processes:
            process.join(_JOIN_TIMEOUT_S)
            if process.is_alive():
                process.terminate()
                process.join(_JOIN_TIMEOUT_S)
        for remote in self.remotes:
            remote.close()

    def get_images(self) -> Sequence[Array | None]:
        """One rendered frame of each environment, if they were made with render_mode='rgb_array'."""
        return [frames[0] for frames in self._call("get_images", None)]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """See ``VecEnv``."""
        return [values[0] for values in self._call("get_attr", indices, attr_name)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """See ``VecEnv``."""
        self._call("set_attr", indices, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """See ``VecEnv``."""
        return [values[0] for values in self._call("env_method", indices, method_name, *args, **kwargs)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """See ``VecEnv``."""
        return [values[0] for values in self._call("env_is_wrapped", indices, wrapper_class)]

    def _call(self, name: str, indices: Indices, *args: Any, **kwargs: Any) -> list[Any]:
        """Call the method ``name`` of the vector environment of one that each process has."""
        targets = self._get_indices(indices)
        for index in targets:
            self._send(index, "call", (name, args, kwargs))
        return [self._receive(index) for index in targets]

    def _get_indices(self, indices: Indices) -> list[int]:
        if indices is None:
            return list(range(len(self.remotes)))
        return super()._get_indices(indices)


def _stacked(observations: list[Any]) -> Any:
    """Single observations as a batch."""
    if isinstance(observations[0], dict):
        return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
    if isinstance(observations[0], tuple):
        return tuple(np.stack(parts) for parts in zip(*observations, strict=True))
    return np.stack(observations)
