"""fastpg: fast policy-gradient training of MLP policies on a CPU."""

__version__ = "0.1.0"
