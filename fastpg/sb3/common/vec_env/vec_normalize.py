"""Running normalisation of observations and rewards around a vector environment.

Statistics in float64 that start with a count of 1e-4; observations are centred, scaled and clipped; rewards are divided
by the standard deviation of the discounted return, without centring, and clipped. ``save`` writes arrays and JSON in
fastpg's checkpoint format, no pickle.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from gymnasium import spaces

from fastpg.errors import CheckpointError, ConfigError, EnvDataError, SpaceError
from fastpg.kernels import backends
from fastpg.sb3.common.running_mean_std import RunningMeanStd
from fastpg.sb3.common.vec_env.base_vec_env import Array, Step, VecEnv, VecEnvWrapper, describe_bad
from fastpg.training.checkpoint import load_checkpoint, save_checkpoint

_KIND = "VecNormalize"
_OPTIONS = ("training", "norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon")


class VecNormalize(VecEnvWrapper):
    """Normalises what ``venv`` returns.

    Args:
        venv: with observations in a Box.
        training: whether the statistics follow what is seen.
        norm_obs: normalise observations.
        norm_reward: normalise rewards.
        clip_obs: bound of a normalised observation.
        clip_reward: bound of a normalised reward.
        gamma: discount of the return.
        epsilon: added to a variance.
        norm_obs_keys: of Dict observations, which are not supported; None.

    Attributes:
        obs_rms: statistics of the observations.
        ret_rms: statistics of the discounted return.
        returns: (N,) float64, discounted returns of the running episodes.
        old_obs: the last observations as ``venv`` returned them.
        old_reward: the last rewards as ``venv`` returned them.

    Raises:
        SpaceError: observations are not in a Box, but are to be normalised.
    """

    def __init__(
        self,
        venv: VecEnv,
        training: bool = True,
        norm_obs: bool = True,
        norm_reward: bool = True,
        clip_obs: float = 10.0,
        clip_reward: float = 10.0,
        gamma: float = 0.99,
        epsilon: float = 1e-8,
        norm_obs_keys: list[str] | None = None,
    ) -> None:
        super().__init__(venv)
        self.norm_obs, self.norm_reward = norm_obs, norm_reward
        self.clip_obs, self.clip_reward = clip_obs, clip_reward
        self.gamma, self.epsilon, self.training = gamma, epsilon, training
        if norm_obs_keys is not None:
            raise ConfigError(
                "norm_obs_keys: expected None, as Dict observations are not supported. Fix: leave it out."
            )
        space = venv.observation_space
        if norm_obs and not isinstance(space, spaces.Box):
            raise SpaceError(
                f"observation space {space}: expected a Box to normalise, got {type(space).__name__}. Fix: "
                "norm_obs=False."
            )
        if norm_obs and space.dtype is not None and space.dtype.kind != "f":  # whole numbers become real ones
            bound = np.full(space.shape or (), clip_obs, np.float32)
            self.observation_space = spaces.Box(-bound, bound, dtype=np.float32)
        self.obs_rms = RunningMeanStd(shape=space.shape or ())
        self.ret_rms = RunningMeanStd(shape=())
        self.returns = np.zeros(self.num_envs)
        self.old_obs: Any = None
        self.old_reward = np.zeros(self.num_envs, np.float32)

    def reset(self) -> Any:
        """Begin new episodes everywhere; normalised observations."""
        observations = self.venv.reset()
        self.old_obs = observations
        self.returns = np.zeros(self.num_envs)
        if self.training and self.norm_obs:
            _refuse_bad("observations", observations)
            self.obs_rms.update(observations)
        return self.normalize_obs(observations)

    def step_wait(self) -> Step:
        """The step of ``venv``, normalised; the last observation of an ended episode too.

        Raises:
            EnvDataError: NaN or infinity while the statistics follow; they stay as they were.
        """
        observations, rewards, dones, infos = self.venv.step_wait()
        self.old_obs, self.old_reward = observations, rewards
        if self.training:
            _refuse_bad("rewards", rewards)
        if self.training and self.norm_obs:
            _refuse_bad("observations", observations)
            self.obs_rms.update(observations)
        observations = self.normalize_obs(observations)
        if self.training:
            self._update_reward(rewards)
        rewards = self.normalize_reward(rewards)
        if dones.any():
            for index in dones.nonzero()[0]:
                if "terminal_observation" in infos[index]:
                    infos[index]["terminal_observation"] = self.normalize_obs(infos[index]["terminal_observation"])
            self.returns[dones] = 0.0
        return observations, rewards, dones, infos

    def _update_reward(self, rewards: Array) -> None:
        """Add the discounted returns after ``rewards`` (N,) to their statistics."""
        self.returns = self.returns * self.gamma + rewards
        self.ret_rms.update(self.returns)

    def normalize_obs(self, obs: Any) -> Any:
        """``obs``, one or a batch, normalised, float32; the statistics stay."""
        if not self.norm_obs:
            return np.array(obs)
        if isinstance(obs, np.ndarray) and obs.dtype == np.float32 and obs.flags.c_contiguous and obs.size:
            return self._normalized_fast(obs)
        scaled = (obs - self.obs_rms.mean) / np.sqrt(self.obs_rms.var + self.epsilon)
        return np.clip(scaled, -self.clip_obs, self.clip_obs).astype(np.float32)

    def _normalized_fast(self, obs: Array) -> Array:
        """``obs`` float32, one or a batch, normalised by one kernel call."""
        out = np.empty_like(obs)
        size = self.obs_rms.mean.size
        backends.resolve("running_moments").normalize(
            obs.reshape(-1, size),
            self.obs_rms.mean.reshape(-1),
            self.obs_rms.var.reshape(-1),
            epsilon=self.epsilon,
            clip=self.clip_obs,
            out=out.reshape(-1, size),
        )
        return out

    def normalize_reward(self, reward: Any) -> Any:
        """``reward`` divided by the standard deviation of the return and clipped; the statistics stay."""
        if not self.norm_reward:
            return reward
        scaled = reward / math.sqrt(self.ret_rms.var + self.epsilon)
        clipped = np.minimum(np.maximum(scaled, -self.clip_reward), self.clip_reward)
        return np.asarray(clipped, np.float32)

    def unnormalize_obs(self, obs: Any) -> Any:
        """The inverse of ``normalize_obs``, but for clipping."""
        return obs * np.sqrt(self.obs_rms.var + self.epsilon) + self.obs_rms.mean if self.norm_obs else np.array(obs)

    def unnormalize_reward(self, reward: Any) -> Any:
        """The inverse of ``normalize_reward``, but for clipping."""
        return reward * np.sqrt(self.ret_rms.var + self.epsilon) if self.norm_reward else reward

    def get_original_obs(self) -> Any:
        """A copy of the last observations before normalisation."""
        return np.array(self.old_obs)

    def get_original_reward(self) -> Any:
        """A copy of the last rewards before normalisation."""
        return self.old_reward.copy()

    def set_venv(self, venv: VecEnv) -> None:
        """Wrap another vector environment, keeping the statistics.

        Raises:
            ConfigError: its observations have another shape.
        """
        if venv.observation_space.shape != self.obs_rms.mean.shape:
            raise ConfigError(
                f"venv: expected observations of shape {self.obs_rms.mean.shape}, those of the statistics, got "
                f"{venv.observation_space.shape}. Fix: give environments with the observations that were normalised."
            )
        self.venv = venv
        self.num_envs = venv.num_envs
        self.action_space = venv.action_space
        self.render_mode = venv.render_mode
        if not self.norm_obs:
            self.observation_space = venv.observation_space
        self.returns = np.zeros(self.num_envs)

    def save(self, save_path: str | os.PathLike[str]) -> None:
        """Write statistics and options to ``save_path``, whatever its suffix, atomically."""
        moments = {"obs": self.obs_rms, "ret": self.ret_rms}
        arrays = {
            f"{name}/{key}": np.array(value) for name, rms in moments.items() for key, value in rms.state().items()
        }
        options = {name: getattr(self, name) for name in _OPTIONS}
        save_checkpoint(save_path, arrays, {"kind": _KIND, "options": options})

    @staticmethod
    def load(load_path: str | os.PathLike[str], venv: VecEnv) -> VecNormalize:
        """Wrap ``venv`` with the statistics and options in the file ``load_path``.

        Raises:
            CheckpointError: ``save`` did not write the file (stable-baselines3 writes a pickle, which is never read).
            ConfigError: the observations of ``venv`` have another shape.
        """
        arrays, metadata = load_checkpoint(load_path)
        if metadata.get("kind") != _KIND:
            raise CheckpointError(f"{load_path}: expected statistics of VecNormalize, got another fastpg checkpoint.")
        try:
            options = {name: metadata["options"][name] for name in _OPTIONS}
            moments = [
                RunningMeanStd.from_state(*(arrays[f"{name}/{key}"] for key in ("mean", "var", "count")))
                for name in ("obs", "ret")
            ]
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{load_path} does not hold the whole VecNormalize: {error} is missing.") from error
        given = venv.observation_space.shape
        if options["norm_obs"] and given != moments[0].mean.shape:
            raise ConfigError(
                f"venv: expected observations of shape {moments[0].mean.shape}, those of {load_path}, got {given}."
            )
        wrapped = VecNormalize(venv, **options)
        wrapped.obs_rms, wrapped.ret_rms = moments
        return wrapped


def _refuse_bad(name: str, array: Array) -> None:
    """Raise EnvDataError for NaN and infinity, which would stay in the statistics for ever."""
    is_finite = np.isfinite(array)
    if not is_finite.all():
        raise EnvDataError(
            f"{describe_bad(name, array, ~is_finite)} The statistics are as before. Fix: look for a division by zero "
            "in that environment."
        )


def unwrap_vec_wrapper(env: Any, vec_wrapper_class: type[Any]) -> Any:
    """The outermost wrapper of ``env`` that is a ``vec_wrapper_class``, None if there is none."""
    layer = env
    while hasattr(layer, "__dict__") and "venv" in vars(layer):
        if isinstance(layer, vec_wrapper_class):
            return layer
        layer = layer.venv
    return None


def unwrap_vec_normalize(env: Any) -> VecNormalize | None:
    """The ``VecNormalize`` around ``env`` (stable-baselines3's own counts too), None if there is none."""
    layer = env
    while hasattr(layer, "__dict__") and "venv" in vars(layer):
        if type(layer).__name__ == VecNormalize.__name__ or isinstance(layer, VecNormalize):
            return layer  # type: ignore[no-any-return]
        layer = layer.venv
    return None


def is_vecenv_wrapped(env: Any, vec_wrapper_class: type[Any]) -> bool:
    """Whether ``env`` has a wrapper of the class ``vec_wrapper_class``."""
    return unwrap_vec_wrapper(env, vec_wrapper_class) is not None


def sync_envs_normalization(env: Any, eval_env: Any) -> None:
    """Copy the statistics of every ``VecNormalize`` around ``env`` to the one at the same place around ``eval_env``.

    Raises:
        ConfigError: the wrappers differ.
    """
    ours, theirs = env, eval_env
    while hasattr(ours, "__dict__") and "venv" in vars(ours):
        if isinstance(ours, VecNormalize):
            if not isinstance(theirs, VecNormalize):
                raise ConfigError(
                    "eval_env: expected the same wrappers as around the training environment, got no VecNormalize "
                    "where that has one. Fix: wrap eval_env in VecNormalize(..., training=False, norm_reward=False)."
                )
            if theirs is not ours:
                theirs.obs_rms, theirs.ret_rms = ours.obs_rms.copy(), ours.ret_rms.copy()
        ours, theirs = ours.venv, getattr(theirs, "venv", theirs)
