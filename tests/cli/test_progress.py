"""The progress bar and the regular saving, beside a real training."""

import io
import os

import pytest
from rich.console import Console

import fastpg
from fastpg.cli import progress
from fastpg.cli.progress import ProgressBar, RegularSaving


@pytest.fixture
def model():
    model = fastpg.PPO(
        "MlpPolicy",
        "CartPole-v1",
        n_steps=64,
        batch_size=32,
        n_epochs=1,
        seed=0,
        backend="reference",
        policy_kwargs={"net_arch": [8]},
    )
    yield model
    model.get_env().close()


def test_bar_on_a_terminal(model):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    model.learn(320, callback=ProgressBar(console))
    text = console.file.getvalue()
    assert "/320 steps" in text
    assert "steps/s" in text
    assert "return" in text


@pytest.mark.parametrize("options", [{"force_terminal": False}, {"force_terminal": True, "quiet": True}])
def test_no_bar_elsewhere(model, options):
    console = Console(file=io.StringIO(), **options)
    model.learn(64, callback=ProgressBar(console))
    assert console.file.getvalue() == ""


def test_regular_saving(model, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    path = tmp_path / "model.fastpg"
    saving = RegularSaving(path, interval_s=10.0)
    model.learn(128, callback=saving)
    assert os.listdir(tmp_path) == []
    now[0] = 10.0
    model.learn(128, callback=saving, reset_num_timesteps=False)
    assert fastpg.load(path).num_timesteps == 128
