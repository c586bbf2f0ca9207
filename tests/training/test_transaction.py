"""An iteration is a transaction: whatever is raised, wherever, the model is as after its last finished iteration."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import fastpg
from fastpg.callbacks import BaseCallback
from fastpg.kernels.fisher import Fisher
from fastpg.rollout.collector import Collector
from fastpg.training import advantages
from fastpg.types import Rollout
from fastpg.updates.proximal import ProximalUpdate
from tests.envs import FaultyEnv
from tests.training.tools import N_ENVS, N_SAMPLES, check_consistent, fingerprint, small_model

PACKAGE = Path(fastpg.__file__).parent


class InjectedError(Exception):
    pass


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def trained_model(**changes: Any) -> fastpg.PPO:
    return small_model(normalize=True, **changes).learn(2 * N_SAMPLES)


def test_ctrl_c_inside_conjugate_gradient_keeps_the_last_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole solve is one call of a kernel, here of about half a second; it looks for signals on its way."""
    n_steps = 1024
    options = {"n_critic_updates": 1, "batch_size": 2048, "cg_tolerance": 0.0, "cg_max_steps": 60}
    net = {"net_arch": [256, 256]}
    model = fastpg.NPG("MlpPolicy", "CartPole-v1", n_envs=2, n_steps=n_steps, seed=0, policy_kwargs=net, **options)
    model.learn(2 * n_steps)
    before = fingerprint(model)
    solve, ended = Fisher.solve, []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        ended.append("begun")
        solution = solve(*args, **kwargs)
        ended.append("solved")
        return solution

    handler = signal.signal(signal.SIGALRM, failing(KeyboardInterrupt()))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Fisher, "solve", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.learn(2 * n_steps, reset_num_timesteps=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert ended == ["begun"]
    assert fingerprint(model) == before
    check_consistent(model)


PLACES = [
    (Collector, "_begin"),
    (Collector, "_step"),
    (Collector, "_finish"),
    (advantages, "gae"),
    (Rollout, "flatten"),
    (ProximalUpdate, "__call__"),
]


@pytest.mark.parametrize("error", [InjectedError(), KeyboardInterrupt(), MemoryError(), SystemExit()], ids=repr)
@pytest.mark.parametrize(("owner", "name"), PLACES, ids=lambda place: getattr(place, "__name__", place))
def test_error_at_every_stage_keeps_the_last_iteration(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException
) -> None:
    model = trained_model()
    before = fingerprint(model)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(error))
        with pytest.raises(type(error)):
            model.learn(N_SAMPLES, reset_num_timesteps=False)
    assert fingerprint(model) == before
    check_consistent(model)
    model.learn(N_SAMPLES, reset_num_timesteps=False)
    assert model.num_timesteps == 3 * N_SAMPLES
    check_consistent(model)


@pytest.mark.parametrize("hook", ["_on_rollout_start", "_on_step", "_on_rollout_end"])
def test_error_in_a_callback_keeps_the_last_iteration(hook: str) -> None:
    model = trained_model()
    before = fingerprint(model)
    callback = type("Failing", (BaseCallback,), {hook: failing(InjectedError())})()
    with pytest.raises(InjectedError):
        model.learn(N_SAMPLES, callback, reset_num_timesteps=False)
    assert fingerprint(model) == before
    check_consistent(model)


def test_learning_within_learning_is_refused_and_the_first_goes_on() -> None:
    refused = []

    class Nested(BaseCallback):
        def _on_step(self) -> bool:
            with pytest.raises(fastpg.ConfigError, match="one whose learn is running") as info:
                self.model.learn(N_SAMPLES)
            refused.append(info.value)
            return True

    nested, plain = trained_model(), trained_model()
    nested.learn(N_SAMPLES, Nested())
    assert len(refused) == N_SAMPLES // N_ENVS
    assert fingerprint(nested) == fingerprint(plain.learn(N_SAMPLES))


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"reward": np.nan}, fastpg.EnvDataError, "reward is nan"),
        ({"reward": np.inf}, fastpg.EnvDataError, "reward is inf"),
        ({"reward": None}, fastpg.EnvDataError, "reward is None"),
        ({"observation": np.full(4, np.nan, np.float32)}, fastpg.EnvDataError, "observation is nan at index 0"),
        ({"error": InjectedError("out of fuel")}, fastpg.EnvError, "InjectedError: out of fuel"),
        ({"error": KeyboardInterrupt()}, KeyboardInterrupt, "^$"),
        ({"result": (1, 2, 3, 4)}, fastpg.EnvDataError, "old Gym API"),
    ],
)
@pytest.mark.parametrize("at", [2, 21])
def test_faulty_environment_keeps_the_last_iteration(
    fault: dict[str, Any], error: type[BaseException], text: str, at: int
) -> None:
    model = small_model([lambda: FaultyEnv(at=at, **fault), FaultyEnv], normalize=True)
    reference = small_model([FaultyEnv, FaultyEnv], normalize=True)
    n_finished = at // 8
    if n_finished:
        reference.learn(n_finished * N_SAMPLES)
    with pytest.raises(error, match=text):
        model.learn(4 * N_SAMPLES)
    check_consistent(model)
    assert model.iteration == n_finished
    np.testing.assert_array_equal(model.policy.params, reference.policy.params)
    np.testing.assert_array_equal(model.optimizer_state.second_moment, reference.optimizer_state.second_moment)


def test_error_of_an_environment_names_place_and_state() -> None:
    model = small_model([FaultyEnv, lambda: FaultyEnv(at=11, reward=np.nan)])
    with pytest.raises(fastpg.EnvDataError) as info:
        model.learn(4 * N_SAMPLES)
    text = str(info.value)
    assert "env 1 of 2" in text
    assert "Step 2 of rollout 1" in text
    assert "the model is as after the last finished iteration" in text


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_diverging_update_keeps_the_last_iteration() -> None:
    model = small_model([lambda: FaultyEnv(at=12, reward=3e38), FaultyEnv])
    with pytest.raises(fastpg.NumericsError, match="Fix: lower learning_rate"):
        model.learn(4 * N_SAMPLES)
    assert model.iteration == 1
    check_consistent(model)


class InterruptAt:
    """Raises KeyboardInterrupt at the k-th line of fastpg's training and rollout code, once."""

    FOLDERS = ("training", "rollout", "updates")

    def __init__(self, k: int) -> None:
        self.n_left = k

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if PACKAGE not in path.parents or path.relative_to(PACKAGE).parts[0] not in self.FOLDERS:
            return None
        if event == "line":
            self.n_left -= 1
            if self.n_left == 0:
                raise KeyboardInterrupt
        return self


def interrupted(model: fastpg.PPO, k: int) -> bool:
    """Learn for one iteration with Ctrl-C at line ``k``; False if it ended before."""
    previous = sys.gettrace()
    sys.settrace(InterruptAt(k))
    try:
        model.learn(1)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(previous)
    return False


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_line_leaves_the_old_or_the_new_iteration(stride: int) -> None:
    arguments = {"n_steps": 2, "batch_size": 4, "n_epochs": 1, "normalize": True}
    n_interrupts, n_new = 0, 0
    for k in range(1, 10**6, stride):
        model = small_model("CartPole-v1", **arguments)
        before = fingerprint(model)
        if not interrupted(model, k):
            break
        n_interrupts += 1
        check_consistent(model)
        if fingerprint(model) != before:
            n_new += 1
            assert (model.iteration, model.num_timesteps) == (1, 4)
    assert n_interrupts > 500 / stride
    assert 0 < n_new < n_interrupts
