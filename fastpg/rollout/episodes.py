"""Statistics of finished episodes, counted from the rewards as the environments gave them.

No ``Monitor`` wrapper is needed, and steps that only reset an environment are not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np


class EpisodeStatistics:
    """Returns, lengths and successes of the last ``window_size`` finished episodes.

    Attributes:
        n_episodes: finished episodes since the beginning.
        returns: undiscounted returns of the last episodes, oldest first.
        lengths: their numbers of steps.
        successes: of those whose last info had ``is_success``.
    """

    def __init__(self, window_size: int = 100) -> None:
        self.n_episodes = 0
        self.returns: deque[float] = deque(maxlen=window_size)
        self.lengths: deque[int] = deque(maxlen=window_size)
        self.successes: deque[bool] = deque(maxlen=window_size)

    def add(self, episode_return: float, length: int, is_success: bool | None = None) -> None:
        """Count one finished episode; ``is_success`` is None where the environment does not say."""
        self.n_episodes += 1
        self.returns.append(episode_return)
        self.lengths.append(length)
        if is_success is not None:
            self.successes.append(is_success)

    @property
    def ep_rew_mean(self) -> float | None:
        """Mean return over the window; None before the first finished episode."""
        return float(np.mean(self.returns)) if self.returns else None

    @property
    def ep_len_mean(self) -> float | None:
        """Mean number of steps over the window; None before the first finished episode."""
        return float(np.mean(self.lengths)) if self.lengths else None

    @property
    def success_rate(self) -> float | None:
        """Share of successes over the window, 0..1; None where no environment reports ``is_success``."""
        return float(np.mean(self.successes)) if self.successes else None

    def state_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values, for a checkpoint or to go back to."""
        return {
            "n_episodes": self.n_episodes,
            "returns": list(self.returns),
            "lengths": list(self.lengths),
            "successes": list(self.successes),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a ``state_dict``; the window keeps its size."""
        self.n_episodes = int(state["n_episodes"])
        for name in ("returns", "lengths", "successes"):
            window = getattr(self, name)
            window.clear()
            window.extend(state[name])
