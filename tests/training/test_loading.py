"""``fastpg.load`` finds the class by the file, and says what is wrong with a file that does not fit."""

from pathlib import Path

import numpy as np
import pytest

import fastpg
from fastpg.errors import CheckpointError, ConfigError
from fastpg.training.checkpoint import save_checkpoint
from fastpg.training.loading import ALGORITHMS, model_class
from fastpg.training.run_directory import MODEL

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / MODEL
    model = fastpg.PPO(
        "MlpPolicy",
        "CartPole-v1",
        n_steps=32,
        batch_size=16,
        n_epochs=1,
        seed=0,
        backend="reference",
        policy_kwargs={"net_arch": [8]},
    )
    model.learn(64)
    model.save(path)
    model.get_env().close()
    return path, model


def test_loads_the_class_that_saved_it(saved):
    path, model = saved
    loaded = fastpg.load(path)
    assert type(loaded) is fastpg.PPO
    np.testing.assert_array_equal(loaded.policy.params, model.policy.params)
    assert loaded.num_timesteps == 64
    observation = np.zeros(4, np.float32)
    assert loaded.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]


def test_loads_a_run_directory(saved):
    path, model = saved
    np.testing.assert_array_equal(fastpg.load(path.parent).policy.params, model.policy.params)


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    path, model = saved
    model.save(tmp_path / "again.fastpg")
    assert (tmp_path / "again.fastpg").read_bytes() == path.read_bytes()


def test_overrides(saved):
    assert fastpg.load(saved[0], gamma=0.5).config.gamma == 0.5
    with pytest.raises(ConfigError, match="did you mean 'gamma'"):
        fastpg.load(saved[0], gama=0.5)


def test_another_environment_is_refused(saved):
    with pytest.raises((CheckpointError, ConfigError), match="space"):
        fastpg.load(saved[0], env="Pendulum-v1")


@pytest.mark.parametrize("metadata", [{}, {"algorithm": "DQN"}, {"algorithm": 3}])
def test_unknown_algorithm(tmp_path, metadata):
    save_checkpoint(tmp_path / "x", {}, metadata)
    with pytest.raises(CheckpointError, match=r"expected one of .*PPO.*pip install --upgrade fastpg"):
        fastpg.load(tmp_path / "x")


def test_incomplete_file(tmp_path):
    save_checkpoint(tmp_path / "x", {}, {"algorithm": "PPO"})
    with pytest.raises(CheckpointError, match="does not hold a whole model: 'config' is missing"):
        fastpg.load(tmp_path / "x")


def test_every_algorithm_has_a_class():
    for name in ALGORITHMS:
        assert model_class(name.lower()).config_class.algorithm == name
    with pytest.raises(ConfigError, match=r"algorithm: expected one of .*PPO"):
        model_class("sac")


@pytest.mark.parametrize("path", sorted(DATA.glob("checkpoint-*.fastpg")), ids=lambda path: path.stem)
def test_checkpoints_of_every_version_are_loaded_for_ever(path):
    model = fastpg.load(path, "CartPole-v1", backend="reference")
    assert model.num_timesteps == 128
    assert model.config.learning_rate == fastpg.LinearSchedule(1e-3)
    actions, _ = model.predict(np.linspace(-0.2, 0.2, 40, dtype=np.float32).reshape(10, 4), deterministic=True)
    assert set(actions) <= {0, 1}
    model.learn(64, reset_num_timesteps=False)
    assert model.num_timesteps == 192
    model.get_env().close()


def test_the_checkpoint_of_this_version_is_what_it_writes(tmp_path):
    path = DATA / f"checkpoint-{fastpg.__version__}.fastpg"
    fastpg.load(path).save(tmp_path / "again.fastpg")
    assert (tmp_path / "again.fastpg").read_bytes() == path.read_bytes()
