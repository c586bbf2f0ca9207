"""The command ``fastpg``; its sub-commands are listed in ``fastpg/cli/app.py``.

The commands import what they need when they run, so that ``fastpg --help`` is quick.
"""

from fastpg.cli.app import main

__all__ = ["main"]
