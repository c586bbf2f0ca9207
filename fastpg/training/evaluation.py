"""How good a policy is: the returns of whole episodes, in the environment's own rewards.

Several environments run side by side, and each contributes a number of episodes that is fixed beforehand. Taking the
episodes that happen to finish first would favour short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from fastpg.errors import ConfigError, EnvDataError
from fastpg.rollout.autoreset import AutoresetMode, autoreset_mode_of
from fastpg.rollout.envs import make_vector_env
from fastpg.rollout.final_info import successes
from fastpg.training.agent import Agent
from fastpg.training.environments import check_spaces

MAX_ENVS = 8
_SEED_DISTANCE = 1_000_000  # of an evaluation after training


class Predictor(Protocol):
    """What is evaluated: anything with stable-baselines3's ``predict``."""

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[Any, Any]:
        """Actions for a batch of observations, and a state that is ignored."""


@dataclass(frozen=True)
class EvaluationResult:
    """Returns and lengths of n evaluation episodes; unpacks as ``mean, std = result``.

    Attributes:
        returns: (n,) float64, undiscounted sums of the environment's own rewards.
        lengths: (n,) int64, steps.
        successes: (n,) bool, the last ``is_success`` of each episode; None if an episode did not say.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_] | None = None

    @property
    def mean_return(self) -> float:
        """Mean of ``returns``."""
        return float(self.returns.mean())

    @property
    def std_return(self) -> float:
        """Standard deviation of ``returns`` over the episodes (divisor n)."""
        return float(self.returns.std())

    @property
    def n_episodes(self) -> int:
        """Number of episodes n."""
        return len(self.returns)

    def __iter__(self) -> Iterator[float]:
        return iter((self.mean_return, self.std_return))

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON-able values."""
        values: dict[str, Any] = {
            "mean_return": self.mean_return,
            "std_return": self.std_return,
            "n_episodes": self.n_episodes,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
        }
        if self.successes is not None:
            values["success_rate"] = float(self.successes.mean())
        return values


def evaluate(
    model: Predictor,
    env: Any,
    *,
    n_episodes: int = 20,
    seed: int | None = None,
    deterministic: bool = True,
    n_envs: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    callback: Callable[[int], None] | None = None,
) -> EvaluationResult:
    """Play whole episodes and report their returns.

    With N environments, environment i plays ``(n_episodes + i) // N`` episodes. A model's normaliser is applied and not
    changed; rewards are the environment's own.

    Args:
        model: has ``predict``.
        env: an id, a ``gymnasium.Env``, a callable or list of callables that make one, or a vector environment. What is
            made here is closed at the end.
        n_episodes: episodes to play, >= 1.
        seed: of the environments (environment i gets ``seed + i``), and of sampled actions; None draws fresh ones.
        deterministic: take the most probable action; False samples, as in training.
        n_envs: environments side by side, for an id or a callable; by default up to 8.
        env_kwargs: arguments of ``gymnasium.make``, for an id.
        callback: called after every step of all environments with the number of episodes finished so far.

    Returns:
        The episodes, in the order in which they ended.

    Raises:
        ConfigError: an argument out of range, or an environment that cannot be used or has other spaces than the model.
        EnvError, EnvDataError: from the environment.
    """
    if isinstance(n_episodes, bool) or not isinstance(n_episodes, (int, np.integer)) or n_episodes < 1:
        raise ConfigError(f"n_episodes: expected an integer >= 1, got {n_episodes!r}.")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ConfigError(f"seed: expected None or an integer >= 0, got {seed!r}.")
    is_made_here = not isinstance(env, (gym.Env, gym.vector.VectorEnv))
    is_repeatable = isinstance(env, (str, EnvSpec)) or callable(env)
    if n_envs is None:
        n_envs = min(MAX_ENVS, int(n_episodes)) if is_made_here and is_repeatable else 1
    vector_env = make_vector_env(env, n_envs=n_envs, env_kwargs=env_kwargs)
    # of what our own environment returns, only the infos of ends are looked at, and nothing is kept
    step = vector_env.step if vector_env is env else vector_env.step_lean
    try:
        if isinstance(space := getattr(model, "observation_space", None), gym.Space):
            check_spaces(vector_env, space, getattr(model, "action_space", vector_env.single_action_space))
        act = _predictor(model, deterministic, seed)
        return _play(lambda observations: step(act(observations)), vector_env, int(n_episodes), seed, callback)
    finally:
        if is_made_here:
            vector_env.close()


def evaluation_seed(training_seed: int) -> int:
    """The seed of the evaluation after a training with ``training_seed``.

    Far from the seeds of the training environments, which count up from ``training_seed``; below 2^64 as that is.
    """
    return (training_seed + _SEED_DISTANCE) % 2**64


def _predictor(model: Predictor, deterministic: bool, seed: int | None) -> Callable[[Any], Any]:
    """Observations -> actions; sampled ones from a stream of their own if there is a seed."""
    agent = getattr(model, "agent", None)
    if isinstance(agent, Agent) and seed is not None:
        seeded = agent.with_seed(seed)
        return lambda observations: seeded.predict(observations, deterministic=deterministic)
    return lambda observations: model.predict(observations, deterministic=deterministic)[0]


@dataclass
class _Episodes:
    """Counts the episodes of N environments up to a number for each.

    Attributes:
        targets: (N,) episodes that each environment contributes.
    """

    targets: NDArray[np.int64]
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    successes: list[bool | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._counts = np.zeros_like(self.targets)
        self._return = np.zeros(len(self.targets))
        self._length = np.zeros_like(self.targets)

    @property
    def is_complete(self) -> bool:
        """Every environment has contributed its episodes."""
        return bool((self._counts >= self.targets).all())

    def add_step(
        self,
        rewards: NDArray[Any],
        ended: NDArray[np.bool_],
        counts: NDArray[np.bool_],
        is_success: Callable[[int], bool | None],
    ) -> None:
        """Take one step of all environments; those without ``counts`` only reset.

        Raises:
            EnvDataError: a reward is NaN or infinite.
        """
        if not np.isfinite(rewards[counts]).all():
            bad = int(np.flatnonzero(counts & ~np.isfinite(rewards))[0])
            raise EnvDataError(
                f"reward is {rewards[bad]}: expected a finite number — env {bad} of {len(rewards)}, episode step "
                f"{self._length[bad] + 1}. Fix: correct the environment's reward."
            )
        self._return[counts] += rewards[counts]
        self._length[counts] += 1
        for index in np.flatnonzero(ended):
            if self._counts[index] < self.targets[index]:
                self.returns.append(float(self._return[index]))
                self.lengths.append(int(self._length[index]))
                self.successes.append(is_success(int(index)))
            self._counts[index] += 1
            self._return[index] = self._length[index] = 0

    def result(self) -> EvaluationResult:
        """The counted episodes."""
        has_successes = None not in self.successes
        return EvaluationResult(
            returns=np.array(self.returns),
            lengths=np.array(self.lengths, dtype=np.int64),
            successes=np.array(self.successes, dtype=np.bool_) if has_successes else None,
        )


def _play(
    step: Callable[[Any], Any], env: Any, n_episodes: int, seed: int | None, callback: Callable[[int], None] | None
) -> EvaluationResult:
    """``step`` from observation to observation until every sub-environment of ``env`` has played its share."""
    mode = autoreset_mode_of(env)
    n_envs = env.num_envs
    episodes = _Episodes(np.array([(n_episodes + index) // n_envs for index in range(n_envs)]))
    observations, _ = env.reset(seed=seed)
    resets_next = np.zeros(n_envs, dtype=np.bool_)
    while not episodes.is_complete:
        observations, rewards, terminated, truncated, infos = step(observations)
        ended = (np.asarray(terminated) | np.asarray(truncated)) & ~resets_next
        episodes.add_step(np.asarray(rewards, dtype=np.float64), ended, ~resets_next, successes(infos, mode))
        if mode is AutoresetMode.NEXT_STEP:
            resets_next = ended
        elif mode is AutoresetMode.DISABLED and ended.any():
            observations, _ = env.reset(options={"reset_mask": ended})
        if callback is not None:
            callback(len(episodes.returns))
    return episodes.result()
