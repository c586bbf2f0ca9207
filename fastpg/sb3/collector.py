"""Rollouts from stable-baselines3's vector environments, with what its callbacks look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from fastpg.rollout.autoreset import AutoresetMode, gymnasium_mode
from fastpg.rollout.collector import Collector, CollectorSnapshot
from fastpg.types import Rollout

Array = NDArray[Any]


class VecEnvAdapter(gym.vector.VectorEnv[Any, Any, Any]):
    """A vector environment of stable-baselines3's API as one of Gymnasium's, in SAME_STEP mode.

    It is seeded by its owner, with ``venv.seed``.

    Args:
        venv: of fastpg.sb3 or of stable-baselines3 itself.

    Attributes:
        venv: the same.
        infos: one dict per environment, of the last step.
        last_observations: as ``venv`` returned them; None before the first reset.
        episode_starts: (N,) bool, whether the last observation begins an episode.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": gymnasium_mode(AutoresetMode.SAME_STEP)}  # type: ignore[misc]

    def __init__(self, venv: Any) -> None:
        self.venv = venv
        self.num_envs = int(venv.num_envs)
        self.single_observation_space = venv.observation_space
        self.single_action_space = venv.action_space
        self.observation_space = batch_space(venv.observation_space, self.num_envs)
        self.action_space = batch_space(venv.action_space, self.num_envs)
        self.infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self.last_observations: Any = None
        self.episode_starts = np.ones(self.num_envs, np.bool_)
        self._never = np.zeros(self.num_envs, np.bool_)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes; ``seed`` and ``options`` are not used."""
        del seed, options
        self.last_observations = self.venv.reset()
        self.episode_starts = np.ones(self.num_envs, np.bool_)
        return self.last_observations, {}

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Take one step everywhere. What is truncated without its last observation counts as terminated."""
        observations, rewards, dones, self.infos = self.venv.step(actions)
        self.last_observations, self.episode_starts = observations, dones
        if not dones.any():
            return observations, rewards, dones, self._never, {}
        truncated = self._never.copy()
        final = np.full(self.num_envs, None, dtype=object)
        for index in dones.nonzero()[0]:
            info = self.infos[index]
            final[index] = info.get("terminal_observation")
            truncated[index] = bool(info.get("TimeLimit.truncated", False)) and final[index] is not None
        return observations, rewards, dones & ~truncated, truncated, {"final_obs": final, "final_info": self.infos}

    def close(self, **kwargs: Any) -> None:
        """Close the environments."""
        del kwargs
        self.venv.close()

    def __del__(self) -> None:
        """Close nothing: the environments are the user's."""


class DropInCollector(Collector):
    """A collector on a ``VecEnvAdapter``; episodes are those that ``Monitor`` reports.

    Attributes:
        env: the adapter.
        ep_infos: what ``Monitor`` said about the last episodes, oldest first.
        last_rollout: the last complete rollout; the next one overwrites its arrays.
        rollout_starts: (N,) bool, where the first step of the rollout begins an episode.
    """

    env: VecEnvAdapter
    last_rollout: Rollout | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ep_infos: deque[dict[str, Any]] = deque(maxlen=self.episodes.returns.maxlen)
        self.rollout_starts = np.ones(self.num_envs, np.bool_)

    def step_locals(self, t: int, observations: Any, env_actions: Array, infos: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Collector``: ``infos`` is a list, and ``rewards`` (N,) are those trained on, to be changed in place."""
        seen = super().step_locals(t, observations, env_actions, infos)
        return seen | {
            "infos": self.env.infos,
            "rewards": self._rewards[t],
            "n_steps": t,
            "obs_tensor": seen["obs"],
            "n_rollout_steps": self.n_steps,
            "env": self.env.venv,
        }

    def _begin(self) -> None:
        super()._begin()
        self.rollout_starts = np.array(self.env.episode_starts)

    def _finish(self) -> Rollout:
        self.last_rollout = super()._finish()
        return self.last_rollout

    def _count_episode(self, index: int, n_steps: int, is_success: bool | None) -> None:
        """The episode as its ``Monitor`` has it, below whatever changes rewards; without one it is not counted."""
        row = self.env.infos[index].get("episode")
        if row is not None:
            self.episodes.add(float(row["r"]), int(row["l"]), is_success)
            self.ep_infos.append(row)
        elif is_success is not None:
            self.episodes.successes.append(is_success)

    def restore(self, snapshot: CollectorSnapshot) -> None:
        """See ``Collector``."""
        super().restore(snapshot)
        self._follow_episodes()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Collector``."""
        super().load_state_dict(state)
        self._follow_episodes()

    def _follow_episodes(self) -> None:
        """Bring ``ep_infos`` to ``episodes``; of those that are not known any more, return and length are left."""
        known = {(float(row["r"]), int(row["l"])): row for row in self.ep_infos}
        episodes = zip(self.episodes.returns, self.episodes.lengths, strict=True)
        rows = [known.get(pair, {"r": pair[0], "l": pair[1]}) for pair in episodes]
        self.ep_infos.clear()
        self.ep_infos.extend(rows)
