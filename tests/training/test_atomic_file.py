"""A write leaves the old or the new file, never anything else."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time

import pytest

from fastpg.training import atomic_file
from fastpg.training.atomic_file import write_atomically

OLD, NEW = b"old" * 50_000, b"new!" * 50_000
CALLS = ("open", "write", "fsync", "close", "replace")
WRITE_CALLS = ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "model.fastpg"
    path.write_bytes(OLD)
    return path


class FailingOS:
    """The ``os`` module, with the ``k``-th of the watched calls made to act differently."""

    def __init__(self, k, act):
        self.k, self.act, self.count = k, act, 0

    def __getattr__(self, name):
        call = getattr(os, name)
        if name not in CALLS:
            return call

        def watched(*args, **kwargs):
            self.count += 1
            return self.act(name, call, args, kwargs) if self.count == self.k else call(*args, **kwargs)

        return watched


def fail_with(number):
    def act(name, call, args, kwargs):
        if name == "close":
            call(*args, **kwargs)  # a failing close has closed
        raise OSError(number, os.strerror(number))

    return act


def error_of(call, *args):
    """The OSError that ``call`` raises, or None."""
    try:
        call(*args)
    except OSError as error:
        return error
    return None


def test_writes_and_replaces(target):
    write_atomically(target, NEW)
    assert target.read_bytes() == NEW
    write_atomically(target.parent / "other", b"")
    assert (target.parent / "other").read_bytes() == b""
    assert sorted(os.listdir(target.parent)) == ["model.fastpg", "other"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_failure_of_every_call_leaves_a_whole_file(target, monkeypatch, number):
    for k in range(1, 100):
        target.write_bytes(OLD)
        failing = FailingOS(k, fail_with(number))
        monkeypatch.setattr(atomic_file, "os", failing)
        error = error_of(write_atomically, target, NEW)
        monkeypatch.setattr(atomic_file, "os", os)
        if error is None:
            break
        assert error.errno == number
        assert str(target) in str(error)
        is_new = "The new file is in place" in str(error)
        assert target.read_bytes() == (NEW if is_new else OLD)
        assert ("is intact" in str(error)) is not is_new
        assert os.listdir(target.parent) == ["model.fastpg"]
    assert k == len(WRITE_CALLS) + 1


def test_short_writes_are_continued(target, monkeypatch):
    class Dribbling:
        def __getattr__(self, name):
            return (lambda fd, data: os.write(fd, data[:7777])) if name == "write" else getattr(os, name)

    monkeypatch.setattr(atomic_file, "os", Dribbling())
    write_atomically(target, NEW)
    assert target.read_bytes() == NEW


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_death_at_every_call_leaves_a_whole_file(target, monkeypatch):
    for k in range(1, 100):
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(atomic_file, "os", FailingOS(k, lambda *_: os._exit(7)))
            write_atomically(target, NEW)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert target.read_bytes() in (OLD, NEW)
        target.write_bytes(OLD)
    assert k == len(WRITE_CALLS) + 1
    assert target.read_bytes() == NEW


def test_flushes_before_the_rename_and_the_directory_after(target, monkeypatch):
    names = []

    class Recording:
        def __getattr__(self, name):
            call = getattr(os, name)
            if name not in CALLS:
                return call
            return lambda *args, **kwargs: (names.append(name), call(*args, **kwargs))[1]

    monkeypatch.setattr(atomic_file, "os", Recording())
    write_atomically(target, NEW)
    assert names == WRITE_CALLS


KILLED_WRITER = """
import sys
from fastpg.training.atomic_file import write_atomically
generation = 0
while True:
    write_atomically(sys.argv[1], str(generation).encode() * 100_000)
    print(generation, flush=True)
    generation = (generation + 1) % 10
"""


def test_kill_leaves_a_whole_file_of_an_acknowledged_generation(tmp_path):
    target = tmp_path / "model.fastpg"
    for trial in range(5):
        child = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(target)], stdout=subprocess.PIPE)
        acknowledged = [child.stdout.readline() for _ in range(3 + trial)]
        time.sleep(0.0007 * trial)
        child.send_signal(signal.SIGKILL)
        acknowledged += child.stdout.read().splitlines()
        child.wait()
        child.stdout.close()
        content = target.read_bytes()
        assert len(content) == 100_000
        assert len(set(content)) == 1
        last = int(acknowledged[-1])
        assert int(content[:1]) in (last, (last + 1) % 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_file_size_limit(target):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(target, NEW)
        except OSError as error:
            os._exit(5 if error.errno == errno.EFBIG else 6)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 5
    assert target.read_bytes() == OLD
    assert os.listdir(target.parent) == ["model.fastpg"]


def test_interrupt_removes_the_temporary_file(target, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic_file, "os", FailingOS(3, interrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, NEW)
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert os.listdir(target.parent) == ["model.fastpg"]


def test_symbolic_link_is_followed(target):
    link = target.parent / "link"
    link.symlink_to(target)
    write_atomically(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW


def test_permissions(target):
    target.chmod(0o640)
    write_atomically(target, NEW)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    old_mask = os.umask(0o027)
    try:
        write_atomically(target.parent / "fresh", NEW)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE((target.parent / "fresh").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("make", "number", "reason"),
    [
        (lambda path: path / "missing" / "model", errno.ENOENT, "does not exist"),
        (lambda path: path, errno.EISDIR, "it is a directory"),
        (lambda path: path / ("x" * 300), errno.ENAMETOOLONG, "name too long"),
        (lambda path: "/dev/full", errno.EINVAL, "a device or a pipe"),
    ],
)
def test_impossible_targets(tmp_path, make, number, reason):
    with pytest.raises(OSError, match=reason) as caught:
        write_atomically(make(tmp_path), NEW)
    assert caught.value.errno == number
    assert os.listdir(tmp_path) == []


def test_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device or a pipe"):
        write_atomically(tmp_path / "pipe", NEW)


def test_old_temporary_files_are_swept(target):
    stale, young = (target.parent / f".fastpg-{digit * 16}.tmp" for digit in "01")
    for path in (stale, young):
        path.write_bytes(b"x")
    os.utime(stale, (time.time() - 7200,) * 2)
    write_atomically(target, NEW)
    assert not stale.exists()
    assert young.exists()
