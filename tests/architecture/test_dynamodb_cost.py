"""The tables of the pages on costs are what the figures make of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "dynamodb_cost.py"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("dynamodb_cost", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cost = loaded()


@pytest.mark.parametrize("page", cost.PAGES, ids=lambda page: str(page.stem))
def test_a_page_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert cost.rendered(text) == text, "run `python docs/dynamodb_cost.py`"


def test_every_part_that_is_made_is_on_one_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in cost.PAGES)
    assert [text.count(f"<!-- made: {name} -->") for name in cost.PARTS] == [1] * len(cost.PARTS)
