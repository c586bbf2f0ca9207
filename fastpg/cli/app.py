"""The command group, its lazily imported commands, and how errors are shown."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from fastpg.cli.interrupts import ignore_interrupts, patient_interrupts
from fastpg.errors import FastPGError
from fastpg.version import __version__

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

#: How every command shows its help.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

#: Command -> (module and attribute, one line of help).
COMMANDS = {
    "train": ("fastpg.cli.train:train", "Train a policy; writes a run directory."),
    "eval": ("fastpg.cli.evaluate:evaluate_command", "Evaluate a trained policy over whole episodes."),
    "record": ("fastpg.cli.record:record_command", "Write videos of a trained policy."),
    "plot": ("fastpg.cli.plot:plot", "Plot learning curves of run directories."),
    "experiment": ("fastpg.cli.experiment:experiment", "Run an experiment of the documentation; writes CSV and PNG."),
    "bench": ("fastpg.cli.bench:bench", "Measure the kernels beside the peak of this machine."),
    "info": ("fastpg.cli.info:info", "Show version, backends, instruction set, threads."),
}


def as_it_is(text: str) -> str:
    """``text`` as a paragraph of help that is not wrapped: a command line to copy."""
    return f"\b\n{text}"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called for.

    Args:
        commands: name -> (``module:attribute``, short help); the help is here so that listing imports nothing.
        **arguments: of ``click.Group``.
    """

    def __init__(self, *, lazy_commands: dict[str, tuple[str, str]], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._lazy_commands = lazy_commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        del ctx
        return list(self._lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command ``cmd_name``."""
        del ctx
        if cmd_name not in self._lazy_commands:
            return None
        module, _, attribute = self._lazy_commands[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by ``args``; for an unknown one, an error with the nearest name or all of them."""
        name = args[0]
        if name not in self._lazy_commands and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), self._lazy_commands, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Commands: {', '.join(self._lazy_commands)}."
            ctx.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy_commands.items()])


@click.group(
    cls=LazyGroup,
    lazy_commands=COMMANDS,
    context_settings=CONTEXT,
    epilog=as_it_is(
        "Start with:  fastpg train ppo CartPole-v1 --total-timesteps 100000 --n-envs 8 --run-dir runs/cartpole"
    ),
)
@click.version_option(__version__, prog_name="fastpg", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
def app(debug: bool) -> None:
    """Fast policy-gradient training of MLP policies on a CPU."""
    del debug  # read from the arguments by main


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code: 0, 2 for an error, 130 when interrupted.

    Args:
        arguments: in place of ``sys.argv[1:]``.
    """
    given = sys.argv[1:] if arguments is None else arguments
    _print_anywhere()
    with patient_interrupts():
        code = run(lambda: app.main(given, prog_name="fastpg", standalone_mode=False), debug="--debug" in given)
        if code == EXIT_INTERRUPTED:
            ignore_interrupts()
    # CPython remembers an interrupt that fell into an exec of source (of a dataclass in a module on its way in, say) as
    # unhandled until the next exec, and ``python -m`` then ends by SIGINT instead of with the code.
    exec("")
    sys.exit(code)


def _print_anywhere() -> None:
    """Characters that the encoding of standard output does not have become ``?`` instead of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def run(action: Callable[[], Any], *, debug: bool) -> int:
    """Call ``action`` and turn what it raises into one message on standard error and an exit code."""
    try:
        result = action()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.secho("Interrupted.", err=True, fg="yellow")
        return EXIT_INTERRUPTED
    except (FastPGError, OSError, ImportError) as error:
        if debug:
            raise
        click.secho(f"Error: {error}", err=True, fg="red")
        return EXIT_ERROR


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as one yellow line on standard error, without file names and source lines."""
    import warnings  # noqa: PLC0415

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        del category
        click.secho(f"Warning: {message}", err=True, fg="yellow")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def find_modules_here(env: str) -> None:
    """Let the module of an id such as ``my_envs:Mine-v0`` be in the current directory, as with ``python -m fastpg``."""
    if ":" in env and "" not in sys.path:
        sys.path.append("")
