"""``python -m fastpg``: the same as the command ``fastpg``."""

from fastpg.cli import main

if __name__ == "__main__":
    main()
