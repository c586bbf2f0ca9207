"""How fast fastpg is on this machine, beside its peers: ``pytest benchmarks/``, ``python -m benchmarks.compare``."""
