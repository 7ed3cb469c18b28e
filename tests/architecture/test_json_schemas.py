"""The file of JSON Schemas is what the classes make of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "json_schemas.py"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("json_schemas", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


json_schemas = loaded()
TEXT = json_schemas.FILE.read_text(encoding="utf-8")
SCHEMAS = json.loads(TEXT)


def test_the_file_is_up_to_date() -> None:
    assert json_schemas.rendered() == TEXT, "run `python docs/json_schemas.py`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert name in SCHEMAS[name]["$defs"]
