"""The guide for authors of stores stands by itself, and quotes code that there is."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "docs/how-to/write-a-store.md"
GUIDE = (ROOT / PAGE).read_text(encoding="utf-8")
#: A comment that names a file and what it has, and the block below it.
EXCERPTS = re.findall(
    r"^<!-- (?P<path>[\w/.]+)(?:: (?P<name>.+?))? -->\n```\w+\n(?P<text>.*?)^```$",
    GUIDE,
    re.MULTILINE | re.DOTALL,
)


def source_of(path: str, name: str) -> str:
    """Return a whole file, a class or a function of it, or what stands between two texts."""
    source = (ROOT / path).read_text(encoding="utf-8")
    if not name:
        return source
    first, dots, last = name.partition(" .. ")
    if dots:
        start = source.index(first)
        return source[start : source.index(last, start)]
    found: ast.AST = ast.parse(source)
    for part in name.split("."):
        members = getattr(found, "body", [])
        found = next(each for each in members if getattr(each, "name", None) == part)
    decorators = getattr(found, "decorator_list", [])
    begin = min(getattr(each, "lineno", 0) for each in [found, *decorators])
    end = getattr(found, "end_lineno", None)
    return dedent("\n".join(source.splitlines()[begin - 1 : end]))


@pytest.mark.parametrize(("path", "name", "text"), EXCERPTS, ids=lambda each: str(each)[:40])
def test_an_excerpt_is_what_the_file_has(path: str, name: str, text: str) -> None:
    assert text.strip() == source_of(path, name).strip()


def test_every_block_of_python_is_run_or_is_an_excerpt() -> None:
    assert len(EXCERPTS) >= 6
    assert GUIDE.count("\n```py\n") + GUIDE.count("\n```toml\n") == len(EXCERPTS)


def test_the_guide_needs_neither_the_site_nor_the_repository_to_be_read() -> None:
    assert re.findall(r"^```\{.*|\{(?:py:\w+|ref|doc)\}`|^\([\w-]+\)=$", GUIDE, re.MULTILINE) == []
    targets = re.findall(r"\]\(([^)]+)\)", GUIDE)
    assert [each for each in targets if not each.startswith("#")] == []


def test_the_wheel_has_the_guide_beside_the_suite() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {PAGE: "cicd_core/testing/write-a-store.md"}
