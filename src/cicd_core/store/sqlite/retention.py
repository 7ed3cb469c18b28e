"""Deletes expired records, and events that are older than the log's retention.

Nothing depends on its timing, since every verb treats an expired record as absent. It runs after a
batch, at most once a second while it keeps up, and less often while there is nothing to delete.
Each run deletes a limited number of rows and bytes, so that no writer waits long. Bodies are not
read. Then it gives free pages of the file back to the disk, also a few at a time.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

from attrs import define

from cicd_core.model.instants import SECOND
from cicd_core.store.sqlite.batch import Batch
from cicd_core.store.sqlite.log import LOG_BITS, POSITIONS
from cicd_core.store.sqlite.unreadable import find

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from cicd_core.store.sqlite.tables import Table

#: The most rows of a collection, and the most events, that one run deletes.
MOST: Final = 500
#: About the most bytes of bodies that one run deletes: their pages are freed one by one.
MOST_BYTES: Final = 4 * 1024 * 1024
#: The free pages that the file keeps for the next writes, and the part of the file that may be
#: free: if all free pages were given back, the next writes would have to grow the file again.
KEPT_PAGES: Final = 1024
KEPT_PART: Final = 1 / 8
#: The most pages that one run gives back: each may move a page from the file's end.
MOST_PAGES: Final = 256
#: The pause until the next run, in microseconds: when nothing is left to delete; the longest one
#: (each run that finds nothing doubles the pause); and when more may be left.
_IDLE: Final = SECOND
_LONGEST_IDLE: Final = 8 * SECOND
_BEHIND: Final = 20_000


@define
class Budget:
    """How much one run may delete from one table."""

    rows: int = MOST
    size: int = MOST_BYTES

    def take(self, size: int) -> bool:
        """Whether one more row of ``size`` bytes may go; the last one may exceed the budget."""
        if self.is_spent:
            return False
        self.rows -= 1
        self.size -= size
        return True

    @property
    def is_spent(self) -> bool:
        """Whether there may be more to delete than the run has deleted."""
        return self.rows <= 0 or self.size <= 0


class Retention:
    """Deletes expired records and old events of one namespace, and decides when to look."""

    def __init__(self, log_retention: int) -> None:
        """Keep events for ``log_retention`` microseconds."""
        self._log_retention = log_retention
        self._next = 0
        self._pause = 0

    def is_due(self, now: int) -> bool:
        """Whether it is time to look for something to delete."""
        return now >= self._next

    def begin(self, now: int) -> None:
        """Look again in a second, or in up to eight while there is nothing to delete."""
        self._pause = min(2 * self._pause, _LONGEST_IDLE) or _IDLE
        self._next = now + self._pause

    def drop_records(
        self,
        connection: sqlite3.Connection,
        tables: Mapping[str, Table],
        namespace_id: int,
        now: int,
    ) -> None:
        """Delete some of the expired records, inside the caller's transaction."""
        batch = Batch(connection, tables, namespace_id, now)
        for table in tables.values():
            budget = Budget()
            found = find(connection, table.expired, (namespace_id, now, budget.rows))
            rows = [*found.whole, *found.damaged]
            for *row, size in rows:
                if budget.take(size):
                    batch.adopt(table, row)
                    batch.drop((table.collection, row[1]))
            self._look_again(now, dropped=bool(rows), more=budget.is_spent)
        batch.finish()

    def drop_events(self, connection: sqlite3.Connection, namespace_id: int, now: int) -> None:
        """Delete some of the events that are too old, inside the caller's transaction."""
        budget = Budget()
        dropped = _drop_entries(connection, namespace_id, now - self._log_retention, budget)
        self._look_again(now, dropped=dropped, more=budget.is_spent)

    def shrink(self, connection: sqlite3.Connection, now: int) -> None:
        """Give back some of the free pages, outside a transaction."""
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if free <= KEPT_PAGES:
            return
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        spare = free - max(KEPT_PAGES, int(pages * KEPT_PART))
        if spare > 0:
            # Each step of the statement gives back one page, and returns a row without a column:
            # only a script is stepped to its end.
            connection.executescript(f"PRAGMA incremental_vacuum({min(spare, MOST_PAGES)})")
        self._look_again(now, dropped=spare > 0, more=spare > MOST_PAGES)

    def look_soon(self, now: int) -> None:
        """Look again within a second: there is more to delete."""
        self._look_again(now, dropped=True, more=False)

    def _look_again(self, now: int, *, dropped: bool, more: bool) -> None:
        if dropped:
            self._pause = _IDLE
            self._next = min(self._next, now + (_BEHIND if more else _IDLE))


def _drop_entries(
    connection: sqlite3.Connection, namespace_id: int, before: int, budget: Budget
) -> bool:
    """Delete some of the oldest events, appended before an instant; return whether any were."""
    first = namespace_id << LOG_BITS
    rows = connection.execute(
        "SELECT id, at, length(body) FROM log WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
        (first, first + POSITIONS, budget.rows),
    )
    old = takewhile(lambda row: row[1] <= before and budget.take(row[2]), rows)
    last = max((number for number, _, _ in old), default=None)
    if last is None:
        return False
    connection.execute("DELETE FROM log WHERE id > ? AND id <= ?", (first, last))
    connection.execute(
        "UPDATE namespaces SET log_dropped = ? WHERE id = ?", (last - first, namespace_id)
    )
    return True
