"""The vector environments of stable-baselines3's API: what they are, and what wraps them.

``reset() -> observations``, ``step(actions) -> (observations, rewards, dones, infos)``; an environment whose episode
has ended begins the next one in the same call. Its info then has ``terminal_observation``, the last observation of the
old episode, and ``TimeLimit.truncated``, whether the episode was cut and not terminated.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from fastpg.errors import warn_user

Array = NDArray[Any]
Step = tuple[Any, Array, Array, list[dict[str, Any]]]
Indices = int | Iterable[int] | None
#: The names that stable-baselines3 has for annotations.
VecEnvObs, VecEnvStepReturn, VecEnvIndices = Any, Step, Indices

_MAX_SEED = 2**32 - 1


class VecEnv(ABC):
    """N environments that are stepped together.

    Args:
        num_envs: N.
        observation_space: of a single environment.
        action_space: of a single environment.

    Attributes:
        reset_infos: the info of the last reset of each environment.
        render_mode: of the environments.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"]}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, num_envs: int, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        self.num_envs = num_envs
        self.observation_space = observation_space
        self.action_space = action_space
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        self._seeds: list[int | None] = [None] * num_envs
        self._options: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        self.render_mode = self._shared_render_mode()

    def _shared_render_mode(self) -> str | None:
        modes = self.get_attr("render_mode") if self.has_attr("render_mode") else [None]
        return modes[0] if all(mode == modes[0] for mode in modes) else None

    @abstractmethod
    def reset(self) -> Any:
        """Begin new episodes everywhere; the observations (N, ...)."""

    @abstractmethod
    def step_async(self, actions: Array) -> None:
        """Begin a step with ``actions`` (N, ...)."""

    @abstractmethod
    def step_wait(self) -> Step:
        """What the step begun last led to: observations (N, ...), rewards (N,), dones (N,), one info each."""

    @abstractmethod
    def close(self) -> None:
        """Close the environments."""

    @abstractmethod
    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """The attribute ``attr_name`` of the environments ``indices`` (None: all)."""

    @abstractmethod
    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set the attribute ``attr_name`` of the environments ``indices`` to ``value``."""

    @abstractmethod
    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """Call the method ``method_name`` of the environments ``indices``."""

    @abstractmethod
    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Whether the environments ``indices`` have a wrapper of the class ``wrapper_class``."""

    def step(self, actions: Array) -> Step:
        """Take one step everywhere; see ``step_wait``."""
        self.step_async(actions)
        return self.step_wait()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next reset: environment i with ``seed + i``; None draws a seed from NumPy's global generator."""
        first = int(np.random.randint(0, _MAX_SEED, dtype=np.uint32)) if seed is None else int(seed)  # noqa: NPY002
        self._seeds = [first + index for index in range(self.num_envs)]
        return self._seeds

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Options for the next reset, one dict for all environments or a list of N."""
        given = options or {}
        self._options = [dict(given) for _ in range(self.num_envs)] if isinstance(given, dict) else list(given)

    def _reset_seeds(self) -> None:
        """Forget the seeds: a reset uses them once."""
        self._seeds = [None] * self.num_envs

    def _reset_options(self) -> None:
        """Forget the options."""
        self._options = [{} for _ in range(self.num_envs)]

    def has_attr(self, attr_name: str) -> bool:
        """Whether every environment has the attribute ``attr_name``."""
        try:
            self.get_attr(attr_name)
        except AttributeError:
            return False
        return True

    def get_images(self) -> Sequence[Array | None]:
        """One rendered frame of each environment; None where nothing is rendered."""
        return [None] * self.num_envs

    def render(self, mode: str | None = None) -> Array | None:
        """The frames of all environments side by side in one image, or None where they draw themselves.

        Args:
            mode: the render mode that the environments were made with, or None; another one is a warning, and nothing
                is drawn. "human" shows the frames of "rgb_array" in a window.

        Raises:
            ImportError: there is a window to be shown, and opencv-python is not installed.
        """
        is_window = mode == "human" and self.render_mode == "rgb_array"
        if mode not in (None, self.render_mode) and not is_window:
            warn_user(
                f"mode: expected {self.render_mode!r}, the render_mode of the environments, got {mode!r}: nothing is "
                "drawn. Make them with the render_mode that you want."
            )
            return None
        if self.render_mode == "human":
            self.env_method("render")
            return None
        frames = [frame for frame in self.get_images() if frame is not None]
        image = tile_images(frames) if frames else None
        if not is_window or image is None:
            return image
        show_image(image)
        return None

    @property
    def unwrapped(self) -> VecEnv:
        """The vector environment below all wrappers of vector environments."""
        return self.venv.unwrapped if isinstance(self, VecEnvWrapper) else self

    def getattr_depth_check(self, name: str, already_found: bool) -> str | None:
        """Name of the class that would hide ``name`` if a wrapper above has it already; None if nothing is hidden."""
        if already_found and hasattr(self, name):
            return f"{type(self).__module__}.{type(self).__name__}"
        return None

    def _get_indices(self, indices: Indices) -> list[int]:
        """``indices`` as a list; None means all."""
        if indices is None:
            return list(range(self.num_envs))
        return [indices] if isinstance(indices, int) else list(indices)


class VecEnvWrapper(VecEnv):
    """A vector environment around another one; what is not overridden is passed on.

    Args:
        venv: what is wrapped.
        observation_space: if it differs from that of ``venv``.
        action_space: if it differs.
    """

    def __init__(
        self,
        venv: VecEnv,
        observation_space: gym.Space[Any] | None = None,
        action_space: gym.Space[Any] | None = None,
    ) -> None:
        self.venv = venv
        super().__init__(venv.num_envs, observation_space or venv.observation_space, action_space or venv.action_space)
        self.class_attributes = dict.fromkeys(dir(type(self)))

    @property
    def reset_infos(self) -> list[dict[str, Any]]:
        """Of the wrapped environments."""
        return self.venv.reset_infos

    @reset_infos.setter
    def reset_infos(self, infos: list[dict[str, Any]]) -> None:
        """Kept by the wrapped vector environment."""

    def step_async(self, actions: Array) -> None:
        """Passed on."""
        self.venv.step_async(actions)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Passed on."""
        return self.venv.seed(seed)

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Passed on."""
        self.venv.set_options(options)

    def close(self) -> None:
        """Passed on."""
        self.venv.close()

    def render(self, mode: str | None = None) -> Array | None:
        """Passed on."""
        return self.venv.render(mode)

    def get_images(self) -> Sequence[Array | None]:
        """Passed on."""
        return self.venv.get_images()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Passed on."""
        return self.venv.get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Passed on."""
        self.venv.set_attr(attr_name, value, indices)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """Passed on."""
        return self.venv.env_method(method_name, *args, indices=indices, **kwargs)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Passed on."""
        return self.venv.env_is_wrapped(wrapper_class, indices=indices)

    def __getattr__(self, name: str) -> Any:
        """Attributes of the wrapped vector environments, unless two of them have the name."""
        if name.startswith("__") or "venv" not in self.__dict__:
            raise AttributeError(name)
        hider = self.getattr_depth_check(name, already_found=False)
        if hider is not None:
            raise AttributeError(
                f"{name}: expected one vector environment below {type(self).__name__} to have it, found it in "
                f"{hider} too. Fix: reach it by its owner, with .venv."
            )
        return getattr(self.venv, name)

    def getattr_depth_check(self, name: str, already_found: bool) -> str | None:
        """See ``VecEnv``."""
        has_name = name in self.__dict__ or hasattr(type(self), name)
        if has_name and already_found:
            return f"{type(self).__module__}.{type(self).__name__}"
        return self.venv.getattr_depth_check(name, already_found or has_name)


def is_vec_env(env: Any) -> bool:
    """Whether ``env`` is a vector environment of this API, from here or from stable-baselines3 itself."""
    if isinstance(env, VecEnv):
        return True
    if isinstance(env, gym.Env | gym.vector.VectorEnv):
        return False
    return all(hasattr(env, name) for name in ("num_envs", "step_async", "step_wait", "reset", "observation_space"))


def show_image(image: Array) -> None:
    """Show ``image`` (height, width, 3) in a window."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError as error:
        raise ImportError(
            "render('human') of environments with render_mode='rgb_array' needs the package opencv-python. Fix: pip "
            "install opencv-python, or make them with render_mode='human'."
        ) from error
    cv2.imshow("vecenv", image[:, :, ::-1])
    cv2.waitKey(1)


def describe_bad(name: str, array: Any, is_bad: Array) -> str:
    """Where the first entry of ``is_bad``, an array like ``array`` (N, ...), is True, and what is there."""
    index = int(np.argwhere(is_bad)[0][0])
    values = np.asarray(array)
    return f"{name}: expected finite numbers, got {values[index]} — env {index} of {len(values)}."


def tile_images(frames: Sequence[Array]) -> Any:
    """``frames``, each (height, width, channels), in a grid that is as square as possible; missing ones are black."""
    stack = np.asarray(frames)
    n_frames, height, width, n_channels = stack.shape
    n_rows = int(np.ceil(np.sqrt(n_frames)))
    n_columns = int(np.ceil(n_frames / n_rows))
    missing = np.zeros((n_rows * n_columns - n_frames, height, width, n_channels), stack.dtype)
    grid = np.concatenate([stack, missing]).reshape(n_rows, n_columns, height, width, n_channels)
    return grid.swapaxes(1, 2).reshape(n_rows * height, n_columns * width, n_channels)
