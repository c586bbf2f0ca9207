"""The table of kernels in the documentation: every kernel has a row, and the page has the rows of the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastpg.kernels import backends

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import kernel_table


def test_every_kernel_has_a_row() -> None:
    kernels = {name for names in backends.FAMILIES.values() for name in names}
    assert {row.kernel for row in kernel_table.rows()} == kernels


def test_the_page_has_the_rows_of_the_command() -> None:
    page = kernel_table.PAGE.read_text(encoding="utf-8")
    marked = page.split(kernel_table.MARKS[0])[1].split(kernel_table.MARKS[1])[0]
    titles = [line.split(" | ")[0].removeprefix("| ") for line in marked.strip().splitlines()[2:] if line[:1] == "|"]
    assert titles == [row.title for row in kernel_table.rows()]


def test_a_row_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in kernel_table.rows() if row.kernel == "adam_step")
    monkeypatch.setattr(backends, "available", lambda: ("reference",))
    cells = kernel_table.cells(row, None)
    assert len(cells) == 8
    assert cells[0] == "`adam_step`, 9155"
    assert cells[5].endswith("s")
    assert cells[6:] == ["119 k", "256 k"]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{kernel_table.MARKS[0]}\nold\n{kernel_table.MARKS[1]}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(kernel_table, "PAGE", page)
    kernel_table.write(f"{kernel_table.MARKS[0]}\nnew\n{kernel_table.MARKS[1]}")
    expected = f"before\n{kernel_table.MARKS[0]}\nnew\n{kernel_table.MARKS[1]}\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
