"""Reads the log: a cursor's position in the stream, and the page after it.

All events of a commit are one entry of the stream, and a page may end inside an entry. So a cursor
is the entry's id and, if not all of its events were read, a dot and the number of those read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidCursor
from cicd_core.store.records import LogEntry, LogPage
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An id, and the number of events read; the numbers of a stream never have more digits.
_CURSOR: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})(?:\.([0-9]{1,18}))?")
#: An entry of the stream: its id, then the name and the body of each event.
Entry = tuple[bytes, "Sequence[bytes]"]


@frozen
class LogPosition:
    """A position in the stream."""

    #: The id of an entry: milliseconds, and a number within the millisecond.
    id: tuple[int, int]
    #: The number of its events that were read; 0: all of them.
    read: int = 0

    @classmethod
    def parse(cls, cursor: str) -> LogPosition:
        """Return the position that a cursor names.

        Raises:
            InvalidCursor: it is not a cursor of this store.
        """
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise InvalidCursor(cursor, "it does not belong to this store")
        millis, number, read = (int(digits or 0) for digits in found.groups())
        return cls((millis, number), read)

    @property
    def first(self) -> str:
        """XRANGE's lower bound of the entries to read."""
        name = f"{self.id[0]}-{self.id[1]}"
        return name if self.read else f"({name}"

    @property
    def millis(self) -> int:
        """When the entry was appended, in milliseconds of elapsed time."""
        return self.id[0]

    def is_ahead_of(self, last: bytes) -> bool:
        """Whether the position is after the last entry that ever existed."""
        return self.id > _id(last)

    def is_truncated_by(self, dropped: bytes) -> bool:
        """Whether retention dropped entries after this position, or the rest of its entry."""
        last = _id(dropped)
        return self.id < last or (self.id == last and self.read > 0)

    def __str__(self) -> str:
        return f"{self.id[0]}-{self.id[1]}" + (f".{self.read}" if self.read else "")


def log_page(
    position: LogPosition, found: Sequence[Entry], limit: int, *, truncated: bool
) -> LogPage:
    """Return up to ``limit`` events after a position, from the entries found there."""
    entries: list[LogEntry] = []
    for name, fields in found:
        here = _id(name)
        events = _events(fields)
        begin = position.read if here == position.id else 0
        taken = events[begin : begin + limit - len(entries)]
        entries += taken
        end = begin + len(taken)
        position = LogPosition(here, end if end < len(events) else 0)
        if len(entries) == limit:
            break
    return LogPage(tuple(entries), cursor=str(position), truncated=truncated)


def _events(fields: Sequence[bytes]) -> list[LogEntry]:
    """Return the events of an entry of the stream; see ``lua/apply.lua`` for the names."""
    events: list[LogEntry] = []
    collection, key, version = "", "", 0
    for name, body in zip(fields[::2], fields[1::2], strict=True):
        first, number, *rest = name.decode().split(":", 3)
        if rest:
            collection, version = first, int(number)
            ordinal, key = rest
        else:
            version, ordinal = version + int(first), number
        events.append(
            LogEntry(
                collection=collection, key=key, version=version, ordinal=int(ordinal), body=body
            )
        )
    return events


def _id(name: bytes) -> tuple[int, int]:
    millis, _, number = name.partition(b"-")
    return int(millis), int(number)
