"""Kernels: arrays in, arrays out. See ``docs/architecture.md``."""
