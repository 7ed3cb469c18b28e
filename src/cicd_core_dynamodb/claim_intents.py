"""Marks of claims: the records that a claim intends to take, so its repetition takes no others.

A claim writes its mark before it takes the first record. A repetition of the claim, in any process,
finds the mark by the claim's id, with a consistent read, and reads only those records.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

from cicd_core.model.instants import SECOND
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number, text
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY, TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core_dynamodb.calls import Calls, Item

#: How long (s) a claim can be repeated, at least.
KEPT: Final = 86400
#: The most claims that a process remembers in its memory.
_REMEMBERED: Final = 10_000
#: The most bytes of keys in one item of a mark.
_ITEM_BYTES: Final = 200 * 1024
_KEYS: Final = "K"


class Marks(Protocol):
    """A store of marks."""

    async def find(self, claim_id: str) -> list[str] | None:
        """Return the keys that a claim intends to take; None: it has no mark."""
        ...

    async def begin(self, claim_id: str, keys: Sequence[str]) -> list[str] | None:
        """Mark a claim without a mark and return None; return the keys of an existing mark."""
        ...

    async def extend(self, claim_id: str, keys: Sequence[str]) -> None:
        """Add keys to the mark of a claim; safe to repeat."""
        ...


class SharedMarks:
    """Marks in the journal, for all processes: one write unit per claim that takes records."""

    def __init__(self, calls: Calls, namespace: str) -> None:
        self._calls = calls
        self._namespace = namespace

    async def find(self, claim_id: str) -> list[str] | None:
        """Return the keys that a claim intends to take; None: it has no mark."""
        query = Expression()
        query.require("{p} = {stream}", p=STREAM_KEY, stream=text(self._stream(claim_id)))
        parameters = {
            "TableName": self._calls.table(JOURNAL.name),
            "ConsistentRead": True,
            **query.query_parameters(),
        }
        found: list[Item] = []
        while True:
            answer = await self._calls("query", **parameters)
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                break
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return [key for item in found for key in _keys(item)] if found else None

    async def begin(self, claim_id: str, keys: Sequence[str]) -> list[str] | None:
        """Mark a claim without a mark and return None; return the keys of an existing mark."""
        first, *others = _portions(keys)
        try:
            await self._put(claim_id, "0", first)
        except ConditionFailed:
            return await self.find(claim_id)
        for portion in others:
            await self.extend(claim_id, portion)
        return None

    async def extend(self, claim_id: str, keys: Sequence[str]) -> None:
        """Add keys to the mark of a claim; safe to repeat."""
        for portion in _portions(keys):
            try:
                await self._put(claim_id, f"1{_digest(portion)}", portion)
            except ConditionFailed:
                continue

    async def _put(self, claim_id: str, place: str, keys: Sequence[str]) -> None:
        now = (await self._calls.now()).micros
        put = Expression()
        put.require("attribute_not_exists({p})", p=STREAM_KEY)
        item: Item = {
            STREAM_KEY: text(self._stream(claim_id)),
            PLACE_KEY: text(place),
            _KEYS: {"L": [text(key) for key in keys]},
            TTL_ATTRIBUTE: number(now // SECOND + KEPT),
        }
        parameters: dict[str, Any] = {
            "TableName": self._calls.table(JOURNAL.name),
            "Item": item,
            **put.condition_parameters(),
        }
        await self._calls("put_item", **parameters)

    def _stream(self, claim_id: str) -> str:
        return f"{self._namespace}|m|{claim_id}"


class OwnMarks:
    """Marks in this process, for stores where only this process repeats its claims."""

    def __init__(self) -> None:
        self._marks: OrderedDict[str, list[str]] = OrderedDict()

    async def find(self, claim_id: str) -> list[str] | None:
        """Return the keys that a claim intends to take; None: it has no mark."""
        return self._marks.get(claim_id)

    async def begin(self, claim_id: str, keys: Sequence[str]) -> list[str] | None:
        """Mark a claim without a mark and return None; return the keys of an existing mark."""
        marked = self._marks.get(claim_id)
        if marked is None:
            self._marks[claim_id] = list(keys)
            while len(self._marks) > _REMEMBERED:
                self._marks.popitem(last=False)
        return marked

    async def extend(self, claim_id: str, keys: Sequence[str]) -> None:
        """Add keys to the mark of a claim."""
        self._marks.setdefault(claim_id, []).extend(keys)


def _keys(item: Item) -> list[str]:
    return [value["S"] for value in item[_KEYS]["L"]]


def _digest(keys: Sequence[str]) -> str:
    """Return a place that is unique to a set of keys."""
    return hashlib.blake2b("\0".join(keys).encode(), digest_size=16).hexdigest()


def _portions(keys: Sequence[str]) -> list[list[str]]:
    portions: list[list[str]] = []
    size = 0
    for key in keys:
        length = len(key.encode()) + 3
        if not portions or size + length > _ITEM_BYTES:
            portions.append([])
            size = 0
        portions[-1].append(key)
        size += length
    return portions
