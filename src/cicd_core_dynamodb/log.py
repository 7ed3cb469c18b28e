"""Reads the log, with one cursor over all of its shards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidCursor
from cicd_core.store.records import LogPage
from cicd_core.values import frozen
from cicd_core_dynamodb.calls import all_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.records import LogEntry
    from cicd_core_dynamodb.calls import Calls
    from cicd_core_dynamodb.log_stream import Numbered
    from cicd_core_dynamodb.sequencer import Sequencer

_CURSOR: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,9}(_[0-9]{1,18}\.[0-9]{1,9})*", re.ASCII)
#: The most items of the log in one request.
_ITEMS: Final = 100


@frozen
class Position:
    """How far a shard was read: all items below a number, and a number of events of that item."""

    at: int
    entries: int = 0


@frozen
class _Read:
    """The entries read from a shard."""

    entries: list[LogEntry]
    position: Position
    truncated: bool


class Log:
    """The log of one namespace, for readers."""

    def __init__(self, calls: Calls, shards: Sequence[Sequencer], retention: int) -> None:
        """Read these shards; an event stays in the log for ``retention`` µs."""
        self._calls = calls
        self._shards = shards
        self._retention = retention

    async def read(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None starts at the oldest stored event."""
        start = [Position(0)] * len(self._shards) if cursor is None else self._parsed(cursor)
        heads = await all_of(shard.advance for shard in self._shards)
        if cursor is not None and any(map(_is_ahead, start, heads)):
            raise InvalidCursor(cursor, "it is ahead of this store's log")
        entries: list[LogEntry] = []
        reached: list[Position] = []
        truncated = False
        for shard, position in zip(self._shards, start, strict=True):
            read = await self._read(shard, position, limit - len(entries), cursor)
            entries += read.entries
            reached.append(read.position)
            truncated = truncated or (read.truncated and cursor is not None)
        return LogPage(tuple(entries), cursor=_written(reached), truncated=truncated)

    def cursor(self, heads: Sequence[int]) -> str:
        """Return the cursor after these items."""
        return _written([Position(head + 1 if head else 0) for head in heads])

    async def _read(
        self, shard: Sequencer, position: Position, limit: int, cursor: str | None
    ) -> _Read:
        entries: list[LogEntry] = []
        truncated = False
        oldest = (await self._calls.now()).micros - self._retention
        while limit > len(entries) and position.at <= shard.head:
            found = await shard.log.read(position.at, _ITEMS)
            for item in found:
                events = [event for entry in item.entries for event in entry.events]
                truncated = truncated or self._is_gap(position, item)
                if item.is_unreadable:  # its events are missing, as if retention had dropped them
                    truncated, position = True, Position(item.at + 1)
                    continue
                skip = position.entries if item.at == position.at else 0
                if skip > len(events):
                    raise InvalidCursor(str(cursor), "it does not belong to this store")
                if item.appended is not None and item.appended < oldest:
                    truncated = truncated or len(events) > skip
                    position = Position(item.at + 1)
                    continue
                some = events[skip : skip + limit - len(entries)]
                entries += some
                if skip + len(some) < len(events):
                    return _Read(entries, Position(item.at, skip + len(some)), truncated)
                position = Position(item.at + 1)
            if len(found) < _ITEMS:
                break
        return _Read(entries, position, truncated)

    @staticmethod
    def _is_gap(position: Position, item: Numbered) -> bool:
        """Whether items between a position and the next existing one were dropped."""
        return item.at > position.at if position.at else not item.is_first

    def _parsed(self, cursor: str) -> list[Position]:
        parts = cursor.split("_") if _CURSOR.fullmatch(cursor) else []
        if len(parts) != len(self._shards):
            raise InvalidCursor(cursor, "it does not belong to this store")
        numbers = [tuple(map(int, part.split("."))) for part in parts]
        if any(entries and not at for at, entries in numbers):
            raise InvalidCursor(cursor, "it does not belong to this store")
        return [Position(at, entries) for at, entries in numbers]


def _is_ahead(position: Position, head: int) -> bool:
    if position.at == head + 1:
        return position.entries > 0
    return position.at > head + 1


def _written(positions: Sequence[Position]) -> str:
    return "_".join(f"{position.at}.{position.entries}" for position in positions)
