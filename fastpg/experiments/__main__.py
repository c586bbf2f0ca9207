"""``python -m fastpg.experiments NAME``: the same as ``fastpg experiment NAME``."""

import sys

from fastpg.cli import main

if __name__ == "__main__":
    main(["experiment", *sys.argv[1:]])
