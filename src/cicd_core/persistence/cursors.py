"""Cursors carry a check: one that was cut, or changed, on its way through a program is refused.

Without it, a list would go on from another place, and answer an empty last page instead of the
rest. The check holds no secret: it finds damage, not forgery.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cicd_core.errors import InvalidCursor
from cicd_core.model.checks import check_cursor

#: The characters of a check.
_SIZE: Final = 8


def seal(place: str) -> str:
    """Return a place to go on from, with its check."""
    return f"{place}.{_check_of(place)}"


def unseal(cursor: object) -> str:
    """Return the place that :func:`seal` was given.

    Raises:
        InvalidCursor: it is no text, or not what :func:`seal` made.
    """
    given = check_cursor(cursor)
    place, _, check = given.rpartition(".")
    if check != _check_of(place):
        raise InvalidCursor(given, "it is damaged: give the cursor of a page, unchanged")
    return place


def _check_of(place: str) -> str:
    digest = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=_SIZE // 2)
    return digest.hexdigest()
