"""The page of the routes is the table that the server runs on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("http_routes", DOCS / "http_routes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_routes_is_up_to_date() -> None:
    page = (DOCS / "reference" / "http-routes.md").read_text(encoding="utf-8")
    assert page == cast("str", script().rendered()), "run `python docs/http_routes.py`"
