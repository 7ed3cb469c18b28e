"""Rows with a text that is no UTF-8, as damage leaves it: a query keeps them apart from the others.

The driver refuses the whole query for one of them. Only then is it asked again, leniently, so that
rows that are whole cost nothing more.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from attrs import field

from cicd_core.errors import CorruptRecord
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How the driver's message begins.
UNDECODABLE: Final = "Could not decode to UTF-8"


class Damaged(str):
    """A text that does not decode, as far as it can be shown."""

    __slots__ = ()


@frozen
class Found:
    """The rows that a query gave, those that do not decode by themselves."""

    whole: list[Sequence[Any]] = field(factory=list[Any])
    damaged: list[Sequence[Any]] = field(factory=list[Any])

    def add(self, other: Found) -> None:
        """Add the rows of another query."""
        self.whole.extend(other.whole)
        self.damaged.extend(other.damaged)


def find(connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]) -> Found:
    """Return the rows of a query."""
    try:
        return Found(connection.execute(statement, parameters).fetchall())
    except sqlite3.OperationalError as failure:
        if UNDECODABLE not in str(failure):
            raise
    connection.text_factory = _text
    try:
        rows = connection.execute(statement, parameters).fetchall()
    finally:
        connection.text_factory = str
    found = Found()
    for row in rows:
        part = found.damaged if any(isinstance(item, Damaged) for item in row) else found.whole
        part.append(row)
    return found


def find_whole(find_up_to: Callable[[int], Found], limit: int) -> list[Sequence[Any]]:
    """Return the first rows that are whole, up to ``limit``, past those that are damaged.

    Args:
        find_up_to: asks for so many rows.
        limit: how many whole ones are wanted.
    """
    asked = limit
    while True:
        found = find_up_to(asked)
        came = len(found.whole) + len(found.damaged)
        if len(found.whole) >= limit or came < asked:
            return found.whole[:limit]
        asked += len(found.damaged)


def corrupt(collection: str, key: str) -> CorruptRecord:
    """Return the error of a call that names a record which does not decode."""
    return CorruptRecord(collection, key, "one of its texts is not UTF-8")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Damaged(raw.decode(errors="backslashreplace"))
