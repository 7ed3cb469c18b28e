"""The log's positions and cursors, and reads of the log and the counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidCursor
from cicd_core.store.records import Counters, LogEntry, LogPage

if TYPE_CHECKING:
    import sqlite3

#: An entry's id is its namespace's number, shifted by this, plus its position. So each namespace
#: has its own range of ids in the table, and needs no index.
LOG_BITS: Final = 50
#: Microseconds. A position is above the one before, and not below the store's time in this unit, as
#: versions are. So if the end of a log is lost (by a restore of a backup, or a power cut), no later
#: event gets a position that a reader has already passed. Only more than 100,000 events a second,
#: for as long as the lost part of the log covers, would break this.
LOG_TICK: Final = 10
#: How many positions a namespace has.
POSITIONS: Final = 1 << LOG_BITS
#: Between these are the surrogates, which no text in UTF-8 holds.
_BELOW_SURROGATES: Final = 0xD7FF
_ABOVE_SURROGATES: Final = 0xE000
_LAST_CHARACTER: Final = 0x10FFFF


def read_entries(
    connection: sqlite3.Connection, namespace_id: int, cursor: str | None, limit: int, *, now: int
) -> LogPage:
    """Return the events of a namespace after the cursor: the position of the last event read.

    If that event is missing although the log is kept from before it, it was lost with the end of
    the log. That is a gap too.

    Raises:
        InvalidCursor: the cursor is not a position in a log of this store.
    """
    end, dropped = connection.execute(
        "SELECT log_end, log_dropped FROM namespaces WHERE id = ?", (namespace_id,)
    ).fetchone()
    seen = 0 if cursor is None else _position(cursor, max(end, now // LOG_TICK))
    begin = max(seen, dropped)
    first = namespace_id << LOG_BITS
    rows = connection.execute(
        "SELECT id, collection, key, version, ordinal, body FROM log WHERE id >= ? AND id <= ? "
        "ORDER BY id LIMIT ?",
        (first + begin, first + end, limit + 1),
    ).fetchall()
    is_there = bool(rows) and rows[0][0] == first + begin
    rows = rows[1:] if is_there else rows[:limit]
    entries = tuple(
        LogEntry(collection=collection, key=key, version=version, ordinal=ordinal, body=body)
        for _, collection, key, version, ordinal, body in rows
    )
    last = rows[-1][0] - first if rows else min(begin, end)
    is_truncated = seen < dropped or (seen > dropped and not is_there)
    return LogPage(entries, cursor=str(last), truncated=cursor is not None and is_truncated)


def read_counters(connection: sqlite3.Connection, namespace_id: int, prefix: str) -> Counters:
    """Return a namespace's counters and the end of its log, from one snapshot."""
    (end,) = connection.execute(
        "SELECT log_end FROM namespaces WHERE id = ?", (namespace_id,)
    ).fetchone()
    upper = above(prefix)
    bound = "" if upper is None else " AND name < ?"
    parameters = (namespace_id, prefix) if upper is None else (namespace_id, prefix, upper)
    rows = connection.execute(
        f"SELECT name, value FROM counters WHERE ns = ? AND name >= ?{bound}", parameters
    )
    return Counters(dict(rows.fetchall()), cursor=str(end))


def _position(cursor: str, last: int) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= len(str(POSITIONS))):
        raise InvalidCursor(cursor, "it does not belong to this store")
    if int(cursor) > last:
        raise InvalidCursor(cursor, "it is ahead of this store's log")
    return int(cursor)


def above(prefix: str) -> str | None:
    """Return the smallest text above all that begin with ``prefix``; None: there is none."""
    while prefix and ord(prefix[-1]) == _LAST_CHARACTER:
        prefix = prefix[:-1]
    if not prefix:
        return None
    last = ord(prefix[-1])
    following = _ABOVE_SURROGATES if last == _BELOW_SURROGATES else last + 1
    return prefix[:-1] + chr(following)
