"""A run directory: everything that one training leaves behind.

``config.json`` (what was run), ``metrics.csv`` (one row per iteration), ``model.fastpg`` (the model) and
``evaluation.json`` (how good it was in the end).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpg.errors import ConfigError
from fastpg.training.atomic_file import write_atomically

CONFIG, METRICS, MODEL, EVALUATION = "config.json", "metrics.csv", "model.fastpg", "evaluation.json"
#: Entry of ``config.json`` that others read -> (its type, in words).
_KINDS = {"algorithm": (str, "a text"), "env": (str, "a text"), "arguments": (dict, "an object")}


@dataclass(frozen=True)
class RunDirectory:
    """Paths and contents of one run directory.

    Attributes:
        path: the directory.
    """

    path: Path

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], *, overwrite: bool = False) -> RunDirectory:
        """Make the directory and write ``config.json``, so that an unusable one is noticed before training.

        Args:
            path: the directory; parents are made too.
            config: JSON-able values that describe the run.
            overwrite: replace the files of an earlier run in ``path``; other files there are left alone.

        Raises:
            ConfigError: ``path`` holds files already and ``overwrite`` is False.
            OSError: it cannot be made or written.
        """
        run = cls(Path(path))
        if run.path.exists() and not run.path.is_dir():
            raise ConfigError(f"run directory: expected a directory, got the file {run.path}. Fix: name another one.")
        run._make()
        if any(run.path.iterdir()):
            if not overwrite:
                raise ConfigError(
                    f"run directory: expected an empty or new directory, got {run.path}, which holds files. Nothing "
                    "was changed. Fix: name another directory, or replace that run with --overwrite (overwrite=True)."
                )
            for name in (CONFIG, METRICS, MODEL, EVALUATION):
                (run.path / name).unlink(missing_ok=True)
        run.write_json(CONFIG, config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """The existing run directory ``path``.

        Raises:
            ConfigError: there is none, or it holds no model.
        """
        run = cls(Path(path))
        if not run.model.is_file():
            what = "holds no model.fastpg" if run.path.is_dir() else "does not exist"
            raise ConfigError(
                f"run directory: expected one that `fastpg train` wrote, got {run.path}, which {what}. Fix: pass the "
                "directory given to --run-dir, or a file that model.save wrote."
            )
        return run

    @property
    def metrics(self) -> Path:
        """``metrics.csv``: one row per iteration."""
        return self.path / METRICS

    @property
    def model(self) -> Path:
        """``model.fastpg``: the checkpoint."""
        return self.path / MODEL

    def read_config(self) -> dict[str, Any]:
        """The content of ``config.json``; empty if there is none.

        Raises:
            ConfigError: it is not a JSON object, or its algorithm, environment or arguments are of another kind than
                ``fastpg train`` writes.
        """
        path = self.path / CONFIG
        if not path.exists():
            return {}
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path}: expected JSON, got something else ({error}).") from error
        if not isinstance(config, dict):
            raise ConfigError(f"{path}: expected a JSON object, got {type(config).__name__}.")
        for name, (kind, expected) in _KINDS.items():
            if not isinstance(config.get(name, kind()), kind):
                raise ConfigError(f"{path}: {name}: expected {expected}, got {config[name]!r}.")
        return config

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write ``values`` to the file ``name`` in the directory, atomically."""
        text = json.dumps(values, indent=2, allow_nan=False) + "\n"
        write_atomically(self.path / name, text.encode())

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"Could not make the run directory {self.path}: {reason}") from error


def next_run_path(root: str | Path, name: str) -> Path:
    """The first of ``root/name-1``, ``root/name-2``, ... that does not exist."""
    number = 1
    while (Path(root) / f"{name}-{number}").exists():
        number += 1
    return Path(root) / f"{name}-{number}"
