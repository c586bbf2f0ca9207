"""Writing a file so that at every moment, a crash included, the old or the new one is whole.

The bytes go to a temporary file in the same directory, which is flushed to disk and then renamed over the target;
then the directory is flushed, so that the rename survives a power loss.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = re.compile(r"\.fastpg-[0-9a-f]{16}\.tmp")
_STALE_AFTER_S = 3600.0


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace ``path`` by a file holding ``data``, or leave it exactly as it was.

    A symbolic link is followed: the file it points to is replaced, the link stays. An existing file's permissions are
    kept. Temporary files that a killed process left here over an hour ago are removed.

    Args:
        path: the target; its directory must exist.
        data: the whole content.

    Raises:
        OSError: with the system's error number, naming ``path``; the previous file is intact.
    """
    target = Path(os.path.realpath(path))
    with _explained(target, "The previous file, if there was one, is intact."):
        _check_replaceable(target)
        _write_and_rename(target, data)
    with _explained(target, "The new file is in place, but may not survive a power loss."):
        _sync_directory(target.parent)
    with suppress(OSError):
        _remove_stale(target.parent)


def _write_and_rename(target: Path, data: bytes) -> None:
    temporary = target.parent / f".fastpg-{secrets.token_hex(8)}.tmp"
    try:
        _write_through(temporary, data, _mode_of(target))
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _write_through(path: Path, data: bytes, mode: int | None) -> None:
    """Create ``path`` with ``data`` and wait until the disk has it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    """Make a rename in ``directory`` durable, where the system can (not on Windows, nor on every file system)."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _check_replaceable(target: Path) -> None:
    """Refuse what a rename would wrongly replace: a directory, a device, a pipe."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a directory, expected a file name")
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is a device or a pipe, expected an ordinary file")


def _mode_of(target: Path) -> int | None:
    """Permission bits of an existing ``target``; None where there is none (the umask decides then)."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


@contextmanager
def _explained(target: Path, state: str) -> Iterator[None]:
    """Give an OSError the target's name and say what became of the file; the error number is kept."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            reason = f"the directory {target.parent} does not exist"
        raise OSError(error.errno, f"Could not write {target}: {reason}. {state}") from error


def _remove_stale(directory: Path) -> None:
    """Remove temporary files of processes that were killed while writing."""
    with os.scandir(directory) as entries:
        stale = [entry.path for entry in entries if _TEMPORARY.fullmatch(entry.name) and _is_stale(entry)]
    for path in stale:
        with suppress(OSError):
            os.unlink(path)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_AFTER_S
