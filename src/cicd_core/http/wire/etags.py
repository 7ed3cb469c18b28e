"""Entity tags: a short hash of a value, with which a change names the version that it replaces."""

from __future__ import annotations

import hashlib
import json

from cicd_core.public_json import to_json


def etag_of(value: object) -> str:
    """Return the entity tag of a public value; equal values have equal tags everywhere."""
    whole = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32]}"'


def is_tagged(value: object, wanted: str) -> bool:
    """Return whether a header ``If-Match`` names this value; ``*`` matches any value."""
    tags = [tag.strip() for tag in wanted.split(",")]
    return "*" in tags or etag_of(value) in tags
