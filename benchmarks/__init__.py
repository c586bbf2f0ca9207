"""How fast fastpg is on this machine, beside its peers: ``pytest benchmarks/``, ``python -m benchmarks.compare``."""

import sys
from pathlib import Path

# ``python -m benchmarks.compare`` puts the repository in front of the installed packages, and with it a source tree
# that may lack the compiled extension: it goes to the end.
_ROOT = str(Path(__file__).parent.parent)
if sys.path and sys.path[0] in {"", _ROOT}:
    sys.path.append(sys.path.pop(0))
