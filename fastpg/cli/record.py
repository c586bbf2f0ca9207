"""``fastpg record <run>``: videos of a trained policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastpg.cli.app import CONTEXT, as_it_is, plain_warnings
from fastpg.cli.options import WholeNumber
from fastpg.cli.output import print_json
from fastpg.cli.played_run import load_run, played_run_options
from fastpg.training.recording import record


@click.command(context_settings=CONTEXT, epilog=as_it_is("Example:  fastpg record runs/cartpole --episodes 3"))
@click.option("--episodes", type=WholeNumber(minimum=1), default=1, show_default=True, help="Episodes to play.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the videos.  [default: videos in the run directory, or beside the file]",
)
@played_run_options
def record_command(
    run: Path, env: str | None, env_kwargs: dict[str, Any] | None, is_json: bool, **options: Any
) -> None:
    """Play whole episodes with a trained policy and write a video (.mp4) of each.

    RUN is a run directory, or a .fastpg file. The environment has to render to arrays (render_mode="rgb_array").
    The episodes are those of fastpg eval --n-envs 1. Needs moviepy: pip install 'fastpg[video]'.
    """
    with plain_warnings():
        played = load_run(run, env=env, env_kwargs=env_kwargs, seed=options["seed"])
        videos, result = record(
            played.model,
            played.env,
            options["output"] or (run if run.is_dir() else run.parent) / "videos",
            n_episodes=options["episodes"],
            seed=played.seed,
            deterministic=options["deterministic"],
            env_kwargs=played.env_kwargs,
        )
    if is_json:
        print_json(result.to_json() | {"videos": [str(video) for video in videos]})
        return
    for video, total, length in zip(videos, result.returns, result.lengths, strict=True):
        click.echo(f"Saved {video}   (return {total:.1f}, {length} steps)")
