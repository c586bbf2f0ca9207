"""Reading the stored references: arrays, and the description of what they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout

FOLDER = Path(__file__).parent


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(description, arrays)."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("description"))), arrays


def layout_of(description: dict[str, Any]) -> ActorCriticLayout:
    """The networks that ``description`` names."""
    head = HeadLayout(description["head"]["kind"], tuple(description["head"]["sizes"]))
    size, activation = description["observation_size"], description["activation"]
    policy = MLPLayout((size, *description["policy_net"], head.n_inputs), activation)
    return ActorCriticLayout(policy, MLPLayout((size, *description["value_net"], 1), activation), head)
