"""Jobs that take no time, importable by the processes of the tests."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from fastpg.errors import ConfigError


@dataclass(frozen=True)
class FakeJob:
    path: Path
    what: str = "write"

    size = 2

    @property
    def title(self):
        return f"{self.what} {self.path.name}"

    def is_finished(self):
        return self.path.exists()

    def execute(self, report):
        report(1)
        if self.what == "refuse":
            raise ConfigError("no such thing")
        if self.what == "crash":
            raise ZeroDivisionError("a bug")
        if self.what == "die":
            os._exit(3)
        if self.what == "wait":
            time.sleep(60)
        self.path.write_text(str(os.getpid()))
        return "written"
