"""``fastpg eval <run>``: how good a trained policy is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastpg.cli.app import CONTEXT, as_it_is, find_modules_here, plain_warnings
from fastpg.cli.options import JSONObject, WholeNumber
from fastpg.cli.output import evaluation_text, make_console, print_json
from fastpg.errors import ConfigError
from fastpg.training.checkpoint import load_checkpoint
from fastpg.training.evaluation import evaluate, evaluation_seed
from fastpg.training.loading import load
from fastpg.training.run_directory import RunDirectory


@click.command(
    context_settings=CONTEXT,
    epilog=as_it_is("Example:  fastpg eval runs/cartpole --episodes 20 --json"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--episodes", type=WholeNumber(minimum=1), default=20, show_default=True, help="Episodes to play.")
@click.option(
    "--seed",
    type=WholeNumber(),
    help="Seed of the environments; environment i gets seed + i.  [default: as in the evaluation after training]",
)
@click.option(
    "--deterministic/--stochastic",
    default=True,
    show_default=True,
    help="Take the most probable action, or sample as in training.",
)
@click.option("--env", help="Another environment than the one of the run.")
@click.option("--env-kwargs", type=JSONObject(), help="Arguments for making the environment.")
@click.option(
    "--n-envs", type=WholeNumber(minimum=1), help="Environments that are stepped side by side.  [default: up to 8]"
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
def evaluate_command(
    run: Path, env: str | None, env_kwargs: dict[str, Any] | None, is_json: bool, **options: Any
) -> None:
    """Play whole episodes with a trained policy and report their returns.

    RUN is a run directory, or a .fastpg file. Rewards are the environment's own; the policy normalises its observations
    as it did in training.
    """
    del options["debug"]
    with plain_warnings():
        file, saved_env, saved_kwargs = find_model(run)
        env = env or saved_env
        if env is None:
            raise ConfigError(f"env: expected the id of an environment, as {file} names none. Fix: pass --env.")
        find_modules_here(env)
        model = load(file)
        seed = evaluation_seed(model.seed) if options["seed"] is None else options["seed"]
        result = evaluate(
            model,
            env,
            n_episodes=options["episodes"],
            seed=seed,
            deterministic=options["deterministic"],
            n_envs=options["n_envs"],
            env_kwargs=saved_kwargs if env_kwargs is None else env_kwargs,
        )
    if is_json:
        print_json(result.to_json())
    else:
        make_console(is_json=False, is_quiet=False).print(f"{env}: {evaluation_text(result)}", markup=False)


def find_model(run: Path) -> tuple[Path, str | None, dict[str, Any] | None]:
    """(checkpoint, id of its environment, arguments of that) for a run directory or a checkpoint."""
    if run.is_dir() or not run.exists():
        directory = RunDirectory.open(run)
        config = directory.read_config()
        return directory.model, config.get("env"), config.get("arguments", {}).get("env_kwargs")
    _, metadata = load_checkpoint(run)
    return run, metadata.get("env_id"), metadata.get("config", {}).get("env_kwargs")
