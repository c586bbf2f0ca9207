"""Reading the tensors in a file that ``torch.save`` wrote, without PyTorch and without running what is in it.

Such a file is a zip archive: ``data.pkl`` describes the object, a pickle, and ``data/<key>`` hold the numbers of the
tensors. A pickle is a program for a stack machine. The machine here knows dicts, lists, tuples, numbers and texts, and
of everything that a pickle may call only the two functions that make an ordered dict and a tensor; anything else is
refused, so nothing is imported and nothing runs.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.errors import CheckpointError

Array = NDArray[Any]

MAX_MEMBER_BYTES = 1 << 28  # of one tensor or description; an MLP has some hundred kB
MAX_MEMBERS = 10_000
MAX_DIMENSIONS = 8
_MAX_USES = 4  # of the numbers in a file by tensors, on average

_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "BoolStorage": np.dtype("?"),
}
_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_MARK = object()


class Refused(Exception):  # noqa: N818 - becomes a CheckpointError
    """The description asks for something that the machine does not do."""


class Archive:
    """A zip archive in memory, whose members are read up to a limit.

    Args:
        data: its bytes.
        name: for messages.

    Raises:
        CheckpointError: it is damaged or has too many members.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
            self._members = {info.filename: info for info in self._file.infolist()}
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise CheckpointError(f"{name} is damaged: it is not a readable zip archive ({error}).") from error
        if len(self._members) > MAX_MEMBERS:
            raise CheckpointError(f"{name}: expected at most {MAX_MEMBERS} members, got {len(self._members)}.")

    def __contains__(self, member: str) -> bool:
        return member in self._members

    @property
    def members(self) -> list[str]:
        """Names of the members."""
        return list(self._members)

    def read(self, member: str) -> bytes:
        """The content of ``member``.

        Raises:
            CheckpointError: there is none, it is damaged, or larger than the limit.
        """
        if member not in self._members:
            raise CheckpointError(f"{self.name} is not complete: it has no {member!r}.")
        try:
            with self._file.open(self._members[member]) as file:
                content = file.read(MAX_MEMBER_BYTES + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            ValueError,
            OSError,
            EOFError,
        ) as error:
            raise CheckpointError(f"{self.name} is damaged: {member!r} cannot be read ({error}).") from error
        if len(content) > MAX_MEMBER_BYTES:
            raise CheckpointError(f"{self.name}: {member!r} is larger than {MAX_MEMBER_BYTES} bytes.")
        return content


def read_torch_file(data: bytes, name: str) -> Any:
    """The object in a file of ``torch.save`` (since PyTorch 1.6): dicts, lists, numbers, texts, arrays for tensors.

    Args:
        data: the file.
        name: for messages.

    Raises:
        CheckpointError: it is damaged, or holds anything else.
    """
    archive = Archive(data, name)
    pickles = [member for member in archive.members if member.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise CheckpointError(f"{name} is not a file of torch.save: expected one data.pkl, got {len(pickles)}.")
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive and archive.read(order) != b"little":
        raise CheckpointError(f"{name}: expected little-endian tensors, got {archive.read(order)[:20]!r}.")
    try:
        machine = _Machine(lambda key: archive.read(f"{folder}data/{key}"), max_bytes=_MAX_USES * len(data))
        return machine.run(archive.read(pickles[0]))
    except CheckpointError:
        raise
    except Refused as refused:
        raise CheckpointError(
            f"{name} holds more than numbers, texts and tensors ({refused}), and fastpg runs nothing from a file."
        ) from None
    except Exception as error:  # whatever a damaged description leads to
        raise CheckpointError(f"{name} is damaged: its description cannot be followed ({error!r}).") from error


class _Storage:
    """The numbers of a tensor: type and key of the member that has them."""

    def __init__(self, dtype: Any, key: str) -> None:
        self.dtype, self.key = dtype, key


class _Global:
    """A name that the pickle refers to."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Machine:
    """Follows the instructions of a pickle.

    Args:
        read: content of a storage by key.
        max_bytes: of all tensors together.
    """

    def __init__(self, read: Callable[[str], bytes], *, max_bytes: int) -> None:
        self._read = read
        self._n_bytes_left = max_bytes
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._actions: Mapping[str, Callable[[Any], Any]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), self._stack.append),
            **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), self._stack.append),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._put),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda index: self._stack.append(self._memo[index])),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "MARK": lambda _: self._stack.append(_MARK),
            "TUPLE": lambda _: self._stack.append(tuple(self._to_mark())),
            "TUPLE1": lambda _: self._stack.append(tuple(self._pop(1))),
            "TUPLE2": lambda _: self._stack.append(tuple(self._pop(2))),
            "TUPLE3": lambda _: self._stack.append(tuple(self._pop(3))),
            "APPEND": lambda _: self._extend(self._pop(1)),
            "APPENDS": lambda _: self._extend(self._to_mark()),
            "SETITEM": lambda _: self._update(self._pop(2)),
            "SETITEMS": lambda _: self._update(self._to_mark()),
            "GLOBAL": lambda name: self._stack.append(_Global(name)),
            "STACK_GLOBAL": lambda _: self._stack.append(_Global(" ".join(self._pop(2)))),
            "BINPERSID": lambda _: self._load_storage(),
            "REDUCE": lambda _: self._call(),
            "BUILD": lambda _: self._stack.pop(),  # attributes of the ordered dict: versions, of no use here
        }

    def run(self, pickle: bytes) -> Any:
        """The object that ``pickle`` describes."""
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name not in self._actions:
                raise Refused(f"instruction {opcode.name}")
            self._actions[opcode.name](argument)
        raise Refused("no end")

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _pop(self, n: int) -> list[Any]:
        items = [self._stack.pop() for _ in range(n)]
        if any(item is _MARK for item in items):
            raise Refused("a misplaced mark")
        return items[::-1]

    def _to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise Refused("appending to something else than a list")
        self._stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise Refused("setting an item of something else than a dict")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _load_storage(self) -> None:
        (described,) = self._pop(1)
        kind, storage, key, _device, _size = described
        module, _, name = storage.name.rpartition(" ") if isinstance(storage, _Global) else ("", "", "")
        if kind != "storage" or module != "torch" or name not in _DTYPES or not str(key).isdecimal():
            raise Refused(f"storage {name or described!r:.60}")
        self._stack.append(_Storage(_DTYPES[name], str(key)))

    def _call(self) -> None:
        function, arguments = self._pop(2)
        name = function.name if isinstance(function, _Global) else repr(function)[:60]
        if name == _ORDERED_DICT and arguments == ():
            self._stack.append({})
        elif name == _TENSOR:
            self._stack.append(self._tensor(*arguments))
        else:
            raise Refused(f"a call of {name.replace(' ', '.')}")

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Array:
        del rest  # whether it needs a gradient, hooks
        numbers = np.frombuffer(self._read(storage.key), storage.dtype)
        sizes = (offset, *shape, *strides)
        if (
            len(shape) != len(strides)
            or len(shape) > MAX_DIMENSIONS
            or not all(type(n) is int and n >= 0 for n in sizes)
        ):
            raise Refused("an impossible shape")
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if 0 in shape:
            return np.zeros(shape, storage.dtype)
        n_bytes = math.prod(shape) * numbers.itemsize
        if last >= numbers.size or n_bytes > numbers.nbytes:
            raise Refused("a tensor beyond its numbers")
        self._n_bytes_left -= n_bytes
        if self._n_bytes_left < 0:
            raise Refused("the same numbers again and again")
        bytes_between = [stride * numbers.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, bytes_between, writeable=False)
        return np.array(view)
