"""Vector environments, their wrappers, Monitor, make_vec_env."""

from __future__ import annotations

import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from fastpg.errors import CheckpointError, ConfigError, EnvDataError, EnvError, SpaceError
from fastpg.sb3 import PPO
from fastpg.sb3.common.env_util import is_wrapped, make_vec_env, unwrap_wrapper
from fastpg.sb3.common.monitor import LoadMonitorResultsError, Monitor, get_monitor_files, load_results
from fastpg.sb3.common.running_mean_std import RunningMeanStd
from fastpg.sb3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    is_vecenv_wrapped,
    sync_envs_normalization,
    unwrap_vec_normalize,
)
from fastpg.sb3.common.vec_env.subproc_vec_env import _work
from tests.sb3.tools import CountingEnv, small

ACTIONS = np.zeros((2, 2), np.float32)


def dummy(n_envs: int = 2, **arguments) -> DummyVecEnv:
    return DummyVecEnv([lambda: CountingEnv(**arguments)] * n_envs)


@pytest.fixture(params=["dummy", "subproc"])
def venv(request):
    make = {"dummy": DummyVecEnv, "subproc": lambda fns: SubprocVecEnv(fns, start_method="fork")}[request.param]
    env = make([lambda: Monitor(CountingEnv(2)), lambda: Monitor(CountingEnv(3, truncated=False))])
    yield env
    env.close()


def test_steps_and_resets(venv) -> None:
    assert np.array_equal(venv.reset(), [[0, 0], [0, 0]])
    observations, rewards, dones, infos = venv.step(ACTIONS)
    assert np.array_equal(observations, [[0, 1], [0, 1]])
    assert rewards.dtype == np.float32
    assert rewards.tolist() == [2.0, 2.0]
    assert dones.tolist() == [False, False]
    assert infos == [{"TimeLimit.truncated": False}] * 2
    observations, _, dones, infos = venv.step(ACTIONS)
    assert np.array_equal(observations, [[1, 0], [0, 2]])
    assert dones.tolist() == [True, False]
    assert infos[0]["TimeLimit.truncated"] is True
    assert infos[0]["terminal_observation"].tolist() == [0, 2]
    assert (infos[0]["episode"]["r"], infos[0]["episode"]["l"]) == (4.0, 2)
    _, _, dones, infos = venv.step(ACTIONS)
    assert dones.tolist() == [False, True]
    assert infos[1]["TimeLimit.truncated"] is False


def test_observations_are_copies() -> None:
    env = dummy()
    first = env.reset()
    env.step(ACTIONS)
    assert first[0, 1] == 0


def test_seeds_and_options_are_for_one_reset(venv) -> None:
    assert venv.seed(5) == [5, 6]
    venv.set_options({"level": 1})
    venv.reset()
    assert [info["seed"] for info in venv.reset_infos] == [5, 6]
    assert venv.reset_infos[1]["options"] == {"level": 1}
    venv.reset()
    assert venv.reset_infos[0] == {"seed": None, "options": None}


def test_attributes_and_methods(venv) -> None:
    assert venv.get_attr("length") == [2, 3]
    venv.set_attr("label", "new", indices=1)
    assert venv.get_attr("label") == ["plain", "new"]
    assert venv.env_method("shout", "a", times=2) == ["AA", "AA"]
    assert venv.env_method("shout", "b", indices=[0]) == ["B"]
    assert venv.env_is_wrapped(Monitor) == [True, True]
    assert venv.has_attr("label")
    assert not venv.has_attr("nothing")


def test_a_worker_that_raises_or_dies_is_an_error() -> None:
    class Broken(CountingEnv):
        def step(self, action):
            raise RuntimeError("no more")

    env = SubprocVecEnv([CountingEnv, Broken], start_method="fork")
    env.reset()
    with pytest.raises(EnvError, match=r"env 1 of 2 raised RuntimeError: no more"):
        env.step(ACTIONS)
    env.processes[0].kill()
    env.processes[0].join()
    with pytest.raises(EnvError, match="env 0 of 2: its process has died"):
        env.get_attr("label", indices=0)
    env.close()
    with pytest.raises(EnvError, match="ZeroDivisionError"):
        SubprocVecEnv([lambda: 1 // 0], start_method="fork")


@pytest.mark.parametrize("error", [EOFError, BrokenPipeError, ConnectionResetError])
def test_a_worker_whose_parent_is_gone_ends_silently(error: type[Exception]) -> None:
    class Connection:
        def __init__(self) -> None:
            self.sent: list[Any] = []
            self.is_closed = False

        def send(self, answer: Any) -> None:
            self.sent.append(answer)

        def recv(self) -> Any:
            raise error

        def close(self) -> None:
            self.is_closed = True

    connection = Connection()
    before = signal.getsignal(signal.SIGINT)
    try:
        _work(connection, Connection(), SimpleNamespace(fn=CountingEnv))
    finally:
        signal.signal(signal.SIGINT, before)
    assert connection.is_closed
    assert connection.sent == [(True, None)]


def test_workers_go_on_after_an_error_and_after_ctrl_c() -> None:
    """What the other workers answered then is not taken for the answer to the next command."""

    class BreaksOnce(CountingEnv):
        is_broken = True

        def step(self, action):
            if self.is_broken:
                self.is_broken = False
                raise RuntimeError("once")
            return super().step(action)

    env = SubprocVecEnv([BreaksOnce, CountingEnv], start_method="fork")
    model = small(PPO, env)
    with pytest.raises(EnvError, match="env 0 of 2 raised RuntimeError: once"):
        model.learn(64)
    for process in env.processes:  # a terminal sends it to all of them
        os.kill(process.pid, signal.SIGINT)
    assert model.learn(64).num_timesteps == 64
    env.step_async(ACTIONS)  # and interrupted before it was waited for
    assert env.reset().tolist() == [[13, 0], [13, 0]]
    env.close()


def test_an_environment_that_raises_or_returns_nonsense_is_named() -> None:
    class Broken(CountingEnv):
        result: object = None

        def step(self, action):
            if self.result is None:
                raise RuntimeError("no more")
            return self.result

    env = DummyVecEnv([CountingEnv, Broken])
    env.reset()
    with pytest.raises(EnvError, match=r"step\(\) raised RuntimeError: no more — env 1 of 2"):
        env.step(ACTIONS)
    broken = env.envs[1]
    broken.result = (np.zeros(2), 0.0, False, {})
    with pytest.raises(EnvError, match=r"env 1 of 2\. \(It has to return \(observation, reward, terminated"):
        env.step(ACTIONS)
    broken.result = (np.zeros(2), None, False, False, {})
    with pytest.raises(EnvError, match=r"TypeError.* — env 1 of 2"):
        env.step(ACTIONS)
    broken.result = (np.zeros(1), 0.0, False, False, {})
    with pytest.raises(EnvDataError, match=r"expected shape \(2,\), got \(1,\) — env 1 of 2"):
        env.step(ACTIONS)


class Flags(CountingEnv):
    """Returns flags of its own."""

    flags: tuple[object, object] = (None, False)

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, *self.flags, info


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((None, False), "terminated is None: expected True or False"),
        ((False, np.zeros(2, bool)), "truncated is .*: expected True or False"),
        ((False, "no"), "truncated is .*: expected True or False"),
    ],
)
def test_flags_that_are_no_booleans_are_refused(flags, text) -> None:
    env = DummyVecEnv([CountingEnv, Flags])
    env.envs[1].flags = flags
    env.reset()
    with pytest.raises(EnvDataError, match=rf"{text} — env 1 of 2\. Fix: return a bool"):
        env.step(ACTIONS)


def test_a_worker_is_named_by_its_place_among_all() -> None:
    env = SubprocVecEnv([CountingEnv, Flags], start_method="fork")
    env.reset()
    with pytest.raises(EnvError, match=r"env 1 of 2 raised EnvDataError: terminated is None: expected True or False\."):
        env.step(ACTIONS)
    env.close()


@pytest.mark.parametrize("flags", [(np.bool_(True), np.bool_(False)), (1, 0)])
def test_flags_of_numpy_and_numbers_count(flags) -> None:
    env = DummyVecEnv([Flags])
    env.envs[0].flags = flags
    env.reset()
    _, _, dones, infos = env.step(ACTIONS[:1])
    assert dones.tolist() == [True]
    assert infos[0]["TimeLimit.truncated"] is False


def test_spawned_workers(tmp_path) -> None:
    env = make_vec_env("CartPole-v1", n_envs=1, seed=3, vec_env_cls=SubprocVecEnv)
    try:
        here = make_vec_env("CartPole-v1", n_envs=1, seed=3)
        assert np.array_equal(env.reset(), here.reset())
        assert np.array_equal(env.step(np.array([1]))[0], here.step(np.array([1]))[0])
    finally:
        env.close()


def test_bad_factories() -> None:
    shared = CountingEnv()
    with pytest.raises(ConfigError, match="the same one twice"):
        DummyVecEnv([lambda: shared] * 2)
    with pytest.raises(ConfigError, match="callables that each make"):
        DummyVecEnv([shared])
    with pytest.raises(ConfigError, match="at least one"):
        DummyVecEnv([])


def test_dict_observations_pass() -> None:
    class DictEnv(CountingEnv):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gym.spaces.Dict({"a": self.observation_space, "b": gym.spaces.Discrete(9)})

        def _observation(self):
            return {"a": super()._observation(), "b": self.n_steps}

    env = VecExtractDictObs(DummyVecEnv([DictEnv] * 2), "a")
    assert env.reset().shape == (2, 2)
    for _ in range(3):
        observations, _, _, infos = env.step(ACTIONS)
    assert observations.tolist() == [[1, 0], [1, 0]]
    assert infos[0]["terminal_observation"].tolist() == [0, 3]
    with pytest.raises(SpaceError, match="key: expected an entry"):
        VecExtractDictObs(dummy(), "a")


class Drawn(gym.Wrapper):
    """Draws without pygame, which an installation need not have."""

    def render(self):
        return np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def test_rendering(monkeypatch) -> None:
    env = DummyVecEnv([lambda: Drawn(gym.make("CartPole-v1", render_mode="rgb_array"))])
    env.reset()
    assert env.render().ndim == 3
    shown = []
    opencv = SimpleNamespace(imshow=lambda name, image: shown.append(image), waitKey=lambda seconds: -1)
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    assert env.render("human") is None
    assert np.array_equal(shown[0], env.render("rgb_array")[:, :, ::-1])  # OpenCV has blue first
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="needs the package opencv-python"):
        env.render("human")
    env.close()
    env = DummyVecEnv([lambda: gym.make("CartPole-v1")])
    assert env.render() is None
    with pytest.warns(UserWarning, match="mode: expected None, .* got 'rgb_array': nothing is drawn"):
        assert env.render("rgb_array") is None
    env.close()


def test_running_mean_std_is_that_of_all_samples() -> None:
    rng = np.random.default_rng(0)
    moments = RunningMeanStd(epsilon=1e-9, shape=(3,))
    batches = [rng.normal(2.0, 3.0, (n, 3)) for n in (1, 7, 50)]
    for batch in batches:
        moments.update(batch)
    every = np.concatenate(batches)
    np.testing.assert_allclose(moments.mean, every.mean(0), rtol=1e-7)
    np.testing.assert_allclose(moments.var, every.var(0), rtol=1e-7)


def test_vec_normalize_follows_its_definition() -> None:
    rng = np.random.default_rng(1)
    env = VecNormalize(dummy(), gamma=0.9, clip_obs=1.5)
    seen = [env.reset() * 0 + env.old_obs]
    returns, all_returns = np.zeros(2), []
    for _ in range(7):
        observations, rewards, dones, infos = env.step(rng.normal(size=(2, 2)).astype(np.float32))
        seen.append(env.get_original_obs())
        returns = 0.9 * returns + env.get_original_reward()
        all_returns.append(returns.copy())
        returns[dones] = 0.0
        expected = (seen[-1] - env.obs_rms.mean) / np.sqrt(env.obs_rms.var + 1e-8)
        np.testing.assert_allclose(observations, np.clip(expected, -1.5, 1.5), rtol=1e-6)
        np.testing.assert_allclose(rewards, min(2.0 / np.sqrt(env.ret_rms.var + 1e-8), 10.0), rtol=1e-6)
        if dones[0]:
            assert np.abs(infos[0]["terminal_observation"]).max() <= 1.5
    assert env.obs_rms.count == pytest.approx(16, rel=1e-4)
    np.testing.assert_allclose(env.obs_rms.mean, np.concatenate(seen).mean(0), rtol=1e-3)
    np.testing.assert_allclose(env.ret_rms.var, np.concatenate(all_returns).var(), rtol=1e-3)
    np.testing.assert_allclose(env.unnormalize_reward(rewards), 2.0, rtol=1e-6)


def test_vec_normalize_rests_and_is_shared(tmp_path) -> None:
    env = VecNormalize(dummy())
    env.reset()
    for _ in range(5):
        env.step(ACTIONS)
    env.save(tmp_path / "stats.pkl")
    loaded = VecNormalize.load(tmp_path / "stats.pkl", dummy(3))
    loaded.training, loaded.norm_reward = False, False
    before = loaded.obs_rms.mean.copy()
    loaded.reset()
    assert loaded.step(np.zeros((3, 2)))[1].tolist() == [2.0] * 3
    assert np.array_equal(loaded.obs_rms.mean, before)
    assert np.array_equal(before, env.obs_rms.mean)
    fresh = VecNormalize(VecMonitor(dummy()), training=False)
    sync_envs_normalization(VecNormalize(VecMonitor(dummy())), fresh)
    sync_envs_normalization(env, VecNormalize(dummy(), training=False))
    with pytest.raises(ConfigError, match="no VecNormalize"):
        sync_envs_normalization(env, dummy())
    with pytest.raises(ConfigError, match=r"expected observations of shape \(2,\)"):
        VecNormalize.load(tmp_path / "stats.pkl", make_vec_env("CartPole-v1"))
    assert unwrap_vec_normalize(VecMonitor(env)) is env
    assert is_vecenv_wrapped(env, VecNormalize)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["rewards", "observations"])
def test_vec_normalize_keeps_its_statistics_from_nan(name, bad) -> None:
    class BreaksOnce(CountingEnv):
        n_left = 20

        def step(self, action):
            observation, reward, *rest = super().step(action)
            self.n_left -= 1
            if self.n_left == 0 and name == "observations":
                observation[1] = bad
            return observation, bad if self.n_left == 0 and name == "rewards" else reward, *rest

    env = VecNormalize(DummyVecEnv([CountingEnv, BreaksOnce]))
    model = small(PPO, env)
    with pytest.raises(EnvDataError, match=rf"{name}: expected finite numbers, got .*{bad}.* — env 1 of 2"):
        model.learn(64)
    assert all(np.isfinite(m).all() for rms in (env.obs_rms, env.ret_rms) for m in (rms.mean, rms.var))
    assert model.learn(64).num_timesteps == 64


def test_vec_normalize_reads_no_pickle(tmp_path) -> None:
    import pickle

    path = tmp_path / "theirs.pkl"
    path.write_bytes(pickle.dumps({"obs_rms": 1}))
    with pytest.raises(CheckpointError, match="pickle, which fastpg never loads"):
        VecNormalize.load(path, dummy())


def test_vec_monitor_and_checks() -> None:
    env = VecMonitor(dummy())
    env.reset()
    for _ in range(3):
        infos = env.step(ACTIONS)[3]
    assert (infos[1]["episode"]["r"], infos[1]["episode"]["l"]) == (6.0, 3)
    checked = VecCheckNan(dummy(), raise_exception=True)
    checked.reset()
    with pytest.raises(EnvDataError, match="actions: expected finite numbers"):
        checked.step(np.array([[0.0, np.nan], [0.0, 0.0]]))
    with pytest.warns(UserWarning, match="env 0 of 2"):
        VecCheckNan(dummy()).step_async(np.array([[0.0, np.inf], [0.0, 0.0]]))


def test_frame_stack() -> None:
    env = VecFrameStack(dummy(1), 2)
    assert env.reset().tolist() == [[0, 0, 0, 0]]
    env.step(ACTIONS[:1])
    assert env.step(ACTIONS[:1])[0].tolist() == [[0, 1, 0, 2]]
    observations, _, _, infos = env.step(ACTIONS[:1])
    assert infos[0]["terminal_observation"].tolist() == [0, 2, 0, 3]
    assert observations.tolist() == [[0, 0, 1, 0]]


def test_wrappers_pass_attributes_and_refuse_ambiguous_ones() -> None:
    inner = VecNormalize(dummy())
    outer = VecMonitor(inner)
    assert outer.obs_rms is inner.obs_rms
    assert outer.unwrapped is inner.venv
    with pytest.raises(AttributeError):
        outer.nothing  # noqa: B018
    twice = VecEnvWrapper.__new__(type("W", (VecNormalize,), {}))
    twice.__init__(VecNormalize(dummy()))
    with pytest.raises(AttributeError, match="found it in"):
        type("V", (VecMonitor,), {})(twice).obs_rms  # noqa: B018


def test_monitor_writes_and_refuses(tmp_path) -> None:
    env = Monitor(CountingEnv(2), str(tmp_path / "run"), allow_early_resets=False, info_keywords=("is_success",))
    env.reset()
    with pytest.raises(EnvError, match="allow_early_resets"):
        env.reset()
    env.step(None)
    env.step(None)
    with pytest.raises(EnvError, match="call reset first"):
        env.step(None)
    env.reset()
    env.close()
    assert (env.get_total_steps(), env.get_episode_rewards(), env.get_episode_lengths()) == (2, [4.0], [2])
    lines = (tmp_path / "run.monitor.csv").read_text().splitlines()
    assert set(json.loads(lines[0][1:])) == {"t_start", "env_id"}
    assert lines[1] == "r,l,t,is_success"
    assert lines[2].startswith("4.0,2,")
    assert get_monitor_files(str(tmp_path)) == [str(tmp_path / "run.monitor.csv")]


def test_load_results(tmp_path) -> None:
    pytest.importorskip("pandas")
    env = make_vec_env(CountingEnv, n_envs=2, monitor_dir=str(tmp_path))
    env.reset()
    for _ in range(6):
        env.step(ACTIONS)
    env.close()
    table = load_results(str(tmp_path))
    assert table["r"].tolist() == [6.0] * 4
    assert table["t"].is_monotonic_increasing
    with pytest.raises(LoadMonitorResultsError):
        load_results(str(tmp_path / "nothing"))


def test_make_vec_env(tmp_path) -> None:
    wrapper = gym.wrappers.RescaleAction
    env = make_vec_env(
        CountingEnv,
        n_envs=2,
        seed=4,
        start_index=3,
        monitor_dir=str(tmp_path / "logs"),
        wrapper_class=wrapper,
        env_kwargs={"length": 5},
        wrapper_kwargs={"min_action": np.float32(-2.0), "max_action": np.float32(2.0)},
        monitor_kwargs={"info_keywords": ("is_success",)},
    )
    assert env.action_space.high.tolist() == [2.0, 2.0]
    assert env.get_attr("length") == [5, 5]
    assert is_wrapped(env.envs[0], Monitor)
    assert unwrap_wrapper(env.envs[0], Monitor).info_keywords == ("is_success",)
    env.reset()
    assert [info["seed"] for info in env.reset_infos] == [4, 5]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["3.monitor.csv", "4.monitor.csv"]
    env.close()


def test_results_as_x_and_y() -> None:
    from fastpg.sb3.common.results_plotter import ts2xy, window_func

    table = {"r": np.array([1.0, 2.0, 6.0]), "l": np.array([3, 4, 5]), "t": np.array([0.0, 1800.0, 3600.0])}
    assert [ts2xy(table, axis)[0].tolist() for axis in ("timesteps", "episodes", "walltime_hrs")] == [
        [3, 7, 12],
        [0, 1, 2],
        [0.0, 0.5, 1.0],
    ]
    x, y = window_func(*ts2xy(table, "timesteps"), 2, np.mean)
    assert (x.tolist(), y.tolist()) == ([7, 12], [1.5, 4.0])
    with pytest.raises(ConfigError, match="x_axis: expected 'timesteps'"):
        ts2xy(table, "days")


def test_figures_of_results(tmp_path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from fastpg.sb3.common.results_plotter import EPISODES_WINDOW, plot_curves

    n = EPISODES_WINDOW + 1
    plot_curves([(np.arange(n), np.arange(n)), (np.arange(5), np.ones(5))], "timesteps", "two curves")
    axes = pyplot.figure("two curves").axes[0]
    assert [len(points.get_offsets()) for points in axes.collections] == [n, 5]
    (line,) = axes.lines  # only one of them is long enough for a running mean
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([n - 2, n - 1], [(n - 2) / 2, n / 2])
    assert (axes.get_xlim(), axes.get_xlabel()) == ((0, n - 1), "timesteps")
    pyplot.close("all")


def test_results_of_a_directory_as_a_figure(tmp_path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    from fastpg.sb3.common.results_plotter import plot_results

    env = make_vec_env(CountingEnv, monitor_dir=str(tmp_path))
    env.reset()
    for _ in range(9):
        env.step(ACTIONS[:1])
    env.close()
    plot_results([str(tmp_path)], 6, "timesteps", "one run")
    (points,) = pyplot.figure("one run").axes[0].collections
    assert points.get_offsets().tolist() == [[3.0, 6.0], [6.0, 6.0]]  # the third episode ends too late
    pyplot.close("all")
