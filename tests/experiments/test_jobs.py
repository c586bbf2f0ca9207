"""Jobs in processes: all are run, failures do not stop the others, nothing is left behind."""

import multiprocessing
import os

import pytest

from fastpg.errors import ConfigError
from fastpg.experiments.experiment import finished_jobs, pending_jobs
from fastpg.experiments.jobs import run_jobs
from tests.experiments.tools import FakeJob


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_all_jobs_are_run_and_failures_are_reported(tmp_path, n_jobs):
    whats = ["write", "refuse", "write", "crash"] + (["die"] if n_jobs > 1 else [])
    jobs = [FakeJob(tmp_path / str(index), what) for index, what in enumerate(whats)]
    events = []
    assert run_jobs(jobs, n_jobs=n_jobs, on_event=events.append) == len(whats) - 2
    ends = {event.index: event for event in events if event.kind != "progress"}
    assert [ends[index].kind == "finished" for index in range(len(jobs))] == [what == "write" for what in whats]
    assert len([event for event in events if event.kind != "progress"]) == len(jobs)
    assert ends[0].text == "written"
    assert ends[1].text == "no such thing"
    assert "ZeroDivisionError: a bug" in ends[3].text
    if n_jobs > 1:
        assert ends[4].text == "its process ended with exit code 3"
        assert (tmp_path / "0").read_text() != str(os.getpid())
    assert {event.index for event in events if event.kind == "progress"} == set(range(len(jobs)))


def test_an_interruption_ends_the_processes(tmp_path):
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([FakeJob(tmp_path / str(i), "wait") for i in range(2)], n_jobs=2, on_event=interrupt)
    assert not multiprocessing.active_children()


def test_finished_jobs_are_pending_only_when_overwritten(tmp_path):
    jobs = [FakeJob(tmp_path / "a"), FakeJob(tmp_path / "b")]
    jobs[0].path.write_text("")
    assert pending_jobs(jobs, overwrite=False) == jobs[1:]
    assert pending_jobs(jobs, overwrite=True) == jobs
    assert finished_jobs(jobs) == jobs[:1]


def test_results_of_other_settings_are_neither_drawn_nor_replaced(tmp_path):
    class Other(FakeJob):
        def is_finished(self):
            raise ConfigError("other settings")

    jobs = [Other(tmp_path / "a")]
    assert finished_jobs(jobs) == []
    with pytest.raises(ConfigError, match="other settings"):
        pending_jobs(jobs, overwrite=False)
