"""``fastpg train <algorithm> <env>``: one sub-command per algorithm, its flags made from the configuration."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from fastpg.cli.app import CONTEXT, EXIT_INTERRUPTED, LazyGroup, as_it_is, find_modules_here, plain_warnings
from fastpg.cli.interrupts import held_interrupts
from fastpg.cli.options import SectionCommand, SectionOption, WholeNumber, config_arguments, config_options
from fastpg.cli.output import (
    backend_text,
    evaluation_text,
    make_console,
    print_json,
    why_not_fastest,
)
from fastpg.cli.progress import ProgressBar, RegularSaving
from fastpg.kernels import backends
from fastpg.training.evaluation import EvaluationResult, evaluate, evaluation_seed
from fastpg.training.loading import ALGORITHMS, model_class
from fastpg.training.logging import ConsoleSink, CSVSink, Logger, Sink, TensorBoardSink, next_log_directory
from fastpg.training.run_directory import EVALUATION, RunDirectory, next_run_path
from fastpg.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from fastpg.training.model import OnPolicyModel

TABLE_INTERVAL_S = 2.0
SAVE_INTERVAL_S = 60.0


class AlgorithmGroup(LazyGroup):
    """One sub-command per algorithm, built when it is called for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command that trains with ``cmd_name``."""
        return training_command(cmd_name) if cmd_name in self.list_commands(ctx) else None


@click.group(
    cls=AlgorithmGroup,
    lazy_commands={name.lower(): ("", text) for name, text in ALGORITHMS.items()},
    context_settings=CONTEXT,
    epilog="fastpg train ppo --help  lists every option.",
)
def train() -> None:
    """Train a policy on a Gymnasium environment and write a run directory.

    The directory gets config.json, metrics.csv (one row per iteration), model.fastpg and evaluation.json.
    """


def run_options() -> list[click.Option]:
    """The options of a run, beside those of the algorithm."""

    def option(*names: str, **keywords: Any) -> click.Option:
        return SectionOption(list(names), section="Run options", **keywords)

    return [
        option(
            "--total-timesteps",
            type=WholeNumber(),
            default="100000",
            help="Environment steps to train for, over all environments; 1e6 works too.  [default: 100000]",
        ),
        option(
            "--run-dir", type=click.Path(), help="Directory for results.  [default: next free runs/ENV-ALGORITHM-N]"
        ),
        option("--overwrite", is_flag=True, help="Replace an earlier run in the run directory."),
        option(
            "--eval-episodes",
            type=WholeNumber(),
            default=20,
            help="Episodes of the deterministic evaluation at the end; 0 for none.  [default: 20]",
        ),
        option(
            "--log-interval",
            type=WholeNumber(minimum=1),
            help="Iterations between two tables.  [default: a table every 2 seconds]",
        ),
        option("--json", "is_json", is_flag=True, help="Print one JSON object on standard output, nothing else."),
        option(
            "--quiet", "-q", "is_quiet", is_flag=True, help="Print the result only: no header, table or progress bar."
        ),
        option("--debug", "is_debug", is_flag=True, help="Show the Python traceback of an error."),
    ]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training from the command line.

    Attributes:
        algorithm: upper case.
        env: id of the environment.
        options: values of ``run_options`` by name.
        arguments: keyword arguments of the model.
    """

    algorithm: str
    env: str
    options: Mapping[str, Any]
    arguments: Mapping[str, Any]

    def execute(self) -> int:
        """Train, save, evaluate; returns the exit code."""
        is_json, is_quiet = self.options["is_json"], self.options["is_quiet"]
        console = make_console(is_json=is_json, is_quiet=is_quiet)
        result_console = make_console(is_json=is_json, is_quiet=is_json and is_quiet)
        model = model_class(self.algorithm)("MlpPolicy", self.env, **self.arguments)
        try:
            run = self._make_directory(model)
            self._print_header(console, model, run)
            seconds, is_interrupted = self._learn(model, run, console)
            result = None if is_interrupted else self._evaluate(model, run, result_console)
        finally:
            model.get_env().close()
        if is_json:
            print_json(self._summary(model, run, seconds, is_interrupted) | _evaluation_json(result))
        return EXIT_INTERRUPTED if is_interrupted else 0

    def _make_directory(self, model: OnPolicyModel) -> RunDirectory:
        name = f"{self.env}-{self.algorithm.lower()}".replace("/", "-").replace(":", "-")
        path = self.options["run_dir"] or next_run_path("runs", name)
        config = {
            "fastpg_version": __version__,
            "algorithm": self.algorithm,
            "env": self.env,
            "total_timesteps": self.options["total_timesteps"],
            "arguments": model.config.to_json(),
            "kernels": asdict(backends.which(model.config.backend)),
        }
        return RunDirectory.create(path, config, overwrite=self.options["overwrite"])

    def _print_header(self, console: Console, model: OnPolicyModel, run: RunDirectory) -> None:
        config = model.config
        n_envs = "1 environment" if config.n_envs == 1 else f"{config.n_envs} environments"
        console.print(
            f"[bold]fastpg {__version__}[/]  [bold cyan]{self.algorithm}[/] on [bold cyan]{self.env}[/], {n_envs}, "
            f"{self.options['total_timesteps']:,} steps, seed {model.seed}"
        )
        console.print(backend_text(config.backend, config.n_threads), markup=False)
        reason = why_not_fastest(config.backend)
        if reason:
            console.print(f"Slower than need be: {reason}", style="yellow", markup=False)
        console.print(f"Results in {run.path}", markup=False)

    def _learn(self, model: OnPolicyModel, run: RunDirectory, console: Console) -> tuple[float, bool]:
        """Train and save; returns (seconds, was it interrupted). Whatever ends training, the model is saved."""
        callbacks = [ProgressBar(console), RegularSaving(run.model, interval_s=SAVE_INTERVAL_S)]
        is_interrupted = False
        start = time.perf_counter()
        with Logger(self._sinks(model, run, console)) as logger:
            model.set_logger(logger)
            try:
                model.learn(self.options["total_timesteps"], callback=callbacks, log_interval=1)
            except KeyboardInterrupt:
                is_interrupted = True
            except BaseException:
                with held_interrupts():
                    model.save(run.model)
                click.echo(f"The model as of step {model.num_timesteps:,} is in {run.model}", err=True)
                raise
            with held_interrupts() as held:
                model.save(run.model)
            is_interrupted = is_interrupted or held.was_interrupted
        if is_interrupted:
            click.secho(
                f"Interrupted: the model as of step {model.num_timesteps:,} is in {run.model}", err=True, fg="yellow"
            )
        return time.perf_counter() - start, is_interrupted

    def _sinks(self, model: OnPolicyModel, run: RunDirectory, console: Console) -> list[Sink]:
        sinks: list[Sink] = [CSVSink(run.metrics)]
        if model.config.verbose:
            every = self.options["log_interval"]
            interval_s = TABLE_INTERVAL_S if every is None else 0.0
            sinks.append(ConsoleSink(console=console, every=every or 1, min_interval_s=interval_s))
        if model.config.tensorboard_log is not None:
            sinks.append(TensorBoardSink(next_log_directory(model.config.tensorboard_log, self.algorithm)))
        return sinks

    def _evaluate(self, model: OnPolicyModel, run: RunDirectory, console: Console) -> EvaluationResult | None:
        if not self.options["eval_episodes"]:
            console.print(f"Saved {run.model}", markup=False)
            return None
        seed = evaluation_seed(model.seed)
        result = evaluate(
            model, self.env, n_episodes=self.options["eval_episodes"], seed=seed, env_kwargs=model.config.env_kwargs
        )
        run.write_json(EVALUATION, result.to_json() | {"seed": seed, "deterministic": True})
        console.print(f"[bold green]Evaluation:[/] {evaluation_text(result)}")
        console.print(f"Saved {run.model}   (again: fastpg eval {run.path})", markup=False)
        return result

    def _summary(self, model: OnPolicyModel, run: RunDirectory, seconds: float, is_interrupted: bool) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm,
            "env": self.env,
            "seed": model.seed,
            "run_dir": str(run.path),
            "num_timesteps": model.num_timesteps,
            "training_s": seconds,
            "steps_per_s": model.num_timesteps / seconds,
            "interrupted": is_interrupted,
        }


def _evaluation_json(result: EvaluationResult | None) -> dict[str, Any]:
    return {} if result is None else result.to_json()


def training_command(name: str) -> click.Command:
    """The command that trains with the algorithm ``name``, with a flag for every argument of its configuration."""
    algorithm = name.upper()
    config_class = model_class(algorithm).config_class

    def callback(env: str, **given: Any) -> int:
        names = {option.name for option in run_options()}
        arguments = config_arguments(config_class, {key: value for key, value in given.items() if key not in names})
        options = {key: given[key] for key in names}
        find_modules_here(env)
        with plain_warnings():
            return Run(algorithm=algorithm, env=env, options=options, arguments=arguments).execute()

    return SectionCommand(
        name,
        callback=callback,
        params=[click.Argument(["env"]), *run_options(), *config_options(config_class)],
        help=f"{ALGORITHMS[algorithm]}\n\nENV is a Gymnasium id such as CartPole-v1, or module:id to import first.",
        epilog="A SCHEDULE is a number, or lin_START or lin_START_END for a straight line from beginning to end "
        "of training (END is 0 if left out). Where the default is none, none can be given.\n\n"
        + as_it_is(f"Example:  fastpg train {name} CartPole-v1 --total-timesteps 1e5 --n-envs 8 --run-dir runs/one"),
        context_settings=CONTEXT,
    )
