"""Deletes the counters of days that are too old, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.store.counter_days import first_kept_day
from cicd_core.store.sqlite.log import above

if TYPE_CHECKING:
    import sqlite3

    from cicd_core.store.records import StoreTime

#: The most counters that one run deletes, and the most kinds of counters that it looks at.
MOST: Final = 500
_KINDS: Final = 64

_NEXT: Final = "SELECT name FROM counters WHERE ns = ? AND name >= ? ORDER BY name LIMIT 1"
#: Names between two bounds that have eight digits and a bar after their kind.
_DROP: Final = (
    "DELETE FROM counters WHERE ns = ? AND name IN (SELECT name FROM counters WHERE ns = ? "
    "AND name >= ? AND name < ? AND substr(name, ?, 9) GLOB "
    "'[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]|' ORDER BY name LIMIT ?)"
)


class OldCounters:
    """Deletes counters of past days in one namespace, once for each new day."""

    def __init__(self) -> None:
        self._done = ""
        self._from: str | None = ""

    def run(self, connection: sqlite3.Connection, namespace_id: int, now: StoreTime) -> bool:
        """Delete some of them inside the caller's transaction; return whether more may be left."""
        first_kept = first_kept_day(now)
        if first_kept == self._done:
            return False
        self._from, dropped = self._walk(connection, namespace_id, first_kept, self._from or "")
        if self._from is None and dropped < MOST:
            self._done = first_kept
        return self._done != first_kept

    @staticmethod
    def _walk(
        connection: sqlite3.Connection, namespace_id: int, first_kept: str, start: str
    ) -> tuple[str | None, int]:
        """Go over the kinds; return where to continue (None: done), and the number deleted."""
        at: str | None = start
        for _ in range(_KINDS):
            if at is None:
                return None, 0
            row = connection.execute(_NEXT, (namespace_id, at)).fetchone()
            if row is None:
                return None, 0
            name: str = row[0]
            kind, slash, _ = name.partition("|")[0].rpartition("/")
            if slash:
                bounds = (f"{kind}/", f"{kind}/{first_kept}", len(kind) + 2)
                dropped = connection.execute(
                    _DROP, (namespace_id, namespace_id, *bounds, MOST)
                ).rowcount
                if dropped == MOST:
                    return at, dropped
            at = above(f"{kind}/" if slash else name)
        return at, 0
