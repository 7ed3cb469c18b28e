"""Entity tags: what a value is, in a few characters, so that a change can name what it changes."""

from __future__ import annotations

import hashlib
import json

from cicd_core.public_json import to_json


def etag_of(value: object) -> str:
    """Return the entity tag of a public value: equal values have equal tags, on either side."""
    whole = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32]}"'


def is_tagged(value: object, wanted: str) -> bool:
    """Return whether a value is one of those that a header ``If-Match`` names; ``*`` names any."""
    tags = [tag.strip() for tag in wanted.split(",")]
    return "*" in tags or etag_of(value) in tags
