"""What ``python -m benchmarks.report`` writes: goals beside what was measured, and the commit of every row."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fastpg.bench.tasks import SHORT

sys.path.append(str(Path(__file__).parents[2]))
with mock.patch.dict(os.environ):  # the benchmarks keep the libraries of the peers to one thread
    from benchmarks import learners, machine, report
    from benchmarks.workloads import comparisons


def bench(**figures: float) -> dict[str, Any]:
    """Stored figures of ``fastpg bench`` on a machine with half the peak of the goals."""
    values: dict[str, Any] = {f"{task.name}_us{end}": None for task in SHORT for end in ("", "_2t")}
    peaks = {"fma_peak_gflops": report.GOAL_PEAK / 2, "fma_peak_gflops_2t": report.GOAL_PEAK}
    return values | peaks | figures


def row(table: str, title: str) -> list[str]:
    """The cells of the one row of ``table`` that begins with ``title``, without the title."""
    (found,) = [line for line in table.splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in found.split("|")[2:-1]]


def test_every_goal_is_for_a_figure_that_is_measured() -> None:
    names = {task.name for task in SHORT}
    figures = {f"{name}_{what}" for name in names for what in ("us", "us_2t", "peak_fraction")}
    assert set(report.GOALS) <= figures
    assert set(report.GOAL_NOTES) <= set(report.GOALS)
    assert all(set(goals) <= names for goals in report.RATIO_GOALS.values())
    table = report._goals_table(bench())
    assert len(table.splitlines()) == 2 + len(report.GOALS)


def test_goals_of_arithmetic_scale_with_the_peak_and_a_missed_one_says_so() -> None:
    title = "PPO minibatch update, 64 samples, obs 4, 2 actions"
    table = report._goals_table(bench(ppo_update_b64_us=36.0, ppo_update_b64_us_2t=22.1, gae_128x1024_us=34.1))
    assert row(table, title) == ["18 µs", "36 µs", "36 µs", "met"]
    assert row(table, f"{title}, two threads") == ["11 µs", "22 µs", "22.1 µs", "missed"]
    assert row(table, "GAE, 128 x 1024") == ["34 µs", "34 µs", "34.1 µs", "missed"]
    assert row(table, "model.predict for one observation, CartPole-v1") == ["2 µs", "2 µs", "", ""]


def test_fractions_of_the_peak_count_the_operations_that_are_done() -> None:
    title = "Fisher product, 2048 samples, obs 17, 6 Gaussian actions, of peak"
    table = report._goals_table(bench(fvp_b2048_peak_fraction=0.6, fvp_b2048_plain_peak_fraction=0.9))
    assert row(table, title)[2:] == ["60% (90% plain)", "missed, met by the plain algorithm's operations"]
    table = report._goals_table(bench(fvp_b2048_peak_fraction=0.6, fvp_b2048_plain_peak_fraction=0.8))
    assert row(table, title)[2:] == ["60% (80% plain)", "missed"]
    table = report._goals_table(bench(fvp_b2048_peak_fraction=0.85))
    assert row(table, title)[2:] == ["85%", "met"]


def test_ratios_stand_beside_their_goals() -> None:
    peers = {
        "JAX": {"version": "1", "ppo_update_b64_ratio": 2.69, "gae_128x1024_ratio": 3.0},
        "absent": {"missing": ""},
    }
    table = report._peers_table({"peers": peers})
    assert row(table, "PPO minibatch update, 64 samples") == ["2.69x (goal 2.7x, missed)"]
    assert row(table, "GAE, 128 x 1024") == ["3x"]
    peers["JAX"]["ppo_update_b64_ratio"] = 2.7
    assert row(report._peers_table({"peers": peers}), "PPO minibatch update, 64 samples") == ["2.7x (goal 2.7x, met)"]


def test_every_ratio_that_is_a_goal_is_of_a_workload_and_those_measured_stand_beside_it() -> None:
    contenders = {workload.name: {c.name for c in workload.contenders} for workload in comparisons()}
    for name, (ours, peer, _) in report.COMPARE_GOALS.items():
        assert {ours, peer} <= contenders[name]
    seconds = {"fastpg native": 1.0, "stable-baselines3": 19.9}
    rows = {"train-PPO-CartPole-v1-8": {"title": "PPO", "seconds": seconds}, "act-1": {"title": "", "seconds": seconds}}
    line = "PPO: fastpg native is 19.9 times as fast as stable-baselines3 (goal 20, missed)."
    assert report.compare_goals(rows) == [line]
    seconds["stable-baselines3"] = 20.0
    assert report.compare_goals(rows) == [line.replace("19.9", "20").replace("missed", "met")]
    del seconds["fastpg native"]
    assert report.compare_goals(rows) == []


def test_the_pages_have_what_is_stored() -> None:
    for page in report.PAGES:
        text = page.read_text(encoding="utf-8")
        assert report.filled(text, report.sections()) == text


def test_every_row_keeps_the_header_it_was_measured_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results" / "scores.json"
    for commit, names in (("old", ("a", "b")), ("new", ("b", "c"))):
        monkeypatch.setattr(machine, "header", lambda core, commit=commit: [f"{commit}, core {core}"])
        monkeypatch.setattr(machine, "describe", lambda commit=commit: {"commit": commit})
        learners.store(path, {name: {"score": name + commit} for name in names}, 1)
    rows = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    assert {name: (row["score"], row["header"], row["machine"]["commit"]) for name, row in rows.items()} == {
        "a": ("aold", ["old, core 1"], "old"),
        "b": ("bnew", ["new, core 1"], "new"),
        "c": ("cnew", ["new, core 1"], "new"),
    }
    written = report._by_header(rows, lambda group: ", ".join(row["score"] for row in group.values()))
    assert written == "> old, core 1\n\naold\n\n> new, core 1\n\nbnew, cnew"
    same = {name: row | {"header": ["same"]} for name, row in rows.items()}
    assert report._by_header(same, " ".join) == "> same\n\na b c"
