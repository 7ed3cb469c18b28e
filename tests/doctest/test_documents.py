"""Every Python example of README.md, of the documentation and of the docstrings runs.

A document's examples share their names and run in order, so that a page can build on what stands
above; that is why a document is one test. Blocks in other languages are not run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.parsers import myst, rest

if TYPE_CHECKING:
    from sybil.document import Document

ROOT = Path(__file__).parents[2]
MARKDOWN = Sybil([myst.PythonCodeBlockParser()], pattern="*.md", path=str(ROOT))
DOCSTRINGS = Sybil(
    [rest.PythonCodeBlockParser(), rest.DocTestParser()], pattern="*.py", path=str(ROOT)
)


def documents() -> list[Document]:
    """The documents that hold an example."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [MARKDOWN.parse(path) for path in pages if path.exists()]
    sources = [path for path in sorted((ROOT / "src").rglob("*.py")) if may_hold_an_example(path)]
    found += [DOCSTRINGS.parse(path) for path in sources]
    return [document for document in found if list(document.examples())]


def may_hold_an_example(path: Path) -> bool:
    """To look for the marks of an example is quick; to parse every docstring takes seconds."""
    text = path.read_text("utf-8")
    return any(mark in text for mark in (">>>", "code-block::"))


def name_of(document: Document) -> str:
    return Path(document.path).relative_to(ROOT).as_posix()


def test_the_readme_has_an_example_to_run() -> None:
    assert "README.md" in [name_of(document) for document in documents()]


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_the_examples_run(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    # A module of its own, so that annotations in an example resolve where it stands.
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    document.namespace = vars(module)
    for example in document.examples():
        example.evaluate()
