"""Who takes part in the benchmarks that train and collect, and that the adapters of the peers do what they promise."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
with mock.patch.dict(os.environ):  # the benchmarks keep the libraries of the peers to one thread
    from benchmarks import learners, rollouts, time_to_score

TASKS = {task.env_id: task for task in time_to_score.TASKS}
OTHERS_WARN = pytest.mark.filterwarnings("ignore")


def adapter(name: str, library: str) -> Any:
    """``benchmarks.peers.<name>``; the test is skipped where ``library`` is not installed."""
    pytest.importorskip(library)
    with mock.patch.dict(os.environ):
        return importlib.import_module(f"benchmarks.peers.{name}")


def test_every_peer_with_the_algorithm_takes_part() -> None:
    names = {
        (algorithm, task): [*learners.contenders(algorithm, task)]
        for task in TASKS
        for algorithm in TASKS[task].arguments
    }
    ppo, trpo = ["fastpg", "stable-baselines3", "SBX", "tianshou"], ["fastpg", "sb3-contrib", "tianshou"]
    for task in ("CartPole-v1", "LunarLander-v3"):
        assert names["PPO", task] == ppo
        assert names["TRPO", task] == trpo
    assert names["PPO", "Pendulum-v1"] == [*ppo, "RLtools"]
    assert names["TRPO", "Pendulum-v1"] == trpo
    cleanrl = {task: names[key, task] for key, task in names if key == learners.CLEANRL_SCHEDULE}
    assert cleanrl == {"CartPole-v1": ["fastpg", "CleanRL's schedule in torch"]}


def test_rollouts_are_collected_by_every_peer_with_vector_environments() -> None:
    for workload in rollouts.workloads():
        names = [contender.name for contender in workload.contenders if not contender.backend]
        assert names == ["stable-baselines3", "SBX", "tianshou", "environment alone"]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_evaluations_come_after_whole_iterations(task: time_to_score.Task) -> None:
    for algorithm, arguments in task.arguments.items():
        settings = {"n_envs": task.n_envs} | arguments
        if algorithm == learners.CLEANRL_SCHEDULE:
            settings |= learners.CLEANRL
            assert settings["total_timesteps"] == task.limit
        assert task.chunk % (settings["n_envs"] * settings["n_steps"]) == 0


def test_turns_are_taken_by_the_names_given(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    def maker(name: str) -> learners.Make:
        def make(env_id: str, **arguments: Any) -> Any:
            made.append((name, arguments))
            return SimpleNamespace(learn=lambda steps: steps)

        return make

    three = {name: ("fastpg", maker(name)) for name in ("a", "b", "c")}
    monkeypatch.setattr(learners, "contenders", lambda algorithm, env_id: three)
    task = SimpleNamespace(env_id="CartPole-v1", n_envs=8, arguments={"PPO": {"n_steps": 2}})

    def run(make: learners.Make, seed: int) -> dict[str, Any]:
        make(seed=seed)
        return {"seed": seed}

    runs = learners.take_turns(task, "PPO", 2, run, str, names=("a", "c"))
    assert runs == {name: [{"seed": 0}, {"seed": 1}] for name in ("a", "c")}
    assert [(name, arguments["seed"]) for name, arguments in made] == [
        *(("a", 2), ("c", 2)),  # compiles
        *(("a", 0), ("c", 0), ("a", 1), ("c", 1)),
    ]
    assert all(arguments["n_envs"] == 8 and arguments["n_steps"] == 2 for _, arguments in made)


def test_the_learning_rate_falls_over_several_calls_of_learn() -> None:
    _, make = learners.contenders(learners.CLEANRL_SCHEDULE, "CartPole-v1")["fastpg"]
    model = make("CartPole-v1", n_envs=4, seed=0, total_timesteps=2048)
    rates = []
    for call in range(5):
        model.learn(512, reset_num_timesteps=call == 0)
        rates.append(model.config.learning_rate(0.5))
    assert rates == pytest.approx([2.5e-4 * rest for rest in (0.75, 0.5, 0.25, 0.0, 0.0)])


@OTHERS_WARN
@pytest.mark.parametrize("name", ["PPO", "TRPO", "NPG"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_tianshou_trains_in_chunks(name: str, env_id: str) -> None:
    peer = adapter("tianshou", "tianshou")
    model = peer.Model(name, env_id, n_envs=2, n_steps=64)
    before = [parameter.detach().clone() for parameter in model.algorithm.policy.parameters()]
    for call in range(3):  # two iterations each
        assert model.learn(256, reset_num_timesteps=call == 0) is model
    assert model.collector.collect_step == 768
    assert any((old != new).any() for old, new in zip(before, model.algorithm.policy.parameters(), strict=True))
    check_predictions(model, env_id)


@OTHERS_WARN
def test_tianshou_goes_on_with_the_episodes() -> None:
    peer = adapter("tianshou", "tianshou")
    model = peer.Model("PPO", "Pendulum-v1", n_envs=2, n_steps=64, gamma=0.9, learning_rate=1e-3)
    for call in range(4):  # 256 steps of each environment; an episode has 200
        model.learn(128, reset_num_timesteps=call == 0)
    assert len(model.collector.returns) == 2


@OTHERS_WARN
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_the_rewards_of_tianshou_stand_step_by_step(env_id: str) -> None:
    peer = adapter("tianshou", "tianshou")
    collect = peer.collect(env_id, n_envs=3, n_steps=250)
    for _ in range(2):
        rewards = collect()
        assert rewards.shape == (250, 3)
        assert (rewards != 0.0).all()
    if env_id == "Pendulum-v1":  # the torque changes little from step to step, the environments have nothing in common
        along, across = np.abs(np.diff(rewards, axis=0)).mean(), np.abs(np.diff(rewards, axis=1)).mean()
        assert along < across / 2


@OTHERS_WARN
def test_cleanrl_schedule_trains_in_chunks() -> None:
    peer = adapter("cleanrl_schedule", "torch")
    model = peer.Model("CartPole-v1", n_envs=4, total_timesteps=2048)
    rates = []
    for call in range(5):
        assert model.learn(512, reset_num_timesteps=call == 0) is model
        rates.append(model.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([2.5e-4 * rest for rest in (1.0, 0.75, 0.5, 0.25, 0.0)])
    check_predictions(model, "CartPole-v1")


@OTHERS_WARN
@pytest.mark.slow
def test_rltools_trains_in_chunks() -> None:
    peer = adapter("rltools", "rltools")
    model = peer.Model("Pendulum-v1", n_envs=2, n_steps=64, gamma=0.9, learning_rate=1e-3)
    observation = np.array([[1.0, 0.0, 1.0]], np.float32)
    before, _ = model.predict(observation)
    assert model.learn(256) is model
    after, _ = model.predict(observation)
    assert (before != after).all()
    check_predictions(model, "Pendulum-v1")


@OTHERS_WARN
@pytest.mark.slow
def test_sbx_compiles_once_for_equal_settings() -> None:
    peer = adapter("sb3_family", "sbx")
    counts = []
    for seed in range(2):
        model = peer.make_model("sbx", "PPO", "CartPole-v1", n_envs=2, seed=seed, n_steps=64)
        model.learn(128)
        counts.append(type(model)._one_update._cache_size())
    assert counts[0] == counts[1]


def check_predictions(model: Any, env_id: str) -> None:
    """Deterministic actions for a batch, of the shape that a vector environment takes."""
    observations = np.zeros((3, 4) if env_id == "CartPole-v1" else (3, 3), np.float32)
    actions, state = model.predict(observations, deterministic=True)
    assert state is None
    assert actions.shape == ((3,) if env_id == "CartPole-v1" else (3, 1))
    assert (actions == model.predict(observations, deterministic=True)[0]).all()
