"""Logs of a training run: values are recorded under keys, and ``dump`` hands them to sinks.

A sink is a console table, a CSV file, a JSON-lines file or TensorBoard. The interface (``record``, ``record_mean``,
``dump``, ``log``, ``configure``) is stable-baselines3's. A sink that cannot write, on a full disk for instance, is
reported once with a warning; training goes on.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastpg.errors import ConfigError
from fastpg.training.metrics import csv_columns, sort_keys

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Value = float | int | bool | str


class Sink:
    """Where dumped values go. Subclasses set ``name`` (for ``exclude``) and override ``write``."""

    name = "sink"

    def write(self, values: Mapping[str, Value], step: int) -> None:
        """Take one dump: ``values`` by key at ``step`` environment steps."""
        raise NotImplementedError

    def message(self, text: str) -> None:
        """Take a line of text; ignored by sinks that hold numbers only."""

    def close(self) -> None:
        """Release what the sink holds. May be called twice."""


class Logger:
    """Collects values under keys and passes them to its sinks.

    Args:
        sinks: where ``dump`` writes; none means that values are only collected.
    """

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self.sinks = list(sinks)
        self.name_to_value: dict[str, Value] = {}
        self._excluded: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._failed: set[Sink] = set()

    def record(self, key: str, value: Any, exclude: str | Sequence[str] | None = None) -> None:
        """Set ``key`` to ``value`` for the next dump.

        Args:
            key: ``group/name``.
            value: a number (NumPy scalars too) or a string.
            exclude: names of sinks that shall not get it, such as ``"tensorboard"``.

        Raises:
            TypeError: ``value`` is neither a number nor a string.
        """
        self.name_to_value[key] = _plain(key, value)
        self._excluded[key] = (exclude,) if isinstance(exclude, str) else tuple(exclude or ())

    def record_mean(self, key: str, value: Any, exclude: str | Sequence[str] | None = None) -> None:
        """Average ``value`` with the ones given under ``key`` since the last dump; ``None`` is left out."""
        if value is None:
            return
        count = self._counts[key]
        mean = float(self.name_to_value.get(key, 0.0)) if count else 0.0
        self.record(key, mean + (float(value) - mean) / (count + 1), exclude)
        self._counts[key] = count + 1

    def dump(self, step: int = 0) -> None:
        """Hand everything recorded to the sinks, as the state at ``step`` environment steps, and forget it."""
        for sink in self.sinks:
            values = {key: value for key, value in self.name_to_value.items() if sink.name not in self._excluded[key]}
            self._guarded(sink, lambda sink=sink, values=values: sink.write(values, step))
        self.name_to_value.clear()
        self._excluded.clear()
        self._counts.clear()

    @property
    def shows_text(self) -> bool:
        """Whether ``log`` reaches a place where text is shown."""
        return any(type(sink).message is not Sink.message for sink in self.sinks)

    def log(self, *words: object) -> None:
        """Print a line where text is shown (the console)."""
        for sink in self.sinks:
            self._guarded(sink, lambda sink=sink: sink.message(" ".join(map(str, words))))

    def close(self) -> None:
        """Close every sink. May be called twice."""
        for sink in self.sinks:
            self._guarded(sink, sink.close)

    def __enter__(self) -> Logger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _guarded(self, sink: Sink, action: Any) -> None:
        """Run ``action`` on ``sink``; its first OSError becomes a warning, later ones are silent."""
        try:
            action()
        except OSError as error:
            if sink not in self._failed:
                self._failed.add(sink)
                warnings.warn(
                    f"The {sink.name} log could not be written: {error}. Training goes on; rows may be missing there.",
                    RuntimeWarning,
                    stacklevel=4,
                )


def _plain(key: str, value: Any) -> Value:
    """``value`` as a Python number or string."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        value = value.item()
    if isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"Log value {key!r}: expected a number or a string, got {type(value).__name__}.")


class ConsoleSink(Sink):
    """A narrow table on standard output, one section per group of keys.

    Args:
        min_interval_s: seconds between two tables; dumps in between are skipped, the last one is shown at ``close``.
        every: show every ``every``-th dump.
        console: the ``rich`` console to print on; one on the current ``sys.stdout`` if None.
    """

    name = "stdout"

    def __init__(self, *, min_interval_s: float = 0.0, every: int = 1, console: Console | None = None) -> None:
        self._console = console
        self._min_interval_s = min_interval_s
        self._every = every
        self._n_dumps = 0
        self._shown_at = -math.inf
        self._pending: Mapping[str, Value] | None = None

    @property
    def console(self) -> Console:
        """The console printed on; made at the first use."""
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415  (rich is not needed to import fastpg)

            self._console = Console(highlight=False)
        return self._console

    def write(self, values: Mapping[str, Value], step: int) -> None:
        """Print the table, unless it is too early for it."""
        del step
        self._n_dumps += 1
        too_early = time.monotonic() - self._shown_at < self._min_interval_s
        if too_early or self._n_dumps % self._every:
            self._pending = values
            return
        self._show(values)

    def message(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False)

    def close(self) -> None:
        """Show the last values if they were skipped."""
        if self._pending is not None:
            self._show(self._pending)

    def _show(self, values: Mapping[str, Value]) -> None:
        self._pending = None
        self._shown_at = time.monotonic()
        if values:
            self.console.print(render_table(values))


def render_table(values: Mapping[str, Value]) -> Table:
    """``values`` as a ``rich`` table with a section per group."""
    from rich.box import ROUNDED  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=ROUNDED, show_header=False, border_style="dim")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    previous_group = None
    for key in sort_keys(values):
        group, _, name = key.rpartition("/")
        if group != previous_group:
            if previous_group is not None:
                table.add_section()
            table.add_row(Text(f"{group}/", style="bold cyan"), "")
            previous_group = group
        table.add_row(Text(f"  {name}"), Text(format_value(values[key])))
    return table


def format_value(value: Value) -> str:
    """A value for people: whole numbers with separators, others with four significant digits."""
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or not math.isfinite(value):
        return f"{value:.4g}"
    return f"{value:.4g}" if 1e-4 <= abs(value) < 1e5 else f"{value:.2e}"


class _LineFile:
    """A text file of whole lines: a line that cannot be written in full is taken back, so no torn line stays."""

    def __init__(self, path: Path, *, append: bool) -> None:
        self._file = path.open("ab" if append else "wb", buffering=0)

    def write(self, text: str) -> None:
        data = memoryview(text.encode())
        start = self._file.seek(0, io.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(start)
            raise

    def clear(self) -> None:
        self._file.truncate(0)

    def close(self) -> None:
        self._file.close()


class CSVSink(Sink):
    """One row per dump, one column per known log key; unknown keys add columns on the right.

    Args:
        path: the file; an existing one is replaced, or continued with ``append=True``.
        append: continue an existing file, keeping its columns.
    """

    name = "csv"

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        self._path = Path(path)
        rows = self._read_rows() if append else []
        self._columns = rows[0] if rows else self._first_columns()
        self._known = frozenset(self._columns)
        self._file = _LineFile(self._path, append=bool(rows))
        if not rows:
            self._write_header()

    def write(self, values: Mapping[str, Value], step: int) -> None:
        """Append one row; a key without a column gets one, empty in the earlier rows."""
        del step
        unknown = values.keys() - self._known
        if unknown:
            self._add_columns(sort_keys(unknown))
        self._file.write(_csv_line([_csv_cell(values.get(key)) for key in self._columns]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _first_columns(self) -> list[str]:
        """The columns of a new file."""
        return list(csv_columns())

    def _write_header(self) -> None:
        try:
            self._file.write(_csv_line(self._columns))
        except OSError:
            self._file.close()
            raise

    def _add_columns(self, keys: list[str]) -> None:
        rows = self._read_rows()[1:]
        self._columns = [*self._columns, *keys]
        self._known = frozenset(self._columns)
        self._file.clear()
        lines = [self._columns, *(row + [""] * (len(self._columns) - len(row)) for row in rows)]
        self._file.write("".join(map(_csv_line, lines)))

    def _read_rows(self) -> list[list[str]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _csv_cell(value: Value | None) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


class JSONSink(Sink):
    """One JSON object per line and dump. A non-finite number is written as a string (``"nan"``), as JSON has none.

    Args:
        path: the file; an existing one is replaced, or continued with ``append=True``.
        append: continue an existing file.
    """

    name = "json"

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        self._file = _LineFile(Path(path), append=append)

    def write(self, values: Mapping[str, Value], step: int) -> None:
        """Append one line."""
        del step
        plain = {key: _json_value(values[key]) for key in sort_keys(values)}
        self._file.write(json.dumps(plain, allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _json_value(value: Value) -> Value:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class TensorBoardSink(Sink):
    """Scalars for TensorBoard, through ``tensorboardX``.

    Args:
        directory: where the event file goes; made if missing.

    Raises:
        ImportError: ``tensorboardX`` is not installed.
    """

    name = "tensorboard"

    def __init__(self, directory: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter  # noqa: PLC0415  (optional)
        except ImportError as error:
            raise ImportError(
                "TensorBoard logs need the package tensorboardX. Fix: pip install 'fastpg[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(directory))
        self._is_open = True

    def write(self, values: Mapping[str, Value], step: int) -> None:
        """Add every value at ``step``: numbers as scalars, strings as text."""
        for key, value in values.items():
            if isinstance(value, str):
                self._writer.add_text(key, value, step)
            else:
                self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        if self._is_open:
            self._is_open = False
            self._writer.close()


FORMATS = ("stdout", "csv", "json", "tensorboard")


def configure(folder: str | Path | None = None, format_strings: Sequence[str] = ("stdout",)) -> Logger:
    """A logger with one sink per name.

    Args:
        folder: directory of ``metrics.csv``, ``metrics.json`` and the TensorBoard file; made if missing. Only
            ``"stdout"`` does without.
        format_strings: any of ``"stdout"``, ``"csv"``, ``"json"``, ``"tensorboard"``.

    Returns:
        The logger; close it when done (it is a context manager).

    Raises:
        ConfigError: an unknown name, or no ``folder`` for a sink that needs one.
        ImportError: ``"tensorboard"`` without tensorboardX.
    """
    unknown = [name for name in format_strings if name not in FORMATS]
    if unknown:
        raise ConfigError(f"Log format: expected any of {', '.join(FORMATS)}, got {', '.join(map(repr, unknown))}.")
    if folder is None and any(name != "stdout" for name in format_strings):
        raise ConfigError(f"Log folder: expected a directory for {', '.join(format_strings)}, got None.")
    directory = Path(folder or ".")
    if folder is not None:
        directory.mkdir(parents=True, exist_ok=True)
    return Logger([_make_sink(name, directory) for name in format_strings])


def _make_sink(name: str, directory: Path) -> Sink:
    if name == "csv":
        return CSVSink(directory / "metrics.csv")
    if name == "json":
        return JSONSink(directory / "metrics.json")
    if name == "tensorboard":
        return TensorBoardSink(directory)
    return ConsoleSink()


def next_log_directory(root: str | Path, name: str) -> Path:
    """The first unused ``root/name_<k>``, k = 1, 2, ...: where the next TensorBoard run goes."""
    taken = [_run_number(path.name, name) for path in Path(root).glob(f"{name}_*")]
    return Path(root) / f"{name}_{max(taken, default=0) + 1}"


def _run_number(directory: str, name: str) -> int:
    number = directory.removeprefix(f"{name}_")
    return int(number) if number.isdecimal() else 0
