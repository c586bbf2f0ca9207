"""All experiments by name."""

from __future__ import annotations

from collections.abc import Mapping

from fastpg.experiments import family, tabular, variants
from fastpg.experiments.experiment import Experiment

EXPERIMENTS: Mapping[str, Experiment] = {
    **family.EXPERIMENTS,
    "variants": variants.VARIANTS_OF_STEPS,
    "tabular": tabular.TABULAR,
}
