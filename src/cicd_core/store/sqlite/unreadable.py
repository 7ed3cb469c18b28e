"""Queries that keep damaged rows, with a text that is not UTF-8, apart from the others.

The driver refuses the whole query for one such row. Only then is the query repeated leniently, so
intact rows have no extra cost.
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
    """A text that does not decode, with its invalid bytes escaped."""

    __slots__ = ()


@frozen
class Found:
    """The rows of a query; those that do not decode are kept apart."""

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
    """Return the first intact rows, up to ``limit``; skip damaged ones.

    Args:
        find_up_to: queries up to a number of rows.
        limit: how many intact rows to return.
    """
    asked = limit
    while True:
        found = find_up_to(asked)
        came = len(found.whole) + len(found.damaged)
        if len(found.whole) >= limit or came < asked:
            return found.whole[:limit]
        asked += len(found.damaged)


def corrupt(collection: str, key: str) -> CorruptRecord:
    """Return the error of a call that names a record that does not decode."""
    return CorruptRecord(collection, key, "one of its texts is not UTF-8")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Damaged(raw.decode(errors="backslashreplace"))
