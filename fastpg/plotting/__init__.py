"""Plots of finished and running trainings; needs matplotlib (``pip install 'fastpg[plot]'``)."""

from fastpg.plotting.curves import plot_curves

__all__ = ["plot_curves"]
