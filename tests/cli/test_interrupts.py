"""Ctrl-C, and another one before the first has been dealt with."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from fastpg.cli import interrupts

#: An environment that interrupts training, and a ``save`` that is interrupted; so is the end of the process.
TWICE = """
import atexit, os, signal
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv
from fastpg.training.model import OnPolicyModel

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Interrupting(CartPoleEnv):
    n_steps = 0

    def step(self, action):
        Interrupting.n_steps += 1
        if Interrupting.n_steps == 300 and "in training" in PLACES:
            interrupt()
        return super().step(action)

save = OnPolicyModel.save

def interrupted_save(self, path):
    for _ in range(3):
        interrupt()
    save(self, path)
    interrupt()

OnPolicyModel.save = interrupted_save
atexit.register(interrupt)
gym.register("Interrupting-v0", Interrupting)
"""
SMALL = ("--n-steps", "64", "--batch-size", "32", "--n-epochs", "2", "--n-envs", "2", "--net-arch", "8", "--seed", "1")


@pytest.fixture(autouse=True)
def _python_handles_interrupts():
    """A shell that runs the tests in the background makes them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("places", "n_steps"), [("'in training'", 256), ("''", 384)], ids=["in training", "at its end"]
)
def test_interrupts_while_the_model_is_saved_do_not_cost_it(tmp_path, places, n_steps):
    (tmp_path / "interrupting_env.py").write_text(f"PLACES = {places}\n{TWICE}")
    command = [sys.executable, "-m", "fastpg", "train", "ppo", "interrupting_env:Interrupting-v0", *SMALL]
    result = subprocess.run(
        [*command, "--total-timesteps", "300", "--run-dir", "run"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"FASTPG_BACKEND": "reference"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert result.returncode == 130, result.stderr
    assert result.stderr == f"Interrupted: the model as of step {n_steps} is in run/model.fastpg\n"
    assert (tmp_path / "run" / "model.fastpg").exists()


def test_an_interrupt_soon_after_another_is_the_same(monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now_s[0])
    with interrupts.patient_interrupts():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        now_s[0] += 0.9 * interrupts.PATIENCE_S
        signal.raise_signal(signal.SIGINT)
        now_s[0] += 0.2 * interrupts.PATIENCE_S
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_held_interrupts_are_noted_and_end_what_hangs(monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now_s[0])
    with interrupts.held_interrupts() as held:
        assert not held.was_interrupted
        signal.raise_signal(signal.SIGINT)
        assert held.was_interrupted
        signal.raise_signal(signal.SIGINT)
        now_s[0] += 1.1 * interrupts.PATIENCE_S
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_stays():
    def own(*_):
        """Of the program that calls the command line."""

    for handler in (own, signal.SIG_IGN):
        signal.signal(signal.SIGINT, handler)
        with interrupts.patient_interrupts(), interrupts.held_interrupts():
            assert signal.getsignal(signal.SIGINT) is handler
            interrupts.ignore_interrupts()
        assert signal.getsignal(signal.SIGINT) is handler


def test_other_threads_leave_the_handler_alone():
    seen = []

    def work():
        with interrupts.patient_interrupts(), interrupts.held_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
