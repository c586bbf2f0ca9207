"""Makes ``tests`` importable from tests and benchmarks.

The repository is appended to the path, never put in front, so that ``import fastpg`` finds the installed package and
not a source tree without its compiled extension.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
