"""The command ``fastpg``: train, eval, plot, info.

The commands import what they need when they run, so that ``fastpg --help`` is quick.
"""

from fastpg.cli.app import main

__all__ = ["main"]
