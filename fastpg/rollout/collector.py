"""Collects rollouts from a vector environment: the one place where autoreset is handled.

For every step t and environment n a rollout holds the observation acted on, the action, the reward, how the step ended
and the value of the true successor. Where an episode was truncated the successor is its final observation, which the
three autoreset modes deliver in three ways:

- NEXT_STEP: as the observation of step t + 1, whose action the environment then ignores while it resets. That slot is
  no transition: ``valid`` is False there, and neither statistics nor normaliser see it.
- SAME_STEP: in ``infos["final_obs"]``, since the observation of step t + 1 belongs to the next episode.
- DISABLED: as the observation that ``step`` returned, before the collector resets these environments.

Equal episodes therefore give equal transitions in all modes. With normalisation, a final observation is normalised
with the statistics at its time and does not enter them, as nothing acts on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from fastpg.errors import EnvDataError, EnvError, FastPGError
from fastpg.kernels import actor
from fastpg.kernels.philox import STREAM_ACTION
from fastpg.policies.actor_critic import ActorCritic
from fastpg.rollout.autoreset import AutoresetMode, autoreset_mode_of
from fastpg.rollout.episodes import EpisodeStatistics
from fastpg.rollout.final_info import final_observations, successes
from fastpg.rollout.normalize import Normalizer
from fastpg.rollout.plain_steps import plain_store, store_nothing
from fastpg.rollout.serial import SerialVectorEnv
from fastpg.rollout.spaces import REAL_KINDS, ActionDecoder, ObservationEncoder, as_real_array, check_actions
from fastpg.types import Rollout

Array = NDArray[Any]
OnStep = Callable[[Mapping[str, Any]], bool]

PENDING_TIMEOUT_S = 10.0  # for workers to finish what an interrupt cut short

_BOOL = np.dtype(np.bool_)
_OLD_API = "is this the old Gym API? Fix: give a gymnasium.vector.VectorEnv of Gymnasium >= 1.0."


class _Rows(NamedTuple):
    """Views of the buffers for one step, made once: (N, D) actions, (N, O) following observations, else (N,)."""

    actions: Array
    rewards: Array
    terminated: Array
    truncated: Array
    valid: Array
    following: Array


@dataclass(frozen=True)
class CollectorSnapshot:
    """What a rollout changes beside its buffers; see ``Collector.snapshot``."""

    action_step: int
    n_rollouts: int
    episodes: Mapping[str, Any]
    normalizer: Any


class Collector:
    """Steps a vector environment with a policy, ``n_steps`` at a time.

    Args:
        env: a ``gymnasium.vector.VectorEnv`` of N environments (see ``make_vector_env``).
        policy: acts; its parameters are read at the beginning of every rollout.
        n_steps: T, steps per environment and rollout, >= 1.
        seed: of the sampled actions and of the first reset, 0 <= seed < 2^64.
        normalizer: normalises observations and rewards; None does not.
        stats_window_size: number of finished episodes that the statistics cover.
        encoder: of observations; None makes one for the space of ``env``.
        decoder: of actions; None makes one for the space of ``env``.
        backend: kernels to compute with; ``None`` is the default backend.
        n_threads: threads for acting; the result does not depend on it.

    Attributes:
        env: the vector environment.
        policy: the policy.
        normalizer: the normaliser or None; not to be replaced.
        encoder: of observations.
        decoder: of actions.
        autoreset_mode: that ``env`` declares.
        num_envs: N.
        n_steps: T.
        episodes: statistics of finished episodes, of the rewards as ``env`` gave them.
        action_step: vector steps so far, the counter of the random numbers of actions.
        n_rollouts: complete rollouts so far.
        n_valid_last: transitions in the last rollout, T N unless steps were spent on resetting.

    Raises:
        SpaceError: a space of ``env`` is not supported.
        ConfigError: ``env`` does not say when it resets.
    """

    def __init__(
        self,
        env: Any,
        policy: ActorCritic,
        *,
        n_steps: int,
        seed: int,
        normalizer: Normalizer | None = None,
        stats_window_size: int = 100,
        encoder: ObservationEncoder | None = None,
        decoder: ActionDecoder | None = None,
        backend: str | None = None,
        n_threads: int = 1,
    ) -> None:
        self.env = env
        self.policy = policy
        self.normalizer = normalizer
        self.encoder = encoder or ObservationEncoder(env.single_observation_space)
        self.decoder = decoder or ActionDecoder(env.single_action_space)
        self.autoreset_mode = autoreset_mode_of(env)
        self.num_envs = int(env.num_envs)
        self.n_steps = n_steps
        self.episodes = EpisodeStatistics(stats_window_size)
        self.action_step = 0
        self.n_rollouts = 0
        self.n_valid_last = 0
        self._seed = int(seed)
        self._is_seeded = False
        self._is_closed = False
        self._current: int | None = None  # row of the observation to act on next; None asks for a reset
        self._allocate()
        self._store_plain = store_nothing
        if normalizer is None and self.encoder.is_plain:
            rows = (self._observations, self._rewards, self._raw_rewards, self._episode_returns)
            self._store_plain = plain_store(*rows, backend=backend)
        self._actor = actor.bind_actor(
            self._observations[:n_steps],
            self._actions,
            self._log_probs,
            self._values,
            layout=policy.layout,
            seed=seed,
            stream=STREAM_ACTION,
            backend=backend,
            n_threads=n_threads,
        )

    def _allocate(self) -> None:
        shape = (self.n_steps, self.num_envs)
        head = self.policy.layout.head
        dtype = np.dtype(np.float32)
        self._observations = np.zeros((self.n_steps + 1, self.num_envs, self.encoder.size), dtype)
        self._actions = np.zeros((*shape, head.n_actions), head.action_dtype(dtype))
        self._log_probs, self._values, self._next_values, self._rewards = (np.zeros(shape, dtype) for _ in range(4))
        self._terminated, self._truncated, self._valid = (np.zeros(shape, np.bool_) for _ in range(3))
        self._rows = [
            _Rows(*rows)
            for rows in zip(
                self._actions,
                self._rewards,
                self._terminated,
                self._truncated,
                self._valid,
                self._observations[1:],
                strict=True,
            )
        ]
        # of the running step and episodes, one entry per environment:
        self._raw_rewards, self._magnitudes = np.zeros(self.num_envs), np.zeros(self.num_envs)
        self._ended, self._is_finite = (np.zeros(self.num_envs, np.bool_) for _ in range(2))
        self._largest = np.full(self.num_envs, np.finfo(np.float32).max, np.float64)
        self._all_true, self._all_false = b"\x01" * self.num_envs, b"\x00" * self.num_envs
        self._has_ended = self._has_reset_slots = False
        self._resetting: Array | None = None  # environments that spend the next step on a reset (NEXT_STEP)
        self._episode_returns = np.zeros(self.num_envs)
        self._episode_starts = np.zeros(self.num_envs, np.int64)  # in vector steps
        self._final_slots: list[tuple[int, int]] = []  # (t, n) truncated, successor not in the buffer
        self._final_observations: list[Array] = []

    # --- public -----------------------------------------------------------------------------------------------------

    def reset(self, seed: int | None = None) -> None:
        """Begin new episodes everywhere; ``collect`` does it by itself the first time and after a failure.

        Args:
            seed: of the environments. None: the first time a function of the seed and the steps so far, later the
                environments go on with the random state they have.

        Raises:
            EnvError: an environment raised.
            EnvDataError: an environment returned something unusable.
        """
        if self._is_closed:
            raise EnvError("the environments are closed: expected open ones to collect from. Fix: set_env(...).")
        self._current = None
        if seed is None and not self._is_seeded:
            seed = self._first_seed()
        try:
            result = self._reset_env(seed=seed)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise EnvDataError(f"reset: expected (observations, infos), got {type(result).__name__}; {_OLD_API}")
            self.encoder.encode(result[0], self._observations[0])
        except FastPGError as error:
            raise type(error)(f"{error} (At reset, before rollout {self.n_rollouts}.)") from error.__cause__
        self._is_seeded = True
        self._resetting = None
        self._episode_returns[:] = 0.0
        self._episode_starts[:] = self.action_step
        if self.normalizer is not None:
            self.normalizer.start(self.num_envs)
            self.normalizer.update_observations(self._observations[0])
            self.normalizer.normalize_observations(self._observations[0], out=self._observations[0])
        self._current = 0

    def collect(self, on_step: OnStep | None = None) -> Rollout | None:
        """Take T steps in every environment.

        Args:
            on_step: called after every step with a mapping of what happened in it (see ``step_locals``); False ends
                the rollout, which is then given up.

        Returns:
            The rollout, in buffers that the next call overwrites; None where ``on_step`` ended it.

        Raises:
            EnvError: an environment raised.
            EnvDataError: an environment returned something unusable, named with its place. After any exception
                counters, statistics and normaliser are as before the call, and the next call begins new episodes.
        """
        before = self.snapshot()
        # where nobody else sees the steps, our own environment need not make what nobody reads
        is_lean = on_step is None and type(self.env) is SerialVectorEnv
        step_env = self.env.step_lean if is_lean else self.env.step
        try:
            self._begin()
            for t, rows in enumerate(self._rows):
                seen = self._step(t, rows, step_env)
                if on_step is not None and not on_step(self.step_locals(t, *seen)):
                    self.n_valid_last = int(np.count_nonzero(self._valid[: t + 1]))
                    return None
            rollout = self._finish()
        except BaseException:
            self.restore(before)
            raise
        self.n_rollouts += 1
        return rollout

    def snapshot(self) -> CollectorSnapshot:
        """Counters, statistics and normaliser now, to ``restore`` when the iteration that follows fails."""
        return CollectorSnapshot(
            action_step=self.action_step,
            n_rollouts=self.n_rollouts,
            episodes=self.episodes.state_dict(),
            normalizer=None if self.normalizer is None else self.normalizer.snapshot(),
        )

    def restore(self, snapshot: CollectorSnapshot) -> None:
        """Go back to ``snapshot``. The environments cannot go back: the next rollout begins new episodes."""
        self.action_step = snapshot.action_step
        self.n_rollouts = snapshot.n_rollouts
        self.episodes.load_state_dict(snapshot.episodes)
        if self.normalizer is not None:
            self.normalizer.restore(snapshot.normalizer)
        self._current = None

    def state_dict(self) -> dict[str, Any]:
        """Counters and episode statistics as JSON-able values; the normaliser has a ``state_dict`` of its own."""
        return {
            "action_step": self.action_step,
            "n_rollouts": self.n_rollouts,
            "episodes": self.episodes.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``: same random numbers; the environments begin new episodes."""
        self.action_step = int(state["action_step"])
        self.n_rollouts = int(state["n_rollouts"])
        self.episodes.load_state_dict(state["episodes"])
        self._current = None

    @property
    def needs_reset(self) -> bool:
        """Whether the next rollout begins new episodes everywhere."""
        return self._current is None

    @property
    def can_resume(self) -> bool:
        """Whether the environments offer ``get_state()`` (arrays by name) and ``set_state(arrays)``."""
        return hasattr(self.env, "get_state") and hasattr(self.env, "set_state")

    def running_state(self) -> dict[str, Array] | None:
        """What running episodes need to go on elsewhere; None where that is impossible or no episode is running.

        Only complete between two rollouts. The environments' own arrays are under ``env/``.
        """
        if self._current is None or not self.can_resume:
            return None
        blank = np.zeros(self.num_envs)
        state = {
            "observations": self._observations[self._current].copy(),
            "resetting": blank.astype(np.bool_) if self._resetting is None else self._resetting.copy(),
            "episode_returns": self._episode_returns.copy(),
            "episode_starts": self._episode_starts.copy(),
            "discounted_returns": blank if self.normalizer is None else self.normalizer.snapshot()[2].copy(),
        }
        return state | {f"env/{name}": np.array(array) for name, array in self.env.get_state().items()}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on with the episodes of a ``running_state``, after ``load_state_dict``; needs ``can_resume``."""
        self.env.set_state({name.removeprefix("env/"): state[name] for name in state if name.startswith("env/")})
        self._observations[0] = state["observations"]
        self._resetting = state["resetting"].copy() if state["resetting"].any() else None
        self._episode_returns[:] = state["episode_returns"]
        self._episode_starts[:] = state["episode_starts"]
        if self.normalizer is not None:
            self.normalizer.restore((*self.normalizer.snapshot()[:2], state["discounted_returns"].copy()))
        self._is_seeded = True
        self._current = 0

    def close(self) -> None:
        """Close the environments; may be called again."""
        if not self._is_closed:
            self._is_closed = True
            self.env.close()

    # --- one rollout ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._actor.set_parameters(self.policy.params)
        if self._current is None or self._is_closed:
            self.reset()
        elif self._current:
            self._observations[0] = self._observations[self._current]
            self._current = 0
        self._valid[:] = True
        self._terminated[:] = self._truncated[:] = self._ended[:] = self._has_ended = False
        self._final_slots.clear()
        self._final_observations.clear()

    def _step(self, t: int, rows: _Rows, step_env: Callable[[Array], Any]) -> tuple[Any, Array, Any]:
        """Act and step once; store what came out in row ``t``, and in row ``t + 1`` the observations that follow.

        Returns:
            Observations, actions and infos as they passed to and from ``env``.
        """
        self._actor.act(t, self.action_step)
        env_actions = self.decoder.decode(rows.actions)
        try:
            try:
                result = step_env(env_actions)
            except Exception as error:  # noqa: BLE001 - raised again, named
                self._raise_env_error(error, "step")
            if not isinstance(result, tuple) or len(result) != 5:
                self._raise_old_step(result)
            observations, rewards, terminated, truncated, infos = result
            if self._has_ended:  # in the step before; steps that are stored as plain set no flag and clear none
                self._ended[:] = self._has_ended = False
            is_resetting = self._resetting is not None
            if is_resetting or not self._store_plain(t, observations, rewards, terminated, truncated):
                self._store(t, rows, result)
        except FastPGError as error:
            where = f"(Step {t} of rollout {self.n_rollouts}; the model is as after the last finished iteration.)"
            check_actions(rows.actions, error, where)
            raise type(error)(f"{error} {where}") from error.__cause__
        self.action_step += 1
        self._current = t + 1
        return observations, env_actions, infos

    def step_locals(self, t: int, observations: Any, env_actions: Array, infos: Mapping[str, Any]) -> dict[str, Any]:
        """What a callback sees of step ``t``, under the names that stable-baselines3 uses.

        Returns:
            ``n_steps`` (t + 1), ``new_obs`` and ``infos`` as the environment returned them, ``rewards`` (N,) not
            normalised, ``terminated``, ``truncated`` and ``dones`` (N,) bool, ``valid`` (N,) bool (False where the
            step was only a reset), ``actions`` (N, D) as sampled, ``clipped_actions`` as the environment got them,
            ``values`` and ``log_probs`` (N,), ``obs`` (N, O) encoded.
        """
        return {
            "n_steps": t + 1,
            "new_obs": observations,
            "infos": infos,
            "rewards": self._raw_rewards.copy(),
            "terminated": self._terminated[t],
            "truncated": self._truncated[t],
            "dones": self._ended.copy(),
            "valid": self._valid[t],
            "actions": self._actions[t],
            "clipped_actions": env_actions,
            "values": self._values[t],
            "log_probs": self._log_probs[t],
            "obs": self._observations[t],
        }

    def _store(self, t: int, rows: _Rows, result: tuple[Any, ...]) -> None:
        """Check and store what the environment returned in step ``t``, whatever it is."""
        observations, rewards, terminated, truncated, infos = result
        self._store_rewards(rewards)
        self._store_ends(rows, terminated, truncated)
        self.encoder.encode(observations, rows.following)
        self._track_episodes(t, rows, infos)
        if self.normalizer is not None:
            self._normalize(rows, self.normalizer)

    def _store_rewards(self, rewards: Any) -> None:
        if (
            rewards.__class__ is not np.ndarray
            or rewards.shape != self._raw_rewards.shape
            or rewards.dtype.kind not in REAL_KINDS
        ):
            rewards = self._converted("rewards", rewards)
        self._raw_rewards[:] = rewards  # a copy: the environment may write to its own while it is reset
        np.absolute(self._raw_rewards, self._magnitudes)
        np.less_equal(self._magnitudes, self._largest, self._is_finite)  # False for NaN too
        if self._is_finite.tobytes() != self._all_true:
            self._raise_bad_reward()

    def _store_ends(self, rows: _Rows, terminated: Any, truncated: Any) -> None:
        shape = self._ended.shape
        if terminated.__class__ is not np.ndarray or terminated.dtype is not _BOOL or terminated.shape != shape:
            terminated = self._converted_flags("terminated", terminated)
        if truncated.__class__ is not np.ndarray or truncated.dtype is not _BOOL or truncated.shape != shape:
            truncated = self._converted_flags("truncated", truncated)
        self._has_ended = terminated.tobytes() != self._all_false or truncated.tobytes() != self._all_false
        if self._has_ended:
            rows.terminated[:] = terminated
            np.greater(truncated, terminated, rows.truncated)  # both: terminated wins
            np.logical_or(terminated, truncated, self._ended)

    def _track_episodes(self, t: int, rows: _Rows, infos: Any) -> None:
        resetting, self._resetting = self._resetting, None
        self._has_reset_slots = resetting is not None
        if resetting is not None:
            self._skip_reset_slots(rows, resetting)
        rows.rewards[:] = self._raw_rewards
        np.add(self._episode_returns, self._raw_rewards, self._episode_returns)
        if self._has_ended:
            self._end_episodes(t, rows, infos)

    def _skip_reset_slots(self, rows: _Rows, resetting: Array) -> None:
        """NEXT_STEP: this step was a reset where ``resetting``; nothing of it counts."""
        if self._ended[resetting].any():
            index = int(np.flatnonzero(self._ended & resetting)[0])
            raise EnvDataError(
                f"the episode ended in the step that was to reset it: expected NEXT_STEP autoreset as {self.env} "
                f"declares — env {index} of {self.num_envs}. Fix: declare the mode it follows with autoreset_mode=."
            )
        np.logical_not(resetting, out=rows.valid)
        self._raw_rewards[resetting] = 0.0
        self._episode_starts[resetting] = self.action_step + 1

    def _end_episodes(self, t: int, rows: _Rows, infos: Any) -> None:
        """Count the episodes that ended with step ``t``, keep final observations, see to the resets."""
        if not isinstance(infos, Mapping):
            raise EnvDataError(f"infos: expected a dict of arrays, got {type(infos).__name__}; {_OLD_API}")
        is_success = successes(infos, self.autoreset_mode)
        for index in self._ended.nonzero()[0].tolist():
            n_steps = self.action_step + 1 - int(self._episode_starts[index])
            self._count_episode(index, n_steps, is_success(index))
            self._episode_returns[index] = 0.0
            self._episode_starts[index] = self.action_step + 1
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._resetting = self._ended.copy()
            return
        cut = rows.truncated.nonzero()[0].tolist()
        if cut:
            is_given = self.autoreset_mode is AutoresetMode.SAME_STEP
            self._keep_final(t, cut, self._encoded_final(infos, cut) if is_given else rows.following[cut])
        if self.autoreset_mode is AutoresetMode.DISABLED:
            self._reset_where(self._ended, rows.following)

    def _count_episode(self, index: int, n_steps: int, is_success: bool | None) -> None:
        """Count the episode of ``n_steps`` that environment ``index`` has just ended."""
        self.episodes.add(float(self._episode_returns[index]), n_steps, is_success)

    def _encoded_final(self, infos: Mapping[str, Any], cut: list[int]) -> Array:
        """SAME_STEP: the final observations of the environments ``cut``, encoded (len(cut), O)."""
        rows = np.empty((len(cut), self.encoder.size), self._observations.dtype)
        self.encoder.encode(final_observations(infos, cut, self.num_envs), rows, envs=cut)
        return rows

    def _keep_final(self, t: int, cut: list[int], rows: Array) -> None:
        if self.normalizer is not None:
            rows = self.normalizer.normalize_observations(rows)
        self._final_slots.extend((t, index) for index in cut)
        self._final_observations.append(rows)

    def _reset_where(self, mask: Array, following: Array) -> None:
        """DISABLED: reset the environments in ``mask`` and put their first observations into ``following`` (N, O)."""
        result = self._reset_env(options={"reset_mask": mask.copy()})
        if not (isinstance(result, tuple) and len(result) == 2):
            raise EnvDataError(f"reset: expected (observations, infos), got {type(result).__name__}; {_OLD_API}")
        fresh = np.empty_like(following)
        self.encoder.encode(result[0], fresh)
        following[mask] = fresh[mask]

    def _normalize(self, rows: _Rows, normalizer: Normalizer) -> None:
        following = rows.following
        normalizer.update_observations(following if self._resetting is None else following[~self._resetting])
        normalizer.normalize_observations(following, out=following)
        valid = rows.valid if self._has_reset_slots else None
        rows.rewards[:] = normalizer.step_rewards(self._raw_rewards, self._ended, valid)

    def _finish(self) -> Rollout:
        """Fill in the values of the successors with one forward pass over those that nothing acted on."""
        last = self._observations[self.n_steps]
        successors = np.concatenate([last, *self._final_observations]) if self._final_slots else last
        values = self.policy.values(successors)
        self._next_values[:-1] = self._values[1:]
        self._next_values[-1] = values[: self.num_envs]
        if self._final_slots:
            steps, envs = np.array(self._final_slots).T
            self._next_values[steps, envs] = values[self.num_envs :]
        self._next_values[self._terminated] = 0.0
        self.n_valid_last = int(np.count_nonzero(self._valid))
        return Rollout(
            observations=self._observations[: self.n_steps],
            actions=self._actions,
            rewards=self._rewards,
            terminated=self._terminated,
            truncated=self._truncated,
            values=self._values,
            next_values=self._next_values,
            log_probs=self._log_probs,
            valid=self._valid,
        )

    # --- environments that fail -------------------------------------------------------------------------------------

    def _first_seed(self) -> int:
        """The seed itself for a new run; another one where a run goes on, so as not to see the same episodes again."""
        if self.action_step == 0:
            return self._seed
        return int(np.random.SeedSequence((self._seed, self.action_step)).generate_state(1)[0])

    def _reset_env(self, **arguments: Any) -> Any:
        """Reset; workers that an interrupt left in the middle of a call finish it first."""
        try:
            try:
                return self.env.reset(**arguments)
            except gym.error.AlreadyPendingCallError as error:
                getattr(self.env.unwrapped, f"{error.name}_wait")(timeout=PENDING_TIMEOUT_S)
                return self.env.reset(**arguments)
        except Exception as error:  # noqa: BLE001 - raised again, named
            self._raise_env_error(error, "reset")

    def _raise_env_error(self, error: Exception, method: str) -> NoReturn:
        """Raise what ``method`` of the environment raised, as an EnvError unless it is an error of ours."""
        if isinstance(error, FastPGError):
            raise error
        text = f"{type(error).__name__}: {error}" if str(error) else repr(error)
        has_died = isinstance(error, EOFError | ConnectionError)
        remedy = " Fix: a worker process has died; look for a crash or for too little memory." if has_died else ""
        raise EnvError(f"{method}() of {self.env} raised {text}.{remedy}") from error

    def _where(self, index: int) -> str:
        episode_step = int(self.action_step + 1 - self._episode_starts[index])
        return f"env {index} of {self.num_envs}, episode step {episode_step}"

    def _raise_bad_reward(self) -> NoReturn:
        index = int(np.flatnonzero(~self._is_finite)[0])
        raise EnvDataError(
            f"reward is {self._raw_rewards[index]}: expected a finite float32 number — {self._where(index)}. "
            "Fix: look for a division by zero or a None in the reward of that environment."
        )

    def _raise_old_step(self, result: Any) -> NoReturn:
        given = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise EnvDataError(
            f"step: expected (observations, rewards, terminated, truncated, infos), got {given}; {_OLD_API}"
        )

    def _converted(self, name: str, values: Any) -> Array:
        array = as_real_array(values)
        if array is None or array.shape != (self.num_envs,):
            given = type(values).__name__ if array is None else f"shape {array.shape}"
            raise EnvDataError(
                f"{name}: expected an array of real numbers of shape ({self.num_envs},), got {given}. "
                "Fix: return one per environment."
            )
        return array

    def _converted_flags(self, name: str, values: Any) -> Array:
        array = self._converted(name, values)
        flags = array.astype(np.bool_)
        if not np.array_equal(flags, array):
            index = int(np.flatnonzero(flags != array)[0])
            raise EnvDataError(
                f"{name} is {array[index]}: expected True or False — {self._where(index)}. Fix: return a bool array."
            )
        return flags
