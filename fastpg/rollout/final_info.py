"""What vector environments say about the last step of an episode, in the layouts that are in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastpg.errors import EnvDataError
from fastpg.rollout.autoreset import AutoresetMode


def final_observations(infos: Mapping[str, Any], envs: list[int], num_envs: int) -> Any:
    """The last observations of the episodes that the environments ``envs`` truncated (SAME_STEP).

    Args:
        infos: with ``final_obs``: an entry per environment, in an object array (Gymnasium) or as one batch (ALE).
        envs: indices of the environments.
        num_envs: N.

    Returns:
        An array (len(envs), ...), or a list where the observations do not make one.

    Raises:
        EnvDataError: an observation is missing.
    """
    batch = infos.get("final_obs")
    rows: list[Any] = [None if batch is None or len(batch) != num_envs else batch[index] for index in envs]
    for index, row in zip(envs, rows, strict=True):
        if row is None:
            raise EnvDataError(
                "SAME_STEP without final_obs: cannot bootstrap truncation: expected the last observation of the "
                f"truncated episode in infos['final_obs'][{index}], got none — env {index} of {num_envs}. Fix: return "
                "it, or declare the autoreset mode that the environment follows."
            )
    try:
        return np.stack(rows)
    except ValueError:
        return rows  # shapes differ; the encoder says which is wrong


def successes(infos: Mapping[str, Any], mode: AutoresetMode) -> Callable[[int], bool | None]:
    """A function from an environment whose episode has just ended to its ``is_success``, None where it has none."""
    if mode is AutoresetMode.SAME_STEP:
        infos = infos.get("final_info", {})
    if not isinstance(infos, Mapping):  # one dict per environment
        per_env: Any = infos
        return lambda index: _as_bool((per_env[index] or {}).get("is_success"))
    values = infos.get("is_success")
    mask = infos.get("_is_success")
    if values is None:
        return lambda _index: None
    return lambda index: _as_bool(values[index]) if mask is None or mask[index] else None


def _as_bool(value: Any) -> bool | None:
    return None if value is None else bool(value)
