"""The log's positions and cursors, and what is read of it and of the counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidCursor
from cicd_core.store.records import Counters, LogEntry, LogPage

if TYPE_CHECKING:
    import sqlite3

#: An entry's id is its namespace's number, shifted by this, plus its position from 1: so each
#: namespace has a dense run of its own in the one tree of the table, and needs no index.
LOG_BITS: Final = 40
_POSITIONS: Final = 1 << LOG_BITS
#: Between these are the surrogates, which no text in UTF-8 holds.
_BELOW_SURROGATES: Final = 0xD7FF
_ABOVE_SURROGATES: Final = 0xE000
_LAST_CHARACTER: Final = 0x10FFFF


def read_entries(
    connection: sqlite3.Connection, space: int, cursor: str | None, limit: int
) -> LogPage:
    """Return the events of a namespace behind the cursor: the position of the last one read.

    Raises:
        InvalidCursor: it is no position of this log.
    """
    end, dropped = connection.execute(
        "SELECT log_end, log_dropped FROM namespaces WHERE id = ?", (space,)
    ).fetchone()
    seen = 0 if cursor is None else _position(cursor, end)
    begin = max(seen, dropped)
    first = space << LOG_BITS
    rows = connection.execute(
        "SELECT collection, key, version, ordinal, body FROM log WHERE id > ? AND id <= ? "
        "ORDER BY id LIMIT ?",
        (first + begin, first + end, limit),
    )
    entries = tuple(
        LogEntry(collection=collection, key=key, version=version, ordinal=ordinal, body=body)
        for collection, key, version, ordinal, body in rows
    )
    # Positions are dense from ``dropped`` on, so that the last one need not be asked for.
    return LogPage(
        entries, cursor=str(begin + len(entries)), torn=cursor is not None and seen < dropped
    )


def read_counters(connection: sqlite3.Connection, space: int, prefix: str) -> Counters:
    """Return a namespace's counters, and the end of its log in the same snapshot."""
    (end,) = connection.execute("SELECT log_end FROM namespaces WHERE id = ?", (space,)).fetchone()
    upper = above(prefix)
    bound = "" if upper is None else " AND name < ?"
    parameters = (space, prefix) if upper is None else (space, prefix, upper)
    rows = connection.execute(
        f"SELECT name, value FROM counters WHERE ns = ? AND name >= ?{bound}", parameters
    )
    return Counters(dict(rows.fetchall()), cursor=str(end))


def drop_entries(connection: sqlite3.Connection, space: int, before: int, limit: int) -> int:
    """Drop up to ``limit`` of the oldest events that were appended before an instant.

    Returns:
        How many were dropped.
    """
    first = space << LOG_BITS
    (last,) = connection.execute(
        "SELECT max(id) FROM (SELECT id, at FROM log WHERE id > ? AND id < ? ORDER BY id LIMIT ?) "
        "WHERE at <= ?",
        (first, first + _POSITIONS, limit, before),
    ).fetchone()
    if last is None:
        return 0
    dropped = connection.execute("DELETE FROM log WHERE id > ? AND id <= ?", (first, last))
    connection.execute("UPDATE namespaces SET log_dropped = ? WHERE id = ?", (last - first, space))
    return dropped.rowcount


def _position(cursor: str, end: int) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= len(str(_POSITIONS))):
        raise InvalidCursor(cursor, "it is not one of this store's")
    if int(cursor) > end:
        raise InvalidCursor(cursor, "it is ahead of this store's log")
    return int(cursor)


def above(prefix: str) -> str | None:
    """Return the smallest text above every one that begins with ``prefix``; None: there is none."""
    while prefix and ord(prefix[-1]) == _LAST_CHARACTER:
        prefix = prefix[:-1]
    if not prefix:
        return None
    last = ord(prefix[-1])
    following = _ABOVE_SURROGATES if last == _BELOW_SURROGATES else last + 1
    return prefix[:-1] + chr(following)
