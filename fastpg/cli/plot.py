"""``fastpg plot <runs>``: learning curves of run directories as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from fastpg.cli.app import CONTEXT, as_it_is
from fastpg.plotting.curves import plot_curves


@click.command(
    context_settings=CONTEXT,
    epilog=as_it_is("Example:  fastpg plot runs/* --output curves.png"),
)
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("curves.png"),
    show_default=True,
    help="Picture to write; its suffix (.png, .svg, .pdf) chooses the format.",
)
@click.option(
    "--key",
    default="rollout/ep_rew_mean",
    show_default=True,
    help="Column of metrics.csv to plot, such as train/approx_kl.",
)
@click.option(
    "--x",
    "x_key",
    default="time/total_timesteps",
    show_default=True,
    help="Column on the x axis; time/time_elapsed plots over seconds.",
)
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
def plot(runs: tuple[Path, ...], output: Path, key: str, x_key: str, debug: bool) -> None:
    """Plot learning curves of one or more run directories, finished or still running.

    Runs of one algorithm on one environment form a group: thin lines for the runs, a thick one for their mean, a band
    of one standard error. Needs matplotlib: pip install 'fastpg[plot]'.
    """
    del debug  # read from the arguments by main
    click.echo(f"Saved {plot_curves(runs, output, key=key, x_key=x_key)}")
