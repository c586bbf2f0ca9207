"""Where models go and come from: fastpg's checkpoints under stable-baselines3's names, and the files of the latter."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.errors import CheckpointError
from fastpg.kernels import backends
from fastpg.kernels.layout import ActorCriticLayout
from fastpg.sb3 import foreign_zip, parameters
from fastpg.training import persistence
from fastpg.training.atomic_file import write_atomically
from fastpg.training.checkpoint import decode_checkpoint, encode_checkpoint
from fastpg.version import __version__

Array = NDArray[Any]

#: Name of this interface in a checkpoint.
API = "sb3"
SUFFIX = ".zip"


def write(path: Any, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint to a path, atomically and with ``.zip`` appended where there is no suffix, or to a file.

    Raises:
        OSError: it could not be written; a previous file is intact.
    """
    data = encode_checkpoint(arrays, meta)
    if hasattr(path, "write"):
        path.write(data)
        return
    target = with_suffix(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)


def with_suffix(path: str | os.PathLike[str]) -> Path:
    """``path`` with ``.zip`` if it has no suffix."""
    given = Path(path)
    return given if given.suffix else given.with_name(given.name + SUFFIX)


def read_bytes(path: Any) -> tuple[bytes, str]:
    """(content, name) of a path, with ``.zip`` appended if only that exists, or of an open file.

    Raises:
        OSError: there is no such file.
    """
    if hasattr(path, "read"):
        return path.read(), str(getattr(path, "name", "file"))
    given = Path(path)
    if not given.is_file():
        zipped = given.with_name(given.name + SUFFIX)
        if zipped.is_file():
            given = zipped
    return given.read_bytes(), str(given)


def read_model(path: Any, config_class: type[OnPolicyConfig], env: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """(arrays, JSON values) of a model, from fastpg's checkpoint or a zip of stable-baselines3.

    Raises:
        CheckpointError: damaged, foreign, or of another algorithm.
    """
    data, name = read_bytes(path)
    if foreign_zip.is_zip(data):
        return foreign_zip.read_model(data, name, config_class, env)
    arrays, meta = decode_checkpoint(data, source=name)
    if "config" not in meta:
        raise CheckpointError(f"{name} holds no model: expected what model.save writes.")
    return arrays, meta


def read_parameters(path: Any, layout: ActorCriticLayout) -> dict[str, Any]:
    """Parameters as ``get_parameters`` returns them, from a file of either kind; ``layout`` is that of the model.

    Raises:
        CheckpointError: damaged or foreign.
    """
    data, name = read_bytes(path)
    if foreign_zip.is_zip(data):
        return foreign_zip.read_parameters(data, name)
    arrays, meta = decode_checkpoint(data, source=name)
    named = {key: array for key, array in arrays.items() if not key.startswith(("adam/", "memory/", "running/"))}
    flat = persistence.flat_parameters(layout, named, exact_match=True, old=np.zeros(layout.n_params, np.float32))
    moments = {key: arrays[f"adam/{key}"] for key in ("first_moment", "second_moment")}
    step = int(meta["progress"]["adam_step"])
    state = persistence._optimizer_state(flat, **moments, step=step)
    return {
        "policy": parameters.state_dict(layout, flat),
        "policy.optimizer": parameters.optimizer_dict(layout, state, rate=0.0, is_rms_prop=False),
    }


def print_system_info() -> None:
    """Print what fastpg runs on."""
    print(json.dumps({"fastpg": __version__, **backends.which().__dict__}, default=str, indent=2))  # noqa: T201
