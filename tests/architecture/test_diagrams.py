"""Each diagram of the pages has a picture, which the built pages show in its place."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "diagrams.py"
FENCE = "```mermaid\nflowchart LR\n    accTitle: Two boxes\n    a --> b\n```\n"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("diagrams", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


diagrams = loaded()


def test_every_diagram_has_its_pictures_and_no_picture_is_left_over() -> None:
    found = sorted(path.name for path in diagrams.FOLDER.glob("*.svg"))
    assert found == sorted(diagrams.files()), "run `python docs/diagrams.py`"


def test_every_picture_is_an_svg_without_an_error_of_mermaid() -> None:
    for path in diagrams.FOLDER.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("<svg"), path
        assert "Syntax error" not in text, path


def test_a_fence_becomes_a_picture_for_light_and_one_for_dark_pages() -> None:
    page = diagrams.with_pictures(f"before\n\n{FENCE}\nafter\n")
    assert "mermaid" not in page
    assert page.count(":alt: Two boxes") == 2
    assert ":class: only-light" in page
    assert ":class: only-dark" in page


def test_a_diagram_without_a_title_is_refused() -> None:
    with pytest.raises(KeyError, match="accTitle"):
        diagrams.with_pictures(FENCE.replace("accTitle", "title"))
