"""Links of the documentation into the sources: the line that a link names holds the definition that it names.

A link reads [`name`, kernels/gae.py:15](../../fastpg/kernels/gae.py#L15), where name is a function, a class or
Class.method. ``python -m tests.source_lines`` puts the right numbers into all pages; ``test_docs`` fails where that
would change anything.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/**/*.md"))
SOURCE_LINK = re.compile(r"\[`(?P<name>[\w.]+)`, (?P<short>[\w/]+\.py):\d+\]\((?P<target>[\w./]+\.py)#L\d+\)")


class UnknownDefinitionError(LookupError):
    """A page names a definition, or a file, that is not there."""


def rewritten(page: Path) -> str:
    """The text of ``page`` with the right numbers.

    Raises:
        UnknownDefinitionError: a link names something that does not exist.
    """

    def link(match: re.Match[str]) -> str:
        path = (page.parent / match["target"]).resolve()
        if not path.is_file() or not path.as_posix().endswith("/" + match["short"]):
            raise UnknownDefinitionError(f"{page.name}: {match[0]}: no such file, or the text names another")
        line = definitions(path).get(match["name"])
        if line is None:
            raise UnknownDefinitionError(f"{page.name}: {match['short']} does not define {match['name']}")
        return f"[`{match['name']}`, {match['short']}:{line}]({match['target']}#L{line})"

    return SOURCE_LINK.sub(link, page.read_text(encoding="utf-8"))


@cache
def definitions(path: Path) -> dict[str, int]:
    """Functions, classes and Class.method of a source file -> line of ``def`` or ``class``."""
    lines = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines[node.name] = node.lineno
        if isinstance(node, ast.ClassDef):
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef))
            lines |= {f"{node.name}.{method.name}": method.lineno for method in methods}
    return lines


def main() -> None:
    """Rewrite the pages that need it, and name them."""
    for page in PAGES:
        text = rewritten(page)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
