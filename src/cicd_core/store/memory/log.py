"""The log: events by their position, and the counters from the same commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedDict, SortedList

from cicd_core.errors import InvalidCursor
from cicd_core.store.counter_days import day_of
from cicd_core.store.records import Counters, LogEntry, LogPage

if TYPE_CHECKING:
    from cicd_core.store.records import EventWrite, Increment

#: The most entries that one sweep drops.
SWEEP: Final = 100
#: The most digits of a cursor: Python refuses to parse a number with thousands of them.
_DIGITS: Final = 18

# The time of the append, then the fields of the event.
_Stored = tuple[int, str, str, int, int, bytes]


class Log:
    """Events in the order of their commits. Not thread-safe."""

    def __init__(self, retention: int) -> None:
        """Start empty; an event is kept for ``retention`` microseconds."""
        self._retention = retention
        #: By position, from ``_first`` up to ``_next``. Flat tuples of texts and numbers, which the
        #: garbage collector need not look at again.
        self._entries: dict[int, _Stored] = {}
        self._first = self._next = 1
        self._totals: dict[str, int] = {}
        self._names: SortedList[str] = SortedList()
        #: The names of the counters of each day.
        self._days: SortedDict[str, list[str]] = SortedDict()

    def append(self, event: EventWrite, version: int, now: int) -> None:
        """Add an event, which led to a version, at the end."""
        self._entries[self._next] = (
            now,
            event.collection,
            event.key,
            version,
            event.ordinal,
            event.body,
        )
        self._next += 1

    def increment(self, increment: Increment) -> None:
        """Add to a counter."""
        name = increment.name
        total = self._totals.get(name)
        if total is not None:
            self._totals[name] = total + increment.amount
            return
        self._totals[name] = increment.amount
        self._names.add(name)
        if (day := day_of(name)) is not None:
            self._days.setdefault(day, []).append(name)

    def drop_days(self, first_kept: str) -> None:
        """Drop the counters of the days before ``first_kept``."""
        while self._days and self._days.keys()[0] < first_kept:
            for name in self._days.popitem(0)[1]:
                del self._totals[name]
                self._names.remove(name)

    def sweep(self, now: int) -> None:
        """Drop some of the events whose retention has ended."""
        most = min(self._first + SWEEP, self._next)
        while self._first < most and self._entries[self._first][0] <= now - self._retention:
            del self._entries[self._first]
            self._first += 1

    def read(self, cursor: str | None, limit: int) -> LogPage:
        """Return the events after the cursor, which is the position of the last one read."""
        seen = 0 if cursor is None else self._position(cursor)
        begin = max(seen + 1, self._first)
        end = min(begin + limit, self._next)
        entries = tuple(_entry(self._entries[position]) for position in range(begin, end))
        truncated = cursor is not None and begin > seen + 1
        return LogPage(entries, cursor=str(end - 1), truncated=truncated)

    def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``; they include every event."""
        values: dict[str, int] = {}
        for name in self._names.irange(minimum=prefix):
            if not name.startswith(prefix):
                break
            values[name] = self._totals[name]
        return Counters(values, cursor=str(self._next - 1))

    def _position(self, cursor: str) -> int:
        if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= _DIGITS):
            raise InvalidCursor(cursor, "it does not belong to this store")
        position = int(cursor)
        if position >= self._next:
            raise InvalidCursor(cursor, "it is ahead of this store's log")
        return position


def _entry(stored: _Stored) -> LogEntry:
    _, collection, key, version, ordinal, body = stored
    return LogEntry(collection=collection, key=key, version=version, ordinal=ordinal, body=body)
