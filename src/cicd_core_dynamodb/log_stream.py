"""The numbered items of one shard of the log: reads from a number on, and conditional appends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import CorruptRecord
from cicd_core.model.instants import SECOND
from cicd_core.values import frozen
from cicd_core_dynamodb.entries import decode, encode
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import binary, number, text
from cicd_core_dynamodb.journal import DATA
from cicd_core_dynamodb.log_times import LOG_KEPT
from cicd_core_dynamodb.still_open import StillOpen, parsed
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY, TTL_ATTRIBUTE
from cicd_core_dynamodb.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.entries import Entry

#: The attributes of an item: when it was appended (µs); the moment up to which the journal had been
#: processed; the entries before that moment that were still open; whether it is the first item.
_APPENDED, _REACHED, _OPEN, _FIRST = "A", "W", "O", "F"
#: The place of the number before the first item, and the attribute with it.
_BASE_PLACE: Final = "-"
_BASE: Final = "A"
_MILLI: Final = 1000


@frozen(kw_only=True)
class Numbered:
    """An item of the log."""

    at: int
    entries: tuple[Entry, ...]
    #: When it was appended (µs); None: not recorded.
    appended: int | None
    #: The processed end of the journal, and the open items; None: not recorded.
    reached: int | None
    open: tuple[StillOpen, ...]
    is_first: bool
    #: Whether its entries are missing because they do not decode.
    is_unreadable: bool = False


class LogStream:
    """The items of one shard."""

    def __init__(self, calls: Calls, stream: str, retention: int) -> None:
        """Use a stream; an event stays for ``retention`` µs."""
        self._calls = calls
        self._stream = stream
        self._retention = retention
        self._unreadable = Unreadable("log")

    async def read(self, first: int, limit: int | None = None) -> list[Numbered]:
        """Return the items from a number on, in order."""
        found: list[Numbered] = []
        async for page in self._pages(first, limit, forward=True):
            found += page
            if limit is not None and len(found) >= limit:
                break
        return found if limit is None else found[:limit]

    async def latest(self, overlap: int) -> list[Numbered]:
        """Return the last item, and those before it that belong with it; in order.

        These are the items appended after the moment up to which the journal was processed, minus
        ``overlap`` µs.
        """
        found: list[Numbered] = []
        reached: int | None = None
        async for page in self._pages(0, None, forward=False):
            for item in page:
                found.append(item)
                # An item that does not record how far the journal was read is skipped.
                reached = item.reached if reached is None else reached
                when = item.appended
                if reached is not None and when is not None and when < reached - overlap:
                    return found[::-1]
        return found[::-1]

    async def append(self, item: Numbered) -> bool:
        """Append an item; False: another process has already used its number."""
        put = Expression()
        put.require("attribute_not_exists({p})", p=STREAM_KEY)
        values: Item = {
            **self._key(f"{item.at:020d}"),
            DATA: binary(encode(item.entries)),
            _APPENDED: number(item.appended or 0),
            _REACHED: number(item.reached or 0),
            _OPEN: {"L": [text(one.text) for one in item.open]},
            _FIRST: {"BOOL": item.is_first},
            TTL_ATTRIBUTE: number(((item.appended or 0) + self._retention) // SECOND + LOG_KEPT),
        }
        return await self._put(values, put)

    async def base(self, now: int) -> int:
        """Return the number before the first item, the same for all processes.

        It is a time, so a log whose items have all expired continues with higher numbers.
        """
        while True:
            answer = await self._calls(
                "get_item",
                TableName=self._calls.table(JOURNAL.name),
                Key=self._key(_BASE_PLACE),
                ConsistentRead=True,
            )
            before = int(answer["Item"][_BASE]["N"]) if "Item" in answer else 0
            if before * _MILLI + self._retention + LOG_KEPT * SECOND > now:
                return before
            put = Expression()
            put.require("attribute_not_exists({a}) OR {a} = {old}", a=_BASE, old=number(before))
            base = now // _MILLI
            if await self._put({**self._key(_BASE_PLACE), _BASE: number(base)}, put):
                return base

    async def _put(self, values: Item, condition: Expression) -> bool:
        table = self._calls.table(JOURNAL.name)
        parameters = condition.condition_parameters()
        try:
            await self._calls("put_item", TableName=table, Item=values, **parameters)
        except ConditionFailed:
            return False
        return True

    async def _pages(
        self, first: int, limit: int | None, *, forward: bool
    ) -> AsyncGenerator[list[Numbered], None]:
        query = Expression()
        query.require("{p} = {stream}", p=STREAM_KEY, stream=text(self._stream))
        # Every number is above the place of the base.
        query.require("{q} >= {first}", q=PLACE_KEY, first=text(f"{first:020d}"))
        parameters: dict[str, Any] = {
            "TableName": self._calls.table(JOURNAL.name),
            "ConsistentRead": True,
            "ScanIndexForward": forward,
            **query.query_parameters(),
        }
        if limit is not None or not forward:
            parameters["Limit"] = limit or 1
        while True:
            answer = await self._calls("query", **parameters)
            numbered = map(self._numbered, answer["Items"])
            yield [item for item in numbered if item is not None]
            if not answer.get("LastEvaluatedKey"):
                return
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            if not forward:
                parameters["Limit"] = parameters["Limit"] * 4

    def _numbered(self, item: Item) -> Numbered | None:
        """Return the readable parts of an item of the log; None: it has not even a number."""
        place: str = item[PLACE_KEY]["S"]
        try:
            at = int(place)
        except ValueError as broken:
            self._unreadable.note(f"{self._stream} {place}", broken)
            return None
        entries: tuple[Entry, ...] = ()
        is_unreadable = False
        try:
            entries = tuple(decode(item[DATA]["B"]))
        except (CorruptRecord, KeyError) as broken:
            self._unreadable.note(f"{self._stream} {place}", broken)
            is_unreadable = True
        try:
            return _whole(item, at, entries, is_unreadable=is_unreadable)
        except (KeyError, ValueError, TypeError, AttributeError) as broken:
            self._unreadable.note(f"{self._stream} {place}", broken)
        return Numbered(
            at=at,
            entries=entries,
            appended=None,
            reached=None,
            open=(),
            is_first=False,
            is_unreadable=is_unreadable,
        )

    def _key(self, place: str) -> Item:
        return {STREAM_KEY: text(self._stream), PLACE_KEY: text(place)}


def _whole(item: Item, at: int, entries: tuple[Entry, ...], *, is_unreadable: bool) -> Numbered:
    return Numbered(
        at=at,
        entries=entries,
        appended=int(item[_APPENDED]["N"]),
        reached=int(item[_REACHED]["N"]),
        open=tuple(parsed(one["S"]) for one in item[_OPEN]["L"]),
        is_first=bool(item[_FIRST]["BOOL"]),
        is_unreadable=is_unreadable,
    )
