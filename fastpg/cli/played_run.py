"""What ``fastpg eval`` and ``fastpg record`` share: which policy plays where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from fastpg.cli.app import find_modules_here
from fastpg.cli.options import JSONObject, WholeNumber
from fastpg.errors import ConfigError
from fastpg.training.checkpoint import load_checkpoint
from fastpg.training.evaluation import evaluation_seed
from fastpg.training.loading import load
from fastpg.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from fastpg.training.model import OnPolicyModel

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class PlayedRun(NamedTuple):
    """A trained model, the id of the environment to play in, its arguments, the seed."""

    model: OnPolicyModel
    env: str
    env_kwargs: dict[str, Any] | None
    seed: int


def played_run_options(command: CommandT) -> CommandT:
    """The argument RUN and the options of a command that plays with it; ``PlayedRun`` is made from their values."""
    for option in reversed(
        (
            click.argument("run", type=click.Path(path_type=Path)),
            click.option(
                "--seed",
                type=WholeNumber(),
                help="Seed of the environments; environment i gets seed + i.  "
                "[default: as in the evaluation after training]",
            ),
            click.option(
                "--deterministic/--stochastic",
                default=True,
                show_default=True,
                help="Take the most probable action, or sample as in training.",
            ),
            click.option("--env", help="Another environment than the one of the run."),
            click.option(
                "--env-kwargs",
                type=JSONObject(),
                help="Arguments for making the environment.  [default: those of the run, for its environment]",
            ),
            click.option("--json", "is_json", is_flag=True, help="Print one JSON object on standard output, only."),
            click.option("--debug", is_flag=True, help="Show the Python traceback of an error."),
        )
    ):
        command = option(command)
    return command


def load_run(run: Path, *, env: str | None, env_kwargs: dict[str, Any] | None, seed: int | None) -> PlayedRun:
    """The model of ``run``, and where it plays: what was given, else what the run says.

    Raises:
        ConfigError: there is no such run, or neither says in which environment.
        CheckpointError: the file of the model is damaged or foreign.
    """
    file, saved_env, saved_kwargs = find_model(run)
    if env is None:
        env = saved_env
    elif env != saved_env:
        saved_kwargs = None  # another environment takes other arguments
    if env is None:
        raise ConfigError(f"env: expected the id of an environment, as {file} names none. Fix: pass --env.")
    find_modules_here(env)
    model = load(file)
    return PlayedRun(
        model=model,
        env=env,
        env_kwargs=saved_kwargs if env_kwargs is None else env_kwargs,
        seed=evaluation_seed(model.seed) if seed is None else seed,
    )


def find_model(run: Path) -> tuple[Path, str | None, dict[str, Any] | None]:
    """(checkpoint, id of its environment, arguments of that) for a run directory or a checkpoint."""
    if run.is_dir() or not run.exists():
        directory = RunDirectory.open(run)
        config = directory.read_config()
        return directory.model, config.get("env"), config.get("arguments", {}).get("env_kwargs")
    _, metadata = load_checkpoint(run)
    return run, metadata.get("env_id"), metadata.get("config", {}).get("env_kwargs")
