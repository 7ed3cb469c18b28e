"""Reads the journal of one shard, from the point up to which it was processed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import CorruptRecord
from cicd_core.values import frozen
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.entries import decode
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.items import text
from cicd_core_dynamodb.journal import DATA
from cicd_core_dynamodb.log_times import RIPE
from cicd_core_dynamodb.ordering import WaitingEntry, moment
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY
from cicd_core_dynamodb.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.records import StoreTime
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.still_open import StillOpen

#: About the most bytes that one look reads.
_LOOK_BYTES: Final = 4 * 1024 * 1024


@frozen
class Look:
    """The result of one look at the journal."""

    #: Its start: all items older by :data:`~cicd_core_dynamodb.log_times.RIPE` existed.
    asked: StoreTime
    waiting: list[WaitingEntry]
    #: The moment (µs) of the last item read. Other items of that moment may follow it.
    last: int
    #: Whether there are items after it.
    cut: bool


class JournalReader:
    """One stream of the journal."""

    def __init__(self, calls: Calls, stream: str) -> None:
        self._calls = calls
        self._stream = stream
        #: The open items, by place: an item of the journal never changes.
        self._kept: dict[str, Item] = {}
        self._unreadable = Unreadable("journal")

    async def look(
        self, reached: int, still_open: Sequence[StillOpen], *, beyond: Look | None = None
    ) -> Look:
        """Return the items after ``reached`` (µs), and the open ones before it.

        It ends early if there are many, but never within the first instant, so a reader that
        continues from the instant before its last one makes progress. A second read, ``beyond``
        the first one, goes further by the largest difference of clocks.
        """
        asked = await self._calls.now()
        parameters = self._query(reached)
        waiting = await self._opened(still_open)
        size = first = last = 0
        while True:
            answer = await self._calls("query", **parameters)
            some: list[Item] = answer["Items"]
            waiting += [one for item in some for one in self._waiting(item)]
            size += sum(map(_size, some))
            moments = [item for item in map(_moment, some) if item is not None]
            if moments:
                first, last = first or moments[0], moments[-1]
            rest = answer.get("LastEvaluatedKey")
            if beyond is None:
                enough = size >= _LOOK_BYTES and last > first
            else:
                enough = beyond.cut and last > beyond.last + 2 * RIPE
            if not rest or enough:
                return Look(asked, waiting, last=last, cut=bool(rest))
            parameters["ExclusiveStartKey"] = rest

    def _waiting(self, item: Item) -> list[WaitingEntry]:
        """Return the entries of an item; none if it is damaged, so that others can go on."""
        place: str = item[PLACE_KEY]["S"]
        try:
            moment(place)
            return [
                WaitingEntry(place=place, index=index, entry=entry)
                for index, entry in enumerate(decode(item[DATA]["B"]))
            ]
        except (CorruptRecord, KeyError, ValueError) as broken:
            self._unreadable.note(f"{self._stream} {place}", broken)
            return []

    def _query(self, reached: int) -> dict[str, Any]:
        query = Expression()
        query.require("{p} = {stream}", p=STREAM_KEY, stream=text(self._stream))
        # A place is 16 digits of time, then hexadecimal ones: all places of a time are below "~".
        query.require("{q} > {reached}", q=PLACE_KEY, reached=text(f"{reached:016d}~"))
        return {
            "TableName": self._calls.table(JOURNAL.name),
            "ConsistentRead": True,
            **query.query_parameters(),
        }

    async def _opened(self, still_open: Sequence[StillOpen]) -> list[WaitingEntry]:
        """Return the entries that are still open, without the other entries of their items."""
        places = [item.place for item in still_open]
        self._kept = {place: self._kept[place] for place in places if place in self._kept}
        found = await all_of(
            partial(
                self._calls,
                "get_item",
                TableName=self._calls.table(JOURNAL.name),
                Key={STREAM_KEY: text(self._stream), PLACE_KEY: text(place)},
                ConsistentRead=True,
            )
            for place in places
            if place not in self._kept
        )
        items: list[Item] = [answer["Item"] for answer in found if "Item" in answer]
        self._kept |= {item[PLACE_KEY]["S"]: item for item in items}
        return [
            waiting
            for item in still_open
            if item.place in self._kept
            for waiting in self._waiting(self._kept[item.place])
            if item.holds(waiting.index)
        ]


def _size(item: Item) -> int:
    """Return the approximate size of an item of the journal in bytes."""
    data = item.get(DATA, {}).get("B", b"")
    return len(data) if isinstance(data, bytes) else 0


def _moment(item: Item) -> int | None:
    """Return when an item was placed (µs); None: its place has no time."""
    try:
        return moment(item[PLACE_KEY]["S"])
    except ValueError:
        return None
