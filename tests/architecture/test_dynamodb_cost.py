"""The tables of the page on costs are what the figures make of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

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
PAGE = cost.PAGE.read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert cost.rendered(PAGE) == PAGE, "run `python docs/dynamodb_cost.py`"


def test_every_part_that_is_made_is_on_the_page() -> None:
    assert all(f"<!-- made: {name} -->" in PAGE for name in cost.PARTS)
