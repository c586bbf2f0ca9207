"""The figures of ``fastpg bench``: their names, their arithmetic, and that a wrong result is never timed."""

import json

import numpy as np
import pytest

from fastpg.bench import flops, machine, problems, report, tasks, timing
from fastpg.cli import app
from fastpg.kernels.layout import HeadLayout

NAMES = (
    "fma_peak_gflops",
    "ppo_update_b64_us",
    "ppo_update_b64_peak_fraction",
    "ppo_update_b2048_us",
    "ppo_update_b2048_peak_fraction",
    "fvp_b2048_us",
    "fvp_b2048_peak_fraction",
    "cg10_b2048_us",
    "act_n1_us",
    "act_n1024_us",
    "gae_128x1024_us",
)


@pytest.fixture
def _a_moment_each(monkeypatch):
    monkeypatch.setattr(report, "N_TURNS", 2)
    monkeypatch.setattr(report, "PEAK_SECONDS", 1e-4)
    monkeypatch.setattr(report, "TURN_SECONDS", 1e-5)
    monkeypatch.setattr(report, "N_PEER_TURNS", 2)
    monkeypatch.setattr(report, "PEER_TURN_SECONDS", 1e-5)


@pytest.mark.usefixtures("_a_moment_each")
def test_json_has_every_figure_by_name(capsys):
    with pytest.raises(SystemExit) as stop:
        app.main(["bench", "--json"])
    assert stop.value.code == 0
    values = json.loads(capsys.readouterr().out)
    for name in (*NAMES, *(f"{name}_2t" for name in NAMES)):
        assert name in values
        assert values[name] is not None or name in values["not_measured"]
    for key in ("cpu", "machine", "backend", "isa", "compiler", "threads", "versions", "commit", "pinned_to"):
        assert key in values
    assert values["ppo_update_b64_us"] <= values["medians_us"]["ppo_update_b64"] * 1.001


@pytest.mark.usefixtures("_a_moment_each")
def test_one_core_leaves_two_threads_out_and_says_why(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: [0])
    values = report.collect(tasks=tasks.SHORT[-1:])
    assert values["gae_128x1024_us"] > 0
    assert values["gae_128x1024_us_2t"] is None
    assert "2 separate cores are needed" in values["not_measured"]["gae_128x1024_us_2t"]


def test_siblings_of_one_core_are_not_two_cores(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: [0, 1, 2])
    siblings = {"cpu0": "0-1", "cpu1": "0-1", "cpu2": "2"}
    monkeypatch.setattr(machine, "_text", lambda path: siblings[path.parent.parent.name])
    assert machine.separate_cores(2) == [1, 2]
    assert machine.separate_cores(3) is None


def test_a_wrong_result_is_an_error():
    task = tasks.SHORT[-1]
    result = task.prepare(backend="reference")()
    task.check(result)
    with pytest.raises(tasks.WrongResultError, match="gae_128x1024: the result is wrong"):
        task.check(result * np.float32(1.001))
    with pytest.raises(tasks.WrongResultError, match="got nan"):
        task.check(np.full_like(result, np.nan))


@pytest.mark.parametrize("layout", [problems.SMALL, problems.LARGE], ids=["categorical", "gaussian"])
@pytest.mark.parametrize("n_envs", [1, 65])
def test_acting_is_checked_for_actions_of_every_kind(layout, n_envs):
    task = tasks.act("act", layout=layout, n_envs=n_envs)
    actions, log_probs, values = task.prepare(backend="reference")()
    task.check((actions, log_probs, values))
    others = 1 - actions if actions.dtype.kind == "i" else actions + np.float32(0.01)
    for wrong in ((others, log_probs, values), (actions, log_probs * np.float32(1.001), values)):
        with pytest.raises(tasks.WrongResultError, match="act: the result is wrong"):
            task.check(wrong)


def test_turns_count_calls_and_keep_the_best():
    now = [0.0]
    costs = iter([1.0] * 5 + [3.0, 2.0] * 3)

    def run():
        now[0] += next(costs)

    # one call to find out how many fit, then per turn one that is not timed and one that is
    times = timing.take_turns({"run": run}, n_turns=3, turn_seconds=1e-3, clock=lambda: now[0])["run"]
    assert list(times.turns) == [1.0, 1.0, 2.0]
    assert (times.best, times.median) == (1.0, 1.0)


def test_flops_of_a_minibatch_by_hand():
    layout = problems.two_networks(3, HeadLayout("categorical", (2,)), hidden=(5, 7))
    forward = 2 * (3 * 5 + 5 * 7 + 7 * 2) + 2 * (3 * 5 + 5 * 7 + 7)
    input_gradients = 2 * (5 * 7 + 7 * 2) + 2 * (5 * 7 + 7)
    assert flops.ppo_minibatch(layout, 11) == 11 * (2 * forward + input_gradients)


def test_flops_of_a_fisher_product_are_those_that_are_done():
    kept = problems.LARGE.actor  # six outputs: 2 * 6 * 64 < 64 * 64
    layer, outputs = 2 * 64 * 64, 2 * 6 * 64
    saved = 2 * layer - 2 * outputs
    assert flops.plain_fisher_product(kept, 1) - flops.fisher_product(kept, 1) == saved
    many = problems.two_networks(17, HeadLayout("gaussian", (1,) * 9)).actor
    assert flops.plain_fisher_product(many, 1) == flops.fisher_product(many, 1)
    narrow = problems.two_networks(17, HeadLayout("gaussian", (1,) * 6), hidden=(8, 8)).actor
    assert flops.plain_fisher_product(narrow, 1) == flops.fisher_product(narrow, 1)


@pytest.fixture
def _peers(monkeypatch):
    """One peer that computes what it should, one that does not, one that is not there."""

    class Peer:
        def __init__(self, name, factor, why=None):
            self.name, self.factor, self.why, self.modules = name, factor, why, {"gae": ""}

        def missing(self):
            return self.why

        def version(self):
            return "1.0"

        def prepare(self, task):
            return lambda: task.prepare(backend="reference")() * np.float32(self.factor)

    monkeypatch.setattr(report, "PEERS", (Peer("right", 1), Peer("wrong", 2), Peer("absent", 1, "absent: install it")))


@pytest.mark.usefixtures("_a_moment_each", "_peers")
def test_peers_are_checked_like_fastpg_and_their_ratios_reported(capsys):
    with pytest.raises(SystemExit):
        app.main(["bench"])
    out = " ".join(capsys.readouterr().out.split())
    assert "right" in out
    assert "Not compared: wrong, GAE, 128 x 1024: WrongResultError: gae_128x1024: the result is wrong" in out
    assert "Not compared: absent: install it" in out
    found = report.compare(tasks.SHORT[-1:], backend=None, core=machine.usable_cores()[-1])
    assert found["right"]["gae_128x1024_ratio"] > 1
    assert set(found["wrong"]) == {"version", "gae_128x1024"}
    assert found["absent"] == {"missing": "absent: install it"}
