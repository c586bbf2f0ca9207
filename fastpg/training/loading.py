"""``fastpg.load``: a model from a checkpoint, whatever its algorithm.

The table here is also what ``fastpg train`` offers; an algorithm is added to both with one line.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastpg.errors import CheckpointError, ConfigError
from fastpg.training.checkpoint import load_checkpoint
from fastpg.training.run_directory import MODEL

if TYPE_CHECKING:
    from fastpg.training.model import OnPolicyModel

#: Algorithm, which is also the name of its class in ``fastpg.training.models`` -> what it is, in one line.
ALGORITHMS = {
    "A2C": "Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016).",
    "MDPO": "Mirror descent policy optimisation, on-policy (Tomar et al. 2020).",
    "NPG": "Natural policy gradient (Kakade 2001).",
    "PPO": "Proximal policy optimisation with a clipped ratio (Schulman et al. 2017).",
    "TRPO": "Trust region policy optimisation (Schulman et al. 2015).",
    "VPG": "Policy gradient; without a critic REINFORCE (Williams 1992; Sutton et al. 1999).",
}


#: Interface of a model, as a checkpoint names it -> module with its classes.
_MODULES = {"fastpg": "fastpg.training.models", "sb3": "fastpg.sb3.models"}


def model_class(algorithm: str, api: str = "fastpg") -> type[OnPolicyModel]:
    """The model class of ``algorithm`` (a key of ``ALGORITHMS``, in any case).

    Args:
        algorithm: its name.
        api: ``fastpg``, or ``sb3`` for the classes of ``fastpg.sb3``.

    Raises:
        ConfigError: there is no such algorithm.
    """
    if algorithm.upper() not in ALGORITHMS:
        raise ConfigError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}.")
    cls: type[OnPolicyModel] = getattr(importlib.import_module(_MODULES[api]), algorithm.upper())
    return cls


def load(path: str | os.PathLike[str], env: Any = None, **overrides: Any) -> OnPolicyModel:
    """Load a model that ``model.save`` or ``fastpg train`` wrote. Nothing in the file is executed.

    Args:
        path: the checkpoint, or a run directory that holds ``model.fastpg``.
        env: to go on training in; None suffices for ``predict``.
        **overrides: constructor arguments that shall differ from the saved ones.

    Returns:
        The model, of the class that saved it.

    Raises:
        OSError: the file cannot be read.
        CheckpointError: it is damaged, foreign, written by a newer fastpg, or does not fit ``env``.
        ConfigError: an override is unknown or out of range.
    """
    file = Path(path)
    if (file / MODEL).is_file():
        file = file / MODEL
    arrays, metadata = load_checkpoint(file)
    algorithm = metadata.get("algorithm")
    if not isinstance(algorithm, str) or algorithm.upper() not in ALGORITHMS:
        raise CheckpointError(
            f"{file} holds a model of the algorithm {algorithm!r}: expected one of {', '.join(ALGORITHMS)}. "
            "Fix: pip install --upgrade fastpg"
        )
    api = metadata.get("api", "fastpg")
    if api not in _MODULES or not hasattr(importlib.import_module(_MODULES[api]), algorithm.upper()):
        raise CheckpointError(
            f"{file} holds a model of the interface {api!r} for {algorithm}: expected one of {', '.join(_MODULES)} "
            "that has it. Fix: pip install --upgrade fastpg"
        )
    try:
        return model_class(algorithm, api).from_state(arrays, metadata, env=env, **overrides)
    except KeyError as error:
        raise CheckpointError(f"{file} does not hold a whole model: {error} is missing.") from error
