"""Checkpoints: one safetensors file of arrays and JSON. Reading one executes nothing.

The file opens in any safetensors reader. Its ``__metadata__`` holds ``format="fastpg"``, the versions, and every entry
of the metadata as JSON text. The tensor ``__digest__`` (32 bytes) is the SHA-256 of all other bytes of the file, header
included. Files are written atomically (`fastpg.training.atomic_file`) and checked in full before anything is used: size
limits, structure, digest, finite values. The header is parsed here, strictly, because its limits are ours; the
``safetensors`` library turns arrays into bytes and back.

The same state gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from fastpg.errors import CheckpointError, CheckpointVersionError, NumericsError
from fastpg.training.atomic_file import write_atomically
from fastpg.version import __version__

Arrays = dict[str, NDArray[Any]]

FORMAT = "fastpg"
FORMAT_VERSION = 1
MIN_READER_VERSION = 1
MAX_HEADER_BYTES = 1 << 20
MAX_TENSORS = 10_000
MAX_DIMENSIONS = 8

_DIGEST = "__digest__"
_LENGTH_BYTES = 8
_TYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
_ITEM_SIZES = {name: 1 if name == "BOOL" else int(name[1:]) // 8 for name in _TYPES}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (a stable-baselines3 model, perhaps, which the models of fastpg.sb3 load)",
    b"\x80": "a Python pickle, which fastpg never loads because pickles can run code",
    b"\x1f\x8b": "a gzip file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array file",
}


def save_checkpoint(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write ``arrays`` and ``metadata`` to ``path`` atomically: afterwards the old or the new file is there, whole.

    Args:
        path: the file; its directory must exist.
        arrays: by name; real numbers, integers or booleans, any shape up to 8 dimensions, floats finite.
        metadata: JSON-able values by name; infinities and NaN are kept.

    Raises:
        OSError: the file could not be written; the previous one is intact.
        NumericsError: an array holds NaN or infinity.
        CheckpointError: a name, type or size that the format does not hold.
    """
    write_atomically(path, encode_checkpoint(arrays, metadata))


def load_checkpoint(path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> tuple[Arrays, dict[str, Any]]:
    """Read and check the file that ``save_checkpoint`` wrote.

    Args:
        path: the file.
        allow_nonfinite: accept NaN and infinity in arrays, to look into a file from elsewhere.

    Returns:
        (arrays, metadata): fresh writable arrays; the metadata, with ``format_version`` and ``fastpg_version`` added.

    Raises:
        OSError: the file cannot be read.
        CheckpointVersionError: written by a newer fastpg, in a format that this one does not read.
        CheckpointError: truncated, damaged, not a fastpg checkpoint, or not finite.
    """
    source = str(path)
    with _open(Path(path)) as file:
        return _decode(file, os.fstat(file.fileno()).st_size, source, allow_nonfinite=allow_nonfinite)


def encode_checkpoint(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint; see ``save_checkpoint`` for arguments and errors."""
    tensors = {name: _storable(name, array) for name, array in arrays.items()}
    tensors[_DIGEST] = np.zeros(hashlib.sha256().digest_size, np.uint8)
    raw = safetensors.numpy.save(tensors)
    header_end = _LENGTH_BYTES + int.from_bytes(raw[:_LENGTH_BYTES], "little")
    header = json.loads(raw[_LENGTH_BYTES:header_end]) | {"__metadata__": _text_metadata(metadata)}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES or len(tensors) > MAX_TENSORS:
        raise CheckpointError(
            f"Checkpoint too large: expected a header of at most {MAX_HEADER_BYTES} bytes and at most {MAX_TENSORS} "
            f"arrays, got {len(text)} bytes and {len(tensors)} arrays."
        )
    data = bytearray(len(text).to_bytes(_LENGTH_BYTES, "little") + text + raw[header_end:])
    begin, end = (_LENGTH_BYTES + len(text) + offset for offset in header[_DIGEST]["data_offsets"])
    data[begin:end] = _digest(data, begin, end)
    return bytes(data)


def decode_checkpoint(
    data: bytes | bytearray, *, source: str = "checkpoint", allow_nonfinite: bool = False
) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and metadata from the bytes of a checkpoint; ``source`` names it in errors. See ``load_checkpoint``."""
    return _decode(io.BytesIO(data), len(data), source, allow_nonfinite=allow_nonfinite)


# --- writing -------------------------------------------------------------------------------------------------------


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """``array`` as the library takes it: contiguous; its name, type and values checked."""
    array = np.asarray(array, order="C")
    if not name or name.startswith("__") or array.dtype.kind not in "fiub" or array.ndim > MAX_DIMENSIONS:
        raise CheckpointError(
            f"Array {name!r}: expected a name not starting with '__', a numeric or boolean type and at most "
            f"{MAX_DIMENSIONS} dimensions, got {array.dtype} with {array.ndim} dimensions."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NumericsError(f"Array {name!r} holds NaN or infinity: not saved. The previous file is intact.")
    return array


def _text_metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Every entry as JSON text beside the format's own; safetensors allows strings only."""
    own = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "min_reader_version": str(MIN_READER_VERSION),
        "fastpg_version": __version__,
    }
    clash = own.keys() & metadata.keys()
    if clash:
        raise CheckpointError(f"Checkpoint metadata: the names {', '.join(sorted(clash))} are taken by the format.")
    try:
        texts = {key: json.dumps(_tagged(value), sort_keys=True, allow_nan=False) for key, value in metadata.items()}
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"Checkpoint metadata: expected values that JSON can hold: {error}.") from error
    return own | texts


def _tagged(value: Any) -> Any:
    """``value`` with infinities and NaN, which JSON does not have, as ``{"float": "inf"}``."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(float(value))}
    if isinstance(value, Mapping):
        return {key: _tagged(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tagged(item) for item in value]
    return value


def _untagged(item: dict[str, Any]) -> Any:
    """The inverse of ``_tagged``, as a JSON object hook."""
    if item.keys() == {"float"} and item["float"] in ("inf", "-inf", "nan"):
        return float(item["float"])
    return item


def _digest(data: bytes | bytearray, begin: int, end: int) -> bytes:
    """SHA-256 of everything in ``data`` but the digest itself, which lies at ``begin:end``."""
    digest = hashlib.sha256(memoryview(data)[:begin])
    digest.update(memoryview(data)[end:])
    return digest.digest()


# --- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tensor:
    """Where the header says that a tensor lies: offsets in bytes after the header."""

    begin: int
    end: int


def _open(path: Path) -> BinaryIO:
    """``path`` opened for reading, if it is an ordinary file."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: expected a checkpoint file. Fix: name the .fastpg file in it.")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        _fail(str(path), "not an ordinary file, but a device or a pipe")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, f"There is no checkpoint {path}") from error


def _decode(file: BinaryIO, size: int, source: str, *, allow_nonfinite: bool) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and metadata from ``file``, whose tensors are read after its header has explained its ``size``."""
    start = file.read(_LENGTH_BYTES + 1)
    header_end = _header_end(start, size, source)
    start += file.read(header_end - len(start))
    header = _parse_header(start[_LENGTH_BYTES:], source)
    metadata = _parse_metadata(header.pop("__metadata__", None), source)
    tensors = _check_tensors(header, source)
    expected_size = header_end + max(tensor.end for tensor in tensors.values())
    if size != expected_size:
        kind = "truncated" if size < expected_size else "damaged (bytes after the end)"
        _fail(source, f"{kind}: it needs {expected_size} bytes and has {size}")
    data = start + file.read()
    begin, end = header_end + tensors[_DIGEST].begin, header_end + tensors[_DIGEST].end
    if len(data) != size or data[begin:end] != _digest(data, begin, end):
        _fail(source, "damaged: its SHA-256 digest does not match its content")
    arrays = safetensors.numpy.load(data)
    del arrays[_DIGEST]
    if not allow_nonfinite:
        _check_finite(arrays, source)
    return {name: np.require(array, requirements=["W"]) for name, array in sorted(arrays.items())}, metadata


def _header_end(start: bytes, size: int, source: str) -> int:
    """Offset of the first tensor, from the first bytes and the size of the file."""
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic) and size > _LENGTH_BYTES and start[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
            _fail(source, f"not a fastpg checkpoint, but {kind}")
    if size < _LENGTH_BYTES:
        _fail(source, f"truncated: it needs at least {_LENGTH_BYTES} bytes and has {size}")
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if not 2 <= length <= MAX_HEADER_BYTES:
        _fail(source, "not a fastpg checkpoint: it does not begin like one")
    if size < _LENGTH_BYTES + length:
        _fail(source, f"truncated: it needs at least {_LENGTH_BYTES + length} bytes and has {size}")
    return _LENGTH_BYTES + length


def _parse_header(text: bytes, source: str) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{source} is not a fastpg checkpoint: its header is not valid JSON ({error})."
        ) from error
    if not isinstance(header, dict):
        _fail(source, "not a fastpg checkpoint: its header is not a JSON object")
    return header


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) != len(pairs):
        raise ValueError("a key appears twice")
    return item


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _parse_metadata(texts: Any, source: str) -> dict[str, Any]:
    """The metadata, after format and version have been found readable."""
    if not isinstance(texts, dict) or texts.get("format") != FORMAT:
        _fail(source, "not a fastpg checkpoint (a safetensors file of another program, perhaps)")
    texts = dict(texts)
    del texts["format"]
    writer = texts.pop("fastpg_version", "?")
    try:
        version, min_reader = int(texts.pop("format_version")), int(texts.pop("min_reader_version"))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source} is damaged: its format version is missing or not a number.") from error
    if min_reader > FORMAT_VERSION:
        raise CheckpointVersionError(
            f"{source} was written by fastpg {writer} in format {version}, to be read from format {min_reader} on; "
            f"this fastpg {__version__} reads up to {FORMAT_VERSION}. Fix: pip install --upgrade fastpg"
        )
    try:
        values = {
            key: json.loads(text, object_hook=_untagged, parse_constant=_refuse_constant) for key, text in texts.items()
        }
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{source} is damaged: its metadata is not valid JSON ({error}).") from error
    return values | {"format_version": version, "fastpg_version": writer}


def _check_tensors(header: dict[str, Any], source: str) -> dict[str, _Tensor]:
    """The tensors of ``header``, which must lie one after the other without holes, the digest among them."""
    if len(header) > MAX_TENSORS:
        _fail(source, f"damaged: it lists {len(header)} arrays, at most {MAX_TENSORS} are allowed")
    tensors = {name: _check_tensor(name, entry, source) for name, entry in header.items()}
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            _fail(source, f"damaged: array {name!r} begins at byte {tensor.begin}, expected {position}")
        position = tensor.end
    if _DIGEST not in tensors or header[_DIGEST]["dtype"] != "U8" or header[_DIGEST]["shape"] != [32]:
        _fail(source, "damaged: it has no SHA-256 digest")
    return tensors


def _check_tensor(name: str, entry: Any, source: str) -> _Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _fail(source, f"damaged: array {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_SIZES:
        _fail(source, f"damaged: array {name!r} has the unknown type {dtype!r}")
    if not _is_counts(shape) or len(shape) > MAX_DIMENSIONS:
        _fail(source, f"damaged: array {name!r} has an impossible shape")
    if not _is_counts(offsets) or len(offsets) != 2:
        _fail(source, f"damaged: array {name!r} has impossible data_offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * _ITEM_SIZES[dtype]:
        _fail(source, f"damaged: array {name!r} of shape {shape} and type {dtype} does not fill bytes {begin} to {end}")
    return _Tensor(begin, end)


def _is_counts(value: Any) -> bool:
    """A list of non-negative integers below 2^63 (booleans are none)."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def _check_finite(arrays: Arrays, source: str) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            _fail(source, f"not usable: array {name!r} holds NaN or infinity")


def _fail(source: str, what: str) -> NoReturn:
    raise CheckpointError(f"{source} is {what}.")
