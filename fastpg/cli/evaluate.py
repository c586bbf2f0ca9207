"""``fastpg eval <run>``: how good a trained policy is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastpg.cli.app import CONTEXT, as_it_is, plain_warnings
from fastpg.cli.options import WholeNumber
from fastpg.cli.output import evaluation_text, make_console, print_json
from fastpg.cli.played_run import load_run, played_run_options
from fastpg.training.evaluation import evaluate


@click.command(context_settings=CONTEXT, epilog=as_it_is("Example:  fastpg eval runs/cartpole --episodes 20 --json"))
@click.option("--episodes", type=WholeNumber(minimum=1), default=20, show_default=True, help="Episodes to play.")
@click.option(
    "--n-envs", type=WholeNumber(minimum=1), help="Environments that are stepped side by side.  [default: up to 8]"
)
@played_run_options
def evaluate_command(
    run: Path, env: str | None, env_kwargs: dict[str, Any] | None, is_json: bool, **options: Any
) -> None:
    """Play whole episodes with a trained policy and report their returns.

    RUN is a run directory, or a .fastpg file. Rewards are the environment's own; the policy normalises its observations
    as it did in training.
    """
    with plain_warnings():
        played = load_run(run, env=env, env_kwargs=env_kwargs, seed=options["seed"])
        result = evaluate(
            played.model,
            played.env,
            n_episodes=options["episodes"],
            seed=played.seed,
            deterministic=options["deterministic"],
            n_envs=options["n_envs"],
            env_kwargs=played.env_kwargs,
        )
    if is_json:
        print_json(result.to_json())
    else:
        console = make_console(is_json=False, is_quiet=False)
        console.print(f"{played.env}: {evaluation_text(result)}", markup=False)
