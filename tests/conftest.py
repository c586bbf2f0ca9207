"""Tests run outside of the source tree, so that child processes import the fastpg that is being tested."""

import os
from pathlib import Path

import pytest

import fastpg


@pytest.fixture(autouse=True, scope="session")
def _child_processes_import_the_tested_package(tmp_path_factory):
    """``python -c`` looks into the working directory first: in the source tree, that is a fastpg without extension."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("working_directory"))
        paths = [str(Path(fastpg.__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield
