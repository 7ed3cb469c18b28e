"""Dropping what has run out: expired records, and events that are older than the log is kept.

Nothing waits for it, since every verb leaves out what has expired. It runs after a batch, at most
once a second while it keeps up, and drops little at a time, so that no writer waits long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.store.sqlite.batch import Batch
from cicd_core.store.sqlite.log import drop_entries

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from cicd_core.store.sqlite.tables import Table

#: The most rows of a collection, and the most events, that one run drops.
MOST: Final = 500
#: How long to leave it (microseconds) when nothing is left to drop, and when something may be.
_IDLE: Final = 1_000_000
_BEHIND: Final = 20_000


class Retention:
    """When to look for what has run out, in one namespace."""

    def __init__(self, log_retention: int) -> None:
        """Keep events for ``log_retention`` microseconds."""
        self._log_retention = log_retention
        self._next = 0

    def is_due(self, now: int) -> bool:
        """Whether it is time to look."""
        return now >= self._next

    def run(
        self, connection: sqlite3.Connection, tables: Mapping[str, Table], space: int, now: int
    ) -> None:
        """Drop some of what has run out, inside the caller's transaction."""
        self._next = now + _IDLE  # also if this fails
        batch = Batch(connection, tables, space, now)
        most = 0
        for table in tables.values():
            rows = connection.execute(table.expired, (space, now, MOST)).fetchall()
            for row in rows:
                batch.adopt(table, row)
                batch.drop((table.collection, row[1]))
            most = max(most, len(rows))
        batch.finish()
        most = max(most, drop_entries(connection, space, now - self._log_retention, MOST))
        if most == MOST:
            self._next = now + _BEHIND
