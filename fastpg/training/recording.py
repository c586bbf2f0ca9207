"""Videos of whole episodes, by Gymnasium's ``RecordVideo``."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastpg.errors import ConfigError, EnvDataError
from fastpg.rollout.envs import make_env
from fastpg.training.evaluation import EvaluationResult, Predictor, evaluate

RENDER_MODE = "rgb_array"  # pictures as arrays (height, width, 3)


def record(
    model: Predictor,
    env_id: str,
    directory: Path,
    *,
    n_episodes: int = 1,
    seed: int | None = None,
    deterministic: bool = True,
    env_kwargs: Mapping[str, Any] | None = None,
) -> tuple[list[Path], EvaluationResult]:
    """Play whole episodes in one environment and write a video of each.

    The episodes are those of ``evaluate`` with ``n_envs=1``. Videos appear in ``directory`` when all are finished, none
    after an error. The pictures of an episode are in memory until it ends.

    Args:
        model: has ``predict``.
        env_id: of an environment that renders to arrays.
        directory: gets ``seed-S-episode-0.mp4``, ...; it is made if need be, and a file of the same name is replaced.
        n_episodes: episodes to play, >= 1.
        seed: of the environment, and of sampled actions; None draws one.
        deterministic: take the most probable action; False samples, as in training.
        env_kwargs: arguments of ``gymnasium.make``; its ``render_mode`` is chosen here.

    Returns:
        The videos, and the returns and lengths of their episodes in the same order.

    Raises:
        ConfigError: an argument out of range, or an environment that cannot be used or does not render to arrays.
        EnvError, EnvDataError: from the environment.
        ImportError: moviepy, which writes the videos, is not installed.
        OSError: the directory cannot be written.
    """
    if importlib.util.find_spec("moviepy") is None:
        raise ImportError("recording needs moviepy. Fix: pip install 'fastpg[video]'")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".record-", dir=directory) as work:
        folder = Path(work) / "videos"  # RecordVideo warns where the folder is there already

        def make() -> Any:
            return _with_video(env_id, dict(env_kwargs or {}), folder, n_episodes=n_episodes)

        result = evaluate(model, make, n_episodes=n_episodes, seed=seed, deterministic=deterministic, n_envs=1)
        prefix = "" if seed is None else f"seed-{seed}-"
        videos = [directory / f"{prefix}episode-{index}.mp4" for index in range(n_episodes)]
        written = [folder / f"video-episode-{index}.mp4" for index in range(n_episodes)]
        for index, file in enumerate(written):
            if not file.exists():
                raise EnvDataError(
                    f"render: expected an array (height, width, 3), got something else — episode {index}. Fix: return "
                    f"one from render() where render_mode is {RENDER_MODE!r}."
                )
        for file, video in zip(written, videos, strict=True):
            file.replace(video)
    return videos, result


def _with_video(env_id: str, env_kwargs: dict[str, Any], folder: Path, *, n_episodes: int) -> Any:
    """The environment ``env_id``, which writes its first ``n_episodes`` episodes to ``folder``."""
    from gymnasium.wrappers import RecordVideo  # noqa: PLC0415 - draws in much that training does not need

    try:
        env = make_env(env_id, env_kwargs | {"render_mode": RENDER_MODE})
    except ConfigError as error:
        if isinstance(error.__cause__, TypeError) and "argument 'render_mode'" in str(error.__cause__):
            raise _no_pictures(env_id, "none") from error
        raise
    modes = env.metadata.get("render_modes", ())
    if env.render_mode != RENDER_MODE or RENDER_MODE not in modes:
        env.close()
        raise _no_pictures(env_id, ", ".join(modes) or "none")
    return RecordVideo(
        env, str(folder), episode_trigger=lambda index: index < n_episodes, name_prefix="video", disable_logger=True
    )


def _no_pictures(env_id: str, modes: str) -> ConfigError:
    return ConfigError(
        f"env: expected one that renders to arrays (render_mode={RENDER_MODE!r}), got {env_id}, whose modes are: "
        f"{modes}. Fix: record another environment, or add the mode to this one."
    )
