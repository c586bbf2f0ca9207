"""fastpg: fast policy-gradient training of MLP policies on a CPU."""

from fastpg.version import __version__ as __version__
