"""Public values as JSON, for the command line, HTTP and callers.

Names are those of the fields. Instants are ISO 8601 in UTC with a ``Z``, enums are their values (a
priority is its name, such as ``high``), and durations are seconds. Secrets of the holder of a lease
or a session, such as a claim id or a token, are never written.
"""

from __future__ import annotations

from cicd_core.public_json.reading import from_json
from cicd_core.public_json.schema import json_schema
from cicd_core.public_json.writing import to_json

__all__ = ["from_json", "json_schema", "to_json"]
