"""Writes the JSON Schemas of all public values, from the classes themselves.

    python docs/json_schemas.py

writes ``docs/reference/json-schemas.json`` again. A test fails when the file is not what this
script makes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import attrs

import cicd_core
from cicd_core import Deployment, Job, Page, Pool, PoolStatus, json_schema
from cicd_core.model.agent import Agent
from cicd_core.public_json.members import public_name

FILE: Final = Path(__file__).with_name("reference") / "json-schemas.json"
#: What callers and services give pages of.
PAGES: Final = (Page[Job], Page[Deployment], Page[Agent], Page[Pool], Page[PoolStatus])


def public_values() -> list[Any]:
    """Return the classes of all public values, and the pages."""
    named = (getattr(cicd_core, name) for name in cicd_core.__all__)
    values = [each for each in named if isinstance(each, type) and attrs.has(each)]
    return [*(each for each in values if each is not Page), *PAGES]


def rendered() -> str:
    """Return the whole file: an object with a schema for each value, one a line, by its name."""
    schemas = {public_name(kind): json_schema(kind) for kind in public_values()}
    lines = (
        f'"{name}": {json.dumps(schema, ensure_ascii=False)}' for name, schema in schemas.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"{FILE} is up to date\n")
