"""Logs with stable-baselines3's interface and file names, written by fastpg's sinks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fastpg.errors import ConfigError
from fastpg.training import logging
from fastpg.training.logging import ConsoleSink, CSVSink, JSONSink, Sink, TensorBoardSink

DEBUG, INFO, WARN, ERROR, DISABLED = 10, 20, 30, 40, 50

_FORMATS_VARIABLE, _DEFAULT_FORMATS = "SB3_LOG_FORMAT", "stdout,log,csv"
_FOLDER_VARIABLE = "SB3_LOGDIR"
_FILE_WIDTH = 80  # characters of a table in log.txt


@dataclass(frozen=True)
class Figure:
    """A matplotlib figure for TensorBoard; ``close`` closes it afterwards."""

    figure: Any
    close: bool


@dataclass(frozen=True)
class Image:
    """An image for TensorBoard; ``dataformats`` as "HWC"."""

    image: Any
    dataformats: str


@dataclass(frozen=True)
class Video:
    """Frames (N, T, C, H, W) for TensorBoard, ``fps`` per second."""

    frames: Any
    fps: float


@dataclass(frozen=True)
class HParam:
    """Hyper-parameters and the keys of the metrics to compare them by, for TensorBoard."""

    hparam_dict: Mapping[str, bool | str | float | None]
    metric_dict: Mapping[str, float]


_MEDIA = (Figure, Image, Video, HParam)


class KVWriter:
    """Base of a user's own output: gets the values of every dump."""

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Take one dump."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what it holds."""


class HumanOutputFormat(ConsoleSink):
    """Tables on the console, or in a text file.

    Args:
        filename_or_file: None for the console, else the name of a file, which is replaced, or an open one.
        max_length: not used: nothing is cut off.
    """

    def __init__(self, filename_or_file: Any = None, max_length: int = 36) -> None:
        del max_length
        self._file = None
        if filename_or_file is None:
            super().__init__()
            return
        from rich.console import Console  # noqa: PLC0415  (rich is not needed to import fastpg)

        self.name = "log"
        if hasattr(filename_or_file, "write"):
            super().__init__(console=Console(file=filename_or_file, highlight=False))
            return
        self._file = Path(filename_or_file).open("w", encoding="utf-8")  # noqa: SIM115 - closed by close()
        super().__init__(console=Console(file=self._file, width=_FILE_WIDTH, highlight=False))

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._file is not None:
            self._file.close()


class CSVOutputFormat(CSVSink):
    """A CSV file with a column per key that was ever written; rows before have empty cells there.

    Args:
        filename: replaced if it exists.
    """

    def _first_columns(self) -> list[str]:
        return []


class JSONOutputFormat(JSONSink):
    """A JSON object per dump and line.

    Args:
        filename: replaced if it exists.
    """


class TensorBoardOutputFormat(TensorBoardSink):
    """Scalars, texts, figures, images, videos and hyper-parameters for TensorBoard, through tensorboardX.

    Args:
        folder: of the event file.
    """

    @staticmethod
    def of(sink: Sink) -> Sink:
        """``sink``, one for TensorBoard with the methods of this class."""
        if type(sink) is TensorBoardSink:
            sink.__class__ = TensorBoardOutputFormat
        return sink

    @property
    def writer(self) -> Any:
        """The ``SummaryWriter``."""
        return self._writer

    def write_media(self, key: str, value: Any, step: int) -> None:
        """Add one ``Figure``, ``Image``, ``Video`` or ``HParam``."""
        if isinstance(value, Figure):
            self._writer.add_figure(key, value.figure, step, close=value.close)
        elif isinstance(value, Image):
            self._writer.add_image(key, value.image, step, dataformats=value.dataformats)
        elif isinstance(value, Video):
            self._writer.add_video(key, value.frames, step, fps=value.fps)
        else:
            self._writer.add_hparams(dict(value.hparam_dict), dict(value.metric_dict), global_step=step)


class _WriterSink(Sink):
    """A ``KVWriter`` as a sink."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def write(self, values: Mapping[str, Any], step: int) -> None:
        """Pass on."""
        self.writer.write(dict(values), dict.fromkeys(values, ()), step)

    def close(self) -> None:
        """Pass on."""
        self.writer.close()


class Logger(logging.Logger):
    """Collects values under keys and passes them to outputs.

    Args:
        folder: of the files; None if there are none.
        output_formats: the outputs of this module, or ``KVWriter`` objects.
    """

    def __init__(self, folder: str | None = None, output_formats: Sequence[Any] = ()) -> None:
        super().__init__([item if isinstance(item, Sink) else _WriterSink(item) for item in output_formats])
        self.dir = folder
        self.level = INFO
        self._media: dict[str, Any] = {}

    @property
    def output_formats(self) -> list[Any]:
        """The outputs."""
        return [sink.writer if isinstance(sink, _WriterSink) else sink for sink in self.sinks]

    @property
    def name_to_count(self) -> dict[str, int]:
        """How many values the mean of each key is over."""
        return self._counts

    @property
    def name_to_excluded(self) -> dict[str, tuple[str, ...]]:
        """Outputs that do not get the value of a key."""
        return self._excluded

    def record(self, key: str, value: Any, exclude: str | Sequence[str] | None = None) -> None:
        """Set ``key`` to ``value`` for the next dump; figures and the like go to TensorBoard alone."""
        if isinstance(value, _MEDIA):
            self._media[key] = value
        else:
            super().record(key, value, exclude)

    def dump(self, step: int = 0) -> None:
        """Hand everything recorded to the outputs and forget it."""
        for sink in self.sinks:
            if isinstance(sink, TensorBoardOutputFormat):
                for key, value in self._media.items():
                    sink.write_media(key, value, step)
        self._media.clear()
        super().dump(step)

    def log(self, *words: object, level: int = INFO) -> None:
        """Print a line, if ``level`` is at least that of the logger."""
        if self.level <= level:
            super().log(*words)

    def debug(self, *words: object) -> None:
        """Print a line at the level DEBUG."""
        self.log(*words, level=DEBUG)

    def info(self, *words: object) -> None:
        """Print a line at the level INFO."""
        self.log(*words, level=INFO)

    def warn(self, *words: object) -> None:
        """Print a line at the level WARN."""
        self.log(*words, level=WARN)

    def error(self, *words: object) -> None:
        """Print a line at the level ERROR."""
        self.log(*words, level=ERROR)

    def set_level(self, level: int) -> None:
        """Print only lines of at least this level."""
        self.level = level

    def get_dir(self) -> str | None:
        """The folder of the files."""
        return self.dir


def make_output_format(_format: str, log_dir: str, log_suffix: str = "") -> Sink:
    """The output called ``_format`` in the directory ``log_dir``.

    Raises:
        ConfigError: not one of stdout, log, csv, json, tensorboard.
        ImportError: tensorboard without tensorboardX.
    """
    directory = Path(log_dir)
    directory.mkdir(parents=True, exist_ok=True)
    if _format == "stdout":
        return HumanOutputFormat()
    if _format == "log":
        return HumanOutputFormat(directory / f"log{log_suffix}.txt")
    if _format == "csv":
        return CSVOutputFormat(directory / f"progress{log_suffix}.csv")
    if _format == "json":
        return JSONOutputFormat(directory / f"progress{log_suffix}.json")
    if _format == "tensorboard":
        return TensorBoardOutputFormat(directory)
    raise ConfigError(f"format_strings: expected stdout, log, csv, json or tensorboard, got {_format!r}.")


def configure(folder: str | os.PathLike[str] | None = None, format_strings: Sequence[str] | None = None) -> Logger:
    """A logger that writes into ``folder``.

    Args:
        folder: of ``progress.csv``, ``progress.json``, ``log.txt`` and the TensorBoard file; None takes the environment
            variable SB3_LOGDIR, or a new temporary directory.
        format_strings: any of stdout, log, csv, json, tensorboard; None takes the environment variable SB3_LOG_FORMAT,
            or the first three.
    """
    given = folder or os.environ.get(_FOLDER_VARIABLE)
    if given is None:
        given = os.path.join(tempfile.gettempdir(), datetime.now().strftime("SB3-%Y-%m-%d-%H-%M-%S-%f"))
    formats = format_strings or os.environ.get(_FORMATS_VARIABLE, _DEFAULT_FORMATS).split(",")
    return Logger(str(given), [make_output_format(name, str(given)) for name in formats if name])
