"""Every form in which an environment may be given."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from fastpg.errors import ConfigError
from fastpg.rollout import AutoresetMode, SerialVectorEnv, make_vector_env
from fastpg.rollout.autoreset import autoreset_mode_of, parse_autoreset_mode
from tests.envs import ScriptedEnv, scripted_fns

FORMS = {
    "id": ("CartPole-v1", 3),
    "spec": (gym.spec("CartPole-v1"), 3),
    "callable": (lambda: ScriptedEnv(1), 3),
    "callables": (scripted_fns(3), 1),
    "callables and their number": (scripted_fns(3), 3),
}


@pytest.mark.parametrize(("env", "n_envs"), FORMS.values(), ids=FORMS)
def test_forms_that_make_environments(env, n_envs):
    made = make_vector_env(env, n_envs=n_envs, seed=1)
    assert isinstance(made, SerialVectorEnv)
    assert made.num_envs == 3
    assert autoreset_mode_of(made) is AutoresetMode.SAME_STEP
    made.reset()
    made.close()


def test_a_single_environment():
    env = ScriptedEnv()
    made = make_vector_env(env)
    assert made.num_envs == 1
    assert made.envs == [env]


def test_a_vector_environment_is_returned_as_it_is():
    env = gym.vector.SyncVectorEnv(scripted_fns(2))
    assert make_vector_env(env) is env
    assert make_vector_env(env, n_envs=2) is env


def test_env_kwargs_reach_the_environment():
    made = make_vector_env("Pendulum-v1", env_kwargs={"g": 3.5, "max_episode_steps": 7})
    assert made.get_attr("g") == (3.5,)
    made.reset(seed=0)
    truncated = [made.step(np.zeros((1, 1), np.float32))[3][0] for _ in range(7)]
    assert truncated == [False] * 6 + [True]


class ForeignEnv:
    def reset(self):
        """Of another library."""

    def step(self, action):
        """Of another library."""


class NotAnEnv:
    observation_space = action_space = None


WRONG = {
    "unknown id": ({"env": "CartPool-v1"}, "expected an id that gymnasium.make knows, got 'CartPool-v1'"),
    "unknown module": ({"env": "no_such_module:Env-v0"}, "expected an id that gymnasium.make knows"),
    "class": ({"env": ScriptedEnv}, r"got the class ScriptedEnv. Fix: pass an instance, ScriptedEnv\(...\)"),
    "None": ({"env": None}, "expected a Gymnasium id .*, got None"),
    "foreign environment": ({"env": ForeignEnv()}, "got .*ForeignEnv. Fix: derive it from gymnasium.Env"),
    "other object": ({"env": NotAnEnv()}, "expected a Gymnasium id .*NotAnEnv"),
    "n_envs 0": ({"env": "CartPole-v1", "n_envs": 0}, "n_envs: expected an integer >= 1, got 0"),
    "n_envs True": ({"env": "CartPole-v1", "n_envs": True}, "n_envs: expected an integer >= 1, got True"),
    "copies of an environment": ({"env": ScriptedEnv(), "n_envs": 2}, "a single gymnasium.Env cannot be copied"),
    "another length": ({"env": scripted_fns(3), "n_envs": 2}, "n_envs: expected 3, the length of the list"),
    "env_kwargs without id": ({"env": scripted_fns(1), "env_kwargs": {"g": 1}}, "env_kwargs: expected none"),
    "mode of our own": ({"env": "CartPole-v1", "autoreset_mode": "NextStep"}, "autoreset_mode: expected None or Same"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_vector_env(**arguments)


def test_another_number_than_the_vector_environment_has():
    with pytest.raises(ConfigError, match="n_envs: expected 2, as env is a VectorEnv of that size, got 5"):
        make_vector_env(gym.vector.SyncVectorEnv(scripted_fns(2)), n_envs=5)


def test_wrong_env_kwargs_are_named():
    message = r"env_kwargs: expected what 'CartPole-v1' takes, got .*: .* argument 'wheels' .*Fix: leave out"
    with pytest.raises(ConfigError, match=message):
        make_vector_env("CartPole-v1", env_kwargs={"wheels": 3})


class Declaring(gym.vector.SyncVectorEnv):
    def __init__(self, **metadata):
        super().__init__(scripted_fns(2))
        self.metadata = metadata


@pytest.mark.skipif(not hasattr(gym.vector, "AutoresetMode"), reason="Gymnasium 1.0 vectorizers are known")
def test_a_missing_autoreset_mode_is_never_guessed():
    with pytest.raises(ConfigError, match=r"to say when it resets, got none.*autoreset_mode='NextStep'"):
        make_vector_env(Declaring())
    declared = make_vector_env(Declaring(), autoreset_mode="NextStep")
    assert autoreset_mode_of(declared) is AutoresetMode.NEXT_STEP
    assert declared.num_envs == 2


def test_an_unknown_autoreset_mode():
    with pytest.raises(ConfigError, match="expected NextStep, SameStep or Disabled, got 'sometimes'"):
        make_vector_env(Declaring(autoreset_mode="sometimes"))
    declared = make_vector_env(Declaring(autoreset_mode="sometimes"), autoreset_mode=AutoresetMode.DISABLED)
    assert autoreset_mode_of(declared) is AutoresetMode.DISABLED


def test_an_unfinished_vector_environment():
    class Unfinished(gym.vector.VectorEnv):
        num_envs = 2

    with pytest.raises(ConfigError, match=r"with the attribute single_observation_space, got .*Unfinished without it"):
        make_vector_env(Unfinished())


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_modes_are_read_by_member_name_and_value(mode):
    assert parse_autoreset_mode(mode) is mode
    assert parse_autoreset_mode(mode.name) is mode
    assert parse_autoreset_mode(mode.value) is mode
    theirs = getattr(gym.vector, "AutoresetMode", None)
    if theirs is not None:
        assert parse_autoreset_mode(theirs[mode.name]) is mode


@pytest.mark.skipif(not hasattr(gym.vector, "AutoresetMode"), reason="Gymnasium 1.0 has no vector entry points' mode")
def test_vector_entry_point():
    env = make_vector_env(gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point"))
    assert autoreset_mode_of(env) is AutoresetMode.NEXT_STEP
