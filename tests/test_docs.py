"""The documentation tells the truth: its Python runs, its commands, flags, paths, names and links exist.

Training budgets in examples are cut, so that running all of them takes seconds; nothing else is changed.
"""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests import source_lines

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TREE = ("fastpg/", "csrc/", "tests/", "benchmarks/", "docs/", ".ci/")
SHELL = {"sh", "bash", "console", "shell"}
KNOWN_TOOLS = {"cd", "git", "cmake", "ruff", "mypy", "clang-format", "source", ".", "tensorboard"}


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(path.read_text(encoding="utf-8")) if language in languages]


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def shell_commands(path: Path) -> Iterator[list[str]]:
    """Words of every command in the shell blocks; ``&&``, ``|`` and variable assignments separate or disappear."""
    for block in blocks(path, *SHELL):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|", line.removeprefix("$ ")):
                words = shlex.split(command, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words.pop(0)
                if words:
                    yield words


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "python")], ids=page_id)
def test_python_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page share their names, in order, like cells of a notebook."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__example__"}
    for code in blocks(path, "python"):
        short = re.sub(r"\blearn\([\d_]+", "learn(512", code)
        short = re.sub(r"\bn_steps=[\d_]+", "n_steps=64", short)
        exec(compile(short, str(path), "exec"), namespace)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_exist(path: Path) -> None:
    for words in shell_commands(path):
        where = f"{page_id(path)}: {' '.join(words)}"
        if words[0] == "fastpg":
            check_fastpg_command(words[1:], where)
        elif words[0] == "pip":
            check_extras(words, where)
        elif words[:2] == ["python", "-m"]:
            module = words[2].replace(".", "/")
            known = (ROOT / f"{module}.py").is_file() or (ROOT / module).is_dir() or words[2] in {"venv", "pip"}
            assert known, where
        elif words[:2] == ["python", "-c"]:
            compile(words[2], where, "exec")
        elif words[0] in {"pytest", ".ci/run"}:
            paths = [word for word in words if "/" in word and not word.startswith("-") and "=" not in word]
            assert all((ROOT / word.split("::")[0]).exists() for word in paths), where
        else:
            assert words[0] in KNOWN_TOOLS, where


def check_fastpg_command(words: list[str], where: str) -> None:
    """Every sub-command and flag is known to click."""
    command, rest = click_command(words, where)
    used = {word.split("=")[0] for word in rest if word.startswith("--")}
    unknown = used - flags_of(command) - {"--help", "--version"}
    assert not unknown, f"{where}: unknown flags {sorted(unknown)}"


def click_command(words: list[str], where: str) -> tuple[click.Command, list[str]]:
    from fastpg.cli.app import app

    command: click.Command = app
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        child = command.get_command(click.Context(command), words[0])
        assert child is not None, f"{where}: no command {words[0]}"
        command, words = child, words[1:]
    return command, words


def flags_of(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def check_extras(words: list[str], where: str) -> None:
    declared = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    for extras in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(declared), where


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_paths_and_names_exist(path: Path) -> None:
    """In running text: `fastpg/kernels/gae.py` is a file, `fastpg.errors.ConfigError` can be imported."""
    for text in INLINE.findall(prose(path)):
        if text.startswith(TREE):
            pattern = re.sub(r"<\w+>", "*", text.split("::")[0].split(" ")[0]).rstrip("/")
            assert list(ROOT.glob(pattern)), f"{page_id(path)}: `{text}` does not exist"
        elif re.fullmatch(r"fastpg(\.\w+)+(\(.*\))?", text):
            resolve(text.split("(")[0], f"{page_id(path)}: `{text}`")


def resolve(dotted: str, where: str) -> None:
    parts = dotted.split(".")
    value = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], start=2):
        if not hasattr(value, part):
            try:
                value = importlib.import_module(".".join(parts[:number]))
            except ImportError:
                pytest.fail(f"{where} does not exist")
        else:
            value = getattr(value, part)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(prose(path)):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), f"{page_id(path)}: link to {target}"
        if anchor and page.suffix != ".py":
            assert anchor in anchors(page), f"{page_id(path)}: no heading for {target}"


@pytest.mark.parametrize("path", source_lines.PAGES, ids=page_id)
def test_links_into_the_sources_name_the_right_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == source_lines.rewritten(path), "run: python -m tests.source_lines"
    assert text.count(".py#L") == len(source_lines.SOURCE_LINK.findall(text)), "a link that the command does not keep"


def test_every_algorithm_maps_its_pseudo_code_to_lines() -> None:
    for path in sorted((ROOT / "fastpg/algorithms").glob("*.py")):
        page = ROOT / f"docs/algorithms/{path.stem}.md"
        if page.is_file():
            rows = [line for line in page.read_text(encoding="utf-8").splitlines() if ".py#L" in line]
            assert len(rows) >= 6, page
            assert f"algorithms/{path.stem}.py#L" in "".join(rows), page


def test_a_wrong_line_is_put_right_and_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels/new.py").write_text("class A:\n    @property\n    def b(self): ...\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("[`A.b`, kernels/new.py:7](kernels/new.py#L9)", encoding="utf-8")
    assert source_lines.rewritten(page) == "[`A.b`, kernels/new.py:3](kernels/new.py#L3)"
    page.write_text("[`A.c`, kernels/new.py:7](kernels/new.py#L9)", encoding="utf-8")
    with pytest.raises(source_lines.UnknownDefinitionError, match=r"page.md: kernels/new.py does not define A.c"):
        source_lines.rewritten(page)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_rows_of_tables_have_as_many_cells_as_the_head(path: Path) -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", BLOCK.sub("", path.read_text(encoding="utf-8")), re.MULTILINE):
        rows = table.splitlines()
        n_cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
        wrong = [row for row, n in zip(rows, n_cells, strict=True) if n != n_cells[0]]
        assert not wrong, f"{page_id(path)}: rows with more or fewer cells than the head: {wrong}"


def test_notation_has_a_row_for_every_argument_and_log_key() -> None:
    from fastpg.training.metrics import METRICS

    text = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8")
    named = set(INLINE.findall(text))
    arguments = {name for config in configurations().values() for name in config.fields()}
    assert not arguments - named, f"docs/notation.md lacks the arguments {sorted(arguments - named)}"
    assert not {metric.key for metric in METRICS} - named, "docs/notation.md lacks log keys"
    commands = (["train", name.lower()] for name in configurations())
    flags = set().union(*(flags_of(click_command(command, "fastpg train")[0]) for command in commands))
    unknown = {name for name in named if name.startswith("--")} - flags
    assert not unknown, f"docs/notation.md names flags that do not exist: {sorted(unknown)}"


def configurations() -> dict[str, Any]:
    """Algorithm -> class of its arguments."""
    from fastpg.training.loading import ALGORITHMS, model_class

    return {name: model_class(name).config_class for name in ALGORITHMS}


@pytest.mark.parametrize("name", configurations())
def test_page_of_the_algorithm_explains_every_argument(name: str) -> None:
    pages = ROOT / "docs" / "algorithms"
    named = {
        code for page in (f"{name.lower()}.md", "README.md") for code in INLINE.findall((pages / page).read_text())
    }
    missing = set(configurations()[name].fields()) - named
    assert not missing, f"docs/algorithms/{name.lower()}.md lacks {sorted(missing)}"
    assert f"({name.lower()}.md)" in (pages / "README.md").read_text(encoding="utf-8")


def test_readme_starts_with_the_two_commands() -> None:
    """.ci/run reads them from there."""
    commands = [" ".join(words) for words in shell_commands(ROOT / "README.md")]
    assert commands[0] == "pip install ."
    assert commands[1].startswith("fastpg train ppo CartPole-v1 ")
    assert commands[2:4] == ["pip install .[test]", "pytest"]
