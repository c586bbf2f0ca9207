"""Environments whose transitions are known: scripted ones for the collector, probes for learning, faulty ones.

A probe is the smallest environment that a certain piece of the learner must solve; when one fails, the piece is known.
The idea is Andy Jones' ("Debugging RL, without the agonizing pain", 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces


@dataclass(frozen=True)
class Episode:
    """One scripted episode: its length, and how its last step ends."""

    length: int
    terminated: bool = False
    truncated: bool = False


TERMINATED_3 = Episode(3, terminated=True)
TRUNCATED_4 = Episode(4, truncated=True)
BOTH_2 = Episode(2, terminated=True, truncated=True)
TRUNCATED_1 = Episode(1, truncated=True)
SCRIPT = (TERMINATED_3, TRUNCATED_4, BOTH_2, TRUNCATED_1)


class ScriptedEnv(gym.Env):
    """Plays a script of episodes for ever, whatever the actions.

    The observation is (environment, episode, step, constant), the reward a number that no two steps share.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, env: int = 0, script: tuple[Episode, ...] = SCRIPT, success: bool = False) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.env, self.script, self.success = env, script, success
        self.episode, self.step_index = -1, 0

    def _observation(self) -> np.ndarray:
        return np.array([0.1 * self.env, 0.01 * self.episode, 0.1 * self.step_index, 1.0], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.step_index = 0
        return self._observation(), {}

    def step(self, action):
        self.step_index += 1
        episode = self.script[self.episode % len(self.script)]
        is_last = self.step_index == episode.length
        reward = 1.0 + self.env + 0.1 * self.episode + 0.01 * self.step_index
        info = {"is_success": episode.terminated} if self.success and is_last else {}
        return self._observation(), reward, is_last and episode.terminated, is_last and episode.truncated, info


def scripted_fns(n_envs: int, **arguments: Any) -> list[Any]:
    """Callables that make ``n_envs`` scripted environments, each with the script rotated by its index."""

    def factory(index: int) -> Any:
        script = arguments.get("script", SCRIPT)
        rotated = script[index % len(script) :] + script[: index % len(script)]
        return lambda: ScriptedEnv(index, rotated, arguments.get("success", False))

    return [factory(index) for index in range(n_envs)]


class FaultyEnv(ScriptedEnv):
    """A scripted environment in which one thing goes wrong at one step.

    Args:
        at: number of steps since it was made after which the fault shows; 0 is the first reset.
        observation, reward, terminated, truncated: given back instead of the right one, where not ``...``.
        error: raised.
        result: given back by ``step`` or ``reset`` as a whole.
    """

    def __init__(
        self,
        *,
        at: int = 5,
        observation: Any = ...,
        reward: Any = ...,
        terminated: Any = ...,
        truncated: Any = ...,
        error: Exception | None = None,
        result: Any = ...,
    ) -> None:
        super().__init__()
        self.at, self.error, self.result = at, error, result
        self.faults = (observation, reward, terminated, truncated)
        self.n_steps = 0
        self.is_closed = False

    def _faulty(self, right: tuple[Any, ...]) -> Any:
        if self.n_steps != self.at:
            return right
        if self.error is not None:
            raise self.error
        if self.result is not ...:
            return self.result
        faults = (*self.faults[: len(right) - 1], ...)
        return tuple(value if fault is ... else fault for fault, value in zip(faults, right, strict=True))

    def reset(self, *, seed=None, options=None):
        return self._faulty(super().reset(seed=seed)) if self.n_steps == 0 else super().reset(seed=seed)

    def step(self, action):
        self.n_steps += 1
        return self._faulty(super().step(action))

    def close(self) -> None:
        self.is_closed = True


class ConstantRewardProbe(gym.Env):
    """One step, one observation, reward 1: does the value network learn a constant? V = 1."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, True, False, {}


class ObservationRewardProbe(gym.Env):
    """One step, observation and reward are the same random sign: does the value depend on the input? V(o) = o."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sign = float(self.np_random.choice((-1.0, 1.0)))
        return np.full(1, self.sign, np.float32), {}

    def step(self, action):
        return np.full(1, self.sign, np.float32), self.sign, True, False, {}


class DelayedRewardProbe(gym.Env):
    """Two steps, the reward of 1 comes with the second: is it discounted back? V(0) = gamma, V(1) = 1."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.is_second = False
        return np.zeros(1, np.float32), {}

    def step(self, action):
        was_second, self.is_second = self.is_second, True
        return np.ones(1, np.float32), float(was_second), was_second, False, {}


class ActionRewardProbe(gym.Env):
    """One step, reward 1 for action 1 and -1 for action 0: does the policy follow the advantage? pi(1) = 1."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0 if action == 1 else -1.0, True, False, {}


class MatchingProbe(ObservationRewardProbe):
    """One step, reward 1 where the action (0 or 1) agrees with the sign, else -1: do both networks work together?"""

    def step(self, action):
        reward = 1.0 if (action == 1) == (self.sign > 0) else -1.0
        return np.full(1, self.sign, np.float32), reward, True, False, {}


class EndlessRewardProbe(gym.Env):
    """Reward 1 for ever, only cut by a time limit: is truncation bootstrapped? V = 1 / (1 - gamma)."""

    def __init__(self, time_limit: int = 5) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.time_limit = time_limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.n_steps += 1
        return np.zeros(1, np.float32), 1.0, False, self.n_steps == self.time_limit, {}


class ContinuousTargetProbe(gym.Env):
    """One step, reward -(a - 0.5)^2 for a real action: does the Gaussian mean move? Its optimum is 0.5."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -float((action[0] - 0.5) ** 2), True, False, {}


class OscillatorEnv(gym.Env):
    """A mass on a spring that hardens, pushed by the actions; episodes of 20 steps, or until it is far away.

    Nothing but +, - and * of IEEE doubles, in the order of the source, and numbers drawn without a logarithm: the same
    bits on every machine.

    Args:
        action_space: Discrete(3) pushes to the left, not at all or to the right; of any other, the first number minus
            the last one is the push.
    """

    def __init__(self, action_space: spaces.Space) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.velocity, self.n_steps = 2.0 * self.np_random.random() - 1.0, 0.0, 0
        return self._observation(), {}

    def step(self, action):
        push = self._push(action)
        spring = self.position + 0.5 * self.position * self.position * self.position
        self.velocity += 0.25 * (push - spring - 0.125 * self.velocity)
        self.position += 0.25 * self.velocity
        self.n_steps += 1
        reward = 0.5 - self.position * self.position - 0.0625 * push * push
        return self._observation(), reward, abs(self.position) > 1.5, self.n_steps == 20, {}

    def _observation(self) -> np.ndarray:
        return np.array([self.position, self.velocity, 0.05 * self.n_steps], np.float32)

    def _push(self, action) -> float:
        if isinstance(self.action_space, spaces.Discrete):
            return float(action) - 1.0
        return float(action[0]) - float(action[-1])
