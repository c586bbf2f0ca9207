"""What is saved is loaded; anything else is refused with a reason, and nothing in a file is executed."""

import io
import json
import math
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpg.errors import CheckpointError, CheckpointVersionError, NumericsError
from fastpg.training.checkpoint import (
    FORMAT_VERSION,
    MAX_HEADER_BYTES,
    decode_checkpoint,
    encode_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from fastpg.version import __version__

ARRAYS = {
    "policy/0/weight": np.arange(12, dtype=np.float32).reshape(4, 3),
    "adam/step": np.array(7, dtype=np.int64),
    "normalizer/mean": np.linspace(0, 1, 4),
    "env/terminated": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "bytes": np.arange(5, dtype=np.uint8),
}
METADATA = {"algorithm": "PPO", "config": {"gamma": 0.99, "clip_range_vf": None, "sizes": [64, 64]}, "iteration": 3}
GOOD = encode_checkpoint(ARRAYS, METADATA)


def with_header(change, data=GOOD):
    """``data`` with its header replaced by ``change(header)``; the digest is not mended."""
    end = 8 + int.from_bytes(data[:8], "little")
    changed = change(json.loads(data[8:end]))
    text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    return len(text).to_bytes(8, "little") + text + data[end:]


def set_metadata(**entries):
    return lambda header: header | {"__metadata__": header["__metadata__"] | entries}


def set_tensor(**entries):
    name = "policy/0/weight"
    return lambda header: header | {name: header[name] | entries}


def test_round_trip(tmp_path):
    path = tmp_path / "model.fastpg"
    save_checkpoint(path, ARRAYS, METADATA)
    arrays, metadata = load_checkpoint(path)
    assert metadata == METADATA | {"format_version": FORMAT_VERSION, "fastpg_version": __version__}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert array.shape == ARRAYS[name].shape
        assert array.flags.writeable
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_the_library_opens_it(tmp_path):
    path = tmp_path / "model.fastpg"
    save_checkpoint(path, ARRAYS, METADATA)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata()["format"] == "fastpg"
        assert json.loads(file.metadata()["config"]) == METADATA["config"]
        np.testing.assert_array_equal(file.get_tensor("policy/0/weight"), ARRAYS["policy/0/weight"])


def test_same_state_same_bytes():
    assert encode_checkpoint(dict(reversed(ARRAYS.items())), dict(reversed(METADATA.items()))) == GOOD


def test_infinities_in_metadata():
    values = {"a": [math.inf, {"b": -math.inf}], "c": (1, 2)}
    _, metadata = decode_checkpoint(encode_checkpoint({}, values))
    assert metadata["a"] == values["a"]
    assert metadata["c"] == [1, 2]
    _, metadata = decode_checkpoint(encode_checkpoint({}, {"x": math.nan}))
    assert math.isnan(metadata["x"])


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1, ::2],
        np.asfortranarray,
        lambda a: a.astype(">f4"),
        lambda a: np.broadcast_to(a[0], (3, a.shape[1])),
    ],
)
def test_any_memory_layout(view):
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6))
    arrays, _ = decode_checkpoint(encode_checkpoint({"a": array}, {}))
    np.testing.assert_array_equal(arrays["a"], array)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.text(max_size=10), st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists))
)
def test_metadata_round_trip(metadata):
    _, loaded = decode_checkpoint(encode_checkpoint({}, {"m": metadata}))
    assert repr(loaded["m"]) == repr(dict(sorted(metadata.items()))) or loaded["m"] == metadata


# --- damage --------------------------------------------------------------------------------------------------------


def test_every_prefix_is_refused_as_truncated():
    for size in range(len(GOOD)):
        with pytest.raises(CheckpointError, match=rf"truncated: it needs .*\d+ bytes and has {size}"):
            decode_checkpoint(GOOD[:size])


def test_every_flipped_bit_is_refused():
    for position in range(len(GOOD)):
        data = bytearray(GOOD)
        data[position] ^= 1 << position % 8
        with pytest.raises(CheckpointError):
            decode_checkpoint(data)


def test_flipped_value_is_found_by_the_digest():
    data = bytearray(GOOD)
    data[-1] ^= 1
    with pytest.raises(CheckpointError, match="SHA-256 digest does not match"):
        decode_checkpoint(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data):
    with pytest.raises(CheckpointError):
        decode_checkpoint(data)
    with pytest.raises(CheckpointError):
        decode_checkpoint(len(data).to_bytes(8, "little") + data)


BAD_HEADERS = {
    "not JSON": (lambda _: b"{nonsense", "header is not valid JSON"),
    "not UTF-8": (lambda _: b"\xff\xfe{}", "header is not valid JSON"),
    "not an object": (lambda _: [1, 2], "not a JSON object"),
    "deep": (lambda _: b"[" * 100_000 + b"]" * 100_000, "header is not valid JSON"),
    "key twice": (lambda _: b'{"a": 1, "a": 2}', "a key appears twice"),
    "NaN": (lambda _: b'{"a": NaN}', "NaN is not JSON"),
    "huge integer": (lambda _: b'{"a": ' + b"9" * 10_000 + b"}", "header is not valid JSON"),
    "no metadata": (lambda h: {k: v for k, v in h.items() if k != "__metadata__"}, "another program"),
    "foreign format": (set_metadata(format="pt"), "another program"),
    "no version": (set_metadata(min_reader_version="x"), "format version"),
    "metadata not JSON": (set_metadata(config="{"), "metadata is not valid JSON"),
    "metadata not text": (set_metadata(config=3), "metadata is not valid JSON"),
    "no digest": (lambda h: {k: v for k, v in h.items() if k != "__digest__"}, "damaged"),
    "unknown type": (set_tensor(dtype="F128"), "unknown type"),
    "type not text": (set_tensor(dtype=["F32"]), "unknown type"),
    "huge shape": (set_tensor(shape=[1 << 62, 1 << 62]), "does not fill"),
    "negative shape": (set_tensor(shape=[-4, -3]), "impossible shape"),
    "boolean shape": (set_tensor(shape=[True, 12]), "impossible shape"),
    "many dimensions": (set_tensor(shape=[1] * 9), "impossible shape"),
    "negative offset": (set_tensor(data_offsets=[-48, 0]), "impossible data_offsets"),
    "float offset": (set_tensor(data_offsets=[0.0, 48.0]), "impossible data_offsets"),
    "three offsets": (set_tensor(data_offsets=[0, 24, 48]), "impossible data_offsets"),
    "reversed offsets": (set_tensor(data_offsets=[48, 0]), "does not fill"),
    "overlap": (set_tensor(data_offsets=[0, 48]), "begins at byte"),
    "hole": (set_tensor(data_offsets=[1000, 1048]), "begins at byte"),
    "extra entry": (set_tensor(code="import os"), "not described by"),
    "not described": (lambda h: h | {"x": 3}, "not described by"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers(case):
    change, reason = BAD_HEADERS[case]
    with pytest.raises(CheckpointError, match=reason):
        decode_checkpoint(with_header(change))


def test_too_many_arrays():
    many = {f"a{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(10_001)}
    with pytest.raises(CheckpointError, match="10002 arrays"):
        decode_checkpoint(with_header(lambda h: many | {k: h[k] for k in ("__metadata__", "__digest__")}))


@pytest.mark.parametrize("length", [0, 1, MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_header_length_out_of_range(length):
    with pytest.raises(CheckpointError, match="does not begin like one"):
        decode_checkpoint(length.to_bytes(8, "little") + GOOD[8:])


@pytest.mark.parametrize("start", [GOOD, b"", b"hello " * 10], ids=["good", "zeros", "text"])
def test_a_huge_file_is_refused_without_reading_it(tmp_path, start):
    path = tmp_path / "model.fastpg"
    path.write_bytes(start)
    os.truncate(path, 10**10)  # sparse: takes no space on the disk
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_trailing_bytes():
    with pytest.raises(CheckpointError, match="bytes after the end"):
        decode_checkpoint(GOOD + b"x")


# --- other files ---------------------------------------------------------------------------------------------------


class Bomb:
    """Unpickling this would create the file named by the environment variable."""

    def __reduce__(self):
        return os.mkdir, (os.environ["FASTPG_TEST_CANARY"],)


def zip_of_pickle():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", pickle.dumps(Bomb()))
    return buffer.getvalue()


FOREIGN_FILES = {
    "pickle": (lambda: pickle.dumps(Bomb()), "Python pickle"),
    "zip": (zip_of_pickle, "zip archive"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(20), "gzip"),
    "text": (lambda: b"hello, this is a long enough text file", "not a fastpg checkpoint"),
    "empty": (lambda: b"", "truncated"),
    "safetensors": (lambda: safetensors.numpy.save({"a": np.zeros(3)}), "another program"),
    "zeros": (lambda: bytes(1000), "does not begin like one"),
}


@pytest.mark.parametrize("kind", FOREIGN_FILES)
def test_foreign_files_are_refused_and_not_executed(tmp_path, monkeypatch, kind):
    make, reason = FOREIGN_FILES[kind]
    canary = tmp_path / "executed"
    monkeypatch.setenv("FASTPG_TEST_CANARY", str(canary))
    path = tmp_path / "model.fastpg"
    path.write_bytes(make())
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert not canary.exists()


def test_newer_format():
    data = with_header(set_metadata(min_reader_version="2", format_version="3", fastpg_version="9.1"))
    with pytest.raises(CheckpointVersionError, match=r"written by fastpg 9\.1 in format 3.*reads up to 1.*pip install"):
        decode_checkpoint(data, source="model.fastpg")


def test_newer_format_that_is_still_readable():
    data = bytearray(with_header(set_metadata(format_version="2")))
    begin = data.index(b'"U8", "shape": [32]')
    assert begin > 0
    with pytest.raises(CheckpointError, match="digest"):  # found readable, then the digest is checked
        decode_checkpoint(data)


def test_missing_and_odd_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        load_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="a device or a pipe"):
        load_checkpoint(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="a device or a pipe"):
        load_checkpoint("/dev/zero")


# --- what is not saved ---------------------------------------------------------------------------------------------


def test_non_finite_arrays_are_neither_saved_nor_loaded(tmp_path, monkeypatch):
    path = tmp_path / "model.fastpg"
    save_checkpoint(path, ARRAYS, METADATA)
    before = path.read_bytes()
    bad = {"w": np.array([1.0, np.nan])}
    with pytest.raises(NumericsError, match="'w' holds NaN or infinity"):
        save_checkpoint(path, bad, {})
    assert path.read_bytes() == before
    monkeypatch.setattr(np, "isfinite", lambda array: np.ones_like(array, bool))
    data = encode_checkpoint(bad, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="'w' holds NaN or infinity"):
        decode_checkpoint(data)
    arrays, _ = decode_checkpoint(data, allow_nonfinite=True)
    assert np.isnan(arrays["w"][1])


@pytest.mark.parametrize(
    "arrays",
    [
        {"__digest__": np.zeros(1)},
        {"": np.zeros(1)},
        {"a": np.array([object()])},
        {"a": np.array(["text"])},
        {"a": np.zeros(1, complex)},
        {"a": np.zeros((1,) * 9)},
    ],
)
def test_arrays_that_the_format_does_not_hold(arrays):
    with pytest.raises(CheckpointError, match="expected a name"):
        encode_checkpoint(arrays, {})


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": {1, 2}}, {"format": "x"}])
def test_metadata_that_the_format_does_not_hold(metadata):
    with pytest.raises(CheckpointError, match="metadata"):
        encode_checkpoint({}, metadata)


def test_header_limit():
    with pytest.raises(CheckpointError, match="too large"):
        encode_checkpoint({}, {"a": "x" * MAX_HEADER_BYTES})
