"""C++ implementation of heads."""

from fastpg._native import entropy, kl_old_new, log_prob, mode, sample

__all__ = ["entropy", "kl_old_new", "log_prob", "mode", "sample"]
