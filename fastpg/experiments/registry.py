"""All experiments by name."""

from __future__ import annotations

from collections.abc import Mapping

from fastpg.experiments import family, tabular
from fastpg.experiments.experiment import Experiment

EXPERIMENTS: Mapping[str, Experiment] = {**family.EXPERIMENTS, "tabular": tabular.TABULAR}
