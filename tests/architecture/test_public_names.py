"""The pages of the Python API list every public name once, and no other."""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("public_names", DOCS / "public_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


public_names = loaded()
PAGES = sorted((DOCS / "reference" / "python").glob("*.md"))


def listed() -> dict[str, list[str]]:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for page in PAGES:
        for module, name in public_names.listed_names(page.read_text(encoding="utf-8")):
            names[module].append(name)
    return names


@pytest.mark.parametrize("module", sorted(listed()))
def test_the_pages_list_each_public_name_of_a_module_once(module: str) -> None:
    names = listed()[module]
    assert [name for name, number in Counter(names).items() if number > 1] == []
    assert set(names) == set(importlib.import_module(module).__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_class_and_function_of_a_page_has_a_description(page: Path) -> None:
    tables = public_names.with_tables(page.read_text(encoding="utf-8"))
    assert "```{public}" not in tables
    assert [line for line in tables.splitlines() if line.endswith("|  |")] == []


def test_a_description_is_the_first_sentence_of_a_docstring_on_one_line() -> None:
    class Sample:
        __doc__ = "Take a :class:`~cicd_core.Job`\nand ``run`` it. Then more.\n\nAnd more."

    assert public_names.first_sentence(Sample) == "Take a `cicd_core.Job` and `run` it."
