"""Cursors carry a checksum, so that a cursor which a program cut or changed is refused.

Without it, a list would continue from another place, and return an empty last page instead of the
rest. The checksum holds no secret: it finds damage, not forgery.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cicd_core.errors import InvalidCursor
from cicd_core.model.checks import check_cursor

#: The length of a checksum, in characters.
_SIZE: Final = 8


def seal(place: str) -> str:
    """Return the cursor for a place to continue from: the place and its checksum."""
    return f"{place}.{_check_of(place)}"


def unseal(cursor: object) -> str:
    """Return the place in a cursor of :func:`seal`.

    Raises:
        InvalidCursor: it is not a text, or :func:`seal` did not make it.
    """
    given = check_cursor(cursor)
    place, _, check = given.rpartition(".")
    if check != _check_of(place):
        raise InvalidCursor(given, "it is damaged: give the cursor of a page, unchanged")
    return place


def _check_of(place: str) -> str:
    digest = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=_SIZE // 2)
    return digest.hexdigest()
