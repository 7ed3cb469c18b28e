"""Output for machines: values as JSON, with stable keys."""

from __future__ import annotations

import json
import sys

from cicd_core.printable import printable_json
from cicd_core.public_json import to_json


def dump(value: object) -> str:
    """Return a value as one line of JSON."""
    return printable_json(json.dumps(to_json(value), ensure_ascii=False))


def emit(value: object) -> None:
    """Write a value to stdout: one JSON document, indented."""
    document = json.dumps(to_json(value), ensure_ascii=False, indent=2)
    sys.stdout.write(f"{printable_json(document)}\n")


def emit_line(value: object) -> None:
    """Write a value to stdout: one JSON object on a line, at once."""
    sys.stdout.write(f"{dump(value)}\n")
    sys.stdout.flush()
