"""The guard against slower kernels: fails on a slowed one, forgives a busy machine, passes where it knows nothing."""

import dataclasses
import json

import pytest

from fastpg.bench import guard, machine, report
from fastpg.bench.tasks import SHORT
from fastpg.cli import app
from fastpg.errors import ConfigError
from fastpg.kernels import backends

needs_native = pytest.mark.skipif(machine.why_no_peak() is not None, reason="the peak is measured by the C++ extension")
B64 = SHORT[0]


@pytest.fixture
def committed(tmp_path):
    path = tmp_path / "reference.json"
    entry = {"fractions": {task.name: 0.6 for task in guard.GUARDED}}
    path.write_text(json.dumps({backends.which().isa: entry, "other": entry}))
    return path


def attempts(*fractions):
    """A measurement that finds all kernels at the next of ``fractions``; counts the kernels that it was asked for."""
    values, asked = iter(fractions), []

    def measure(tasks, *, backend):
        del backend
        asked.append([task.name for task in tasks])
        fraction = next(values)
        return {task.name: fraction for task in tasks}

    return measure, asked


@needs_native
def test_passes_at_three_quarters_and_fails_below(committed):
    assert guard.check(committed, measure=attempts(0.4501)[0]).too_slow == []
    slow = guard.check(committed, measure=attempts(*[0.4499] * guard.N_ATTEMPTS)[0])
    assert slow.too_slow == [task.name for task in guard.GUARDED]


@needs_native
def test_a_busy_moment_is_measured_again_and_only_what_was_slow(committed):
    def measure(tasks, *, backend):
        del backend
        asked.append([task.name for task in tasks])
        return {task.name: 0.2 if task is B64 and len(asked) < 3 else 0.5 for task in tasks}

    asked = []
    assert guard.check(committed, measure=measure).too_slow == []
    assert asked == [[task.name for task in guard.GUARDED], [B64.name], [B64.name]]


@needs_native
def test_an_unknown_instruction_set_passes_and_says_so(committed, capsys):
    committed.write_text(json.dumps({"other": json.loads(committed.read_text())["other"]}))
    with pytest.raises(SystemExit) as stop:
        app.main(["bench", "--check", str(committed)])
    assert stop.value.code == 0
    assert f"has no figures for {backends.which().isa} (it has: other)" in capsys.readouterr().out


@needs_native
def test_the_command_fails_with_the_name_of_the_kernel(committed, capsys, monkeypatch):
    monkeypatch.setattr(
        guard.check, "__kwdefaults__", guard.check.__kwdefaults__ | {"measure": attempts(*[0.4] * 4)[0]}
    )
    with pytest.raises(SystemExit) as stop:
        app.main(["bench", "--check", str(committed)])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert "ppo_update_b64: 40.0% of the peak, committed" in out
    assert "TOO SLOW" in out
    assert "ppo_update_b64, " in err
    assert "--record" in err


@pytest.mark.parametrize("text", ["", "[]", '{"avx2": {}}', '{"avx2": {"fractions": {"a": "fast"}}}'])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="expected a file written by fastpg bench --record"):
        guard.check(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        guard.check(tmp_path / "missing.json")


@needs_native
def test_a_slowed_kernel_fails(tmp_path, monkeypatch):
    """The whole way, clock and peak included: a kernel that does its work four times over is found."""
    monkeypatch.setattr(report, "N_TURNS", 10)

    def prepare_slowed(**options):
        run = B64.prepare(**options)
        return lambda: (run(), run(), run(), run())[0]

    path = tmp_path / "reference.json"
    guard.record(path, chosen=[B64])
    assert guard.check(path, chosen=[B64]).too_slow == []
    slowed = dataclasses.replace(B64, prepare=prepare_slowed)
    assert guard.check(path, chosen=[slowed]).too_slow == [B64.name]


@needs_native
def test_recording_keeps_other_instruction_sets(committed):
    guard.record(committed, chosen=[], measure=attempts(0.5)[0])
    assert set(guard.read(committed)) == {backends.which().isa, "other"}
    assert guard.read(committed)["other"]["fractions"][B64.name] == 0.6
