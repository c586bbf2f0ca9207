"""Videos: one of each episode, all of them or none. The environments draw without pygame."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv

import fastpg
from fastpg.cli.app import main
from fastpg.errors import ConfigError, EnvDataError, EnvError
from fastpg.training import recording
from fastpg.training.evaluation import evaluate
from fastpg.training.recording import record


class Drawn(CartPoleEnv):
    """Its pictures become brighter from step to step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - as Gymnasium declares it
    picture: object = np.zeros((16, 32, 3), np.uint8)
    n_steps = 0
    fails_at = 1000

    def step(self, action):
        self.n_steps += 1
        if self.n_steps == self.fails_at:
            raise RuntimeError("broken")
        return super().step(action)

    def render(self):
        return None if self.picture is None else self.picture + np.uint8(self.n_steps)


class Failing(Drawn):
    fails_at = 15


class Blank(Drawn):
    picture = None


class OnScreen(Drawn):
    metadata = {"render_modes": ["human"], "render_fps": 20}  # noqa: RUF012


class Modeless(CartPoleEnv):
    def __init__(self):
        super().__init__()


@pytest.fixture(autouse=True)
def _environments(monkeypatch):
    monkeypatch.setattr("gymnasium.envs.registration.registry", dict(gym.registry))
    for env in (Drawn, Failing, Blank, OnScreen, Modeless):
        gym.register(f"{env.__name__}-v0", env, max_episode_steps=10)


class Player:
    def predict(self, observation, *, deterministic=False):
        return np.arange(len(observation)) % 2, None


def test_a_video_of_each_episode(tmp_path):
    pytest.importorskip("moviepy")
    videos, result = record(Player(), "Drawn-v0", tmp_path / "a" / "b", n_episodes=3, seed=5)
    assert [video.name for video in videos] == [f"seed-5-episode-{index}.mp4" for index in range(3)]
    assert sorted(videos) == sorted((tmp_path / "a" / "b").iterdir())  # nothing else is left there
    assert all(video.read_bytes()[4:8] == b"ftyp" for video in videos)
    expected = evaluate(Player(), "Drawn-v0", n_episodes=3, seed=5, n_envs=1)
    assert result.returns.tolist() == expected.returns.tolist()
    again, _ = record(Player(), "Drawn-v0", tmp_path / "a" / "b", seed=5)  # in the place of the first
    assert again == videos[:1]


@pytest.mark.parametrize(
    ("env", "error", "message"),
    [
        ("Failing", EnvError, "raised RuntimeError: broken"),
        ("Blank", EnvDataError, r"render: expected an array \(height, width, 3\).* episode 0"),
        ("OnScreen", ConfigError, "expected one that renders to arrays .* got OnScreen-v0, whose modes are: human"),
        ("Modeless", ConfigError, "got Modeless-v0, whose modes are: none"),
        ("Nothing", ConfigError, "expected an id that gymnasium.make knows"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render:UserWarning", "ignore:.*Recording stopped", "ignore:.*zero frames")
def test_after_an_error_there_is_no_video(env, error, message, tmp_path):
    pytest.importorskip("moviepy")
    with pytest.raises(error, match=message):
        record(Player(), f"{env}-v0", tmp_path, n_episodes=3, env_kwargs={})
    assert list(tmp_path.iterdir()) == []


def test_without_moviepy_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(recording.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"recording needs moviepy. Fix: pip install 'fastpg\[video\]'"):
        record(Player(), "Drawn-v0", tmp_path / "videos")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, capsys):
    pytest.importorskip("moviepy")
    model = fastpg.PPO("MlpPolicy", "Drawn-v0", seed=0, backend="reference", policy_kwargs={"net_arch": [8]})
    model.save(tmp_path / "model.fastpg")
    model.get_env().close()
    with pytest.raises(SystemExit) as ended:
        main(["record", str(tmp_path / "model.fastpg"), "--episodes", "2", "--seed", "1", "--stochastic"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("   (return")[0] for line in lines] == [
        f"Saved {tmp_path / 'videos' / f'seed-1-episode-{index}.mp4'}" for index in range(2)
    ]
