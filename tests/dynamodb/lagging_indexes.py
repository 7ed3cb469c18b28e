"""Indexes that lag: a view of each, brought up to date some time after a write, and asked instead.

All writes go through the proxy that keeps the view, so it begins empty with new tables. An item is
read again when its time has come, so the view shows what stood there then, never anything older
than what it has shown before.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random

Item = dict[str, Any]
#: A condition on a key, as the store writes it.
_CONDITION: Final = re.compile(r"\((#\d+) (=|>|<|BETWEEN) (:\d+)(?: AND (:\d+))?\)")
#: The filters that the store uses, one or several: a part of an index, and what has not expired.
_PART: Final = re.compile(r"\((#\d+) = (:\d+)\)")
_FRESH: Final = re.compile(r"\(attribute_not_exists\((#\d+)\) OR \1 > (:\d+)\)")


@frozen
class _Index:
    """How an index is made."""

    name: str
    partition: str
    sort: str
    projected: tuple[str, ...]


class LaggingIndexes:
    """What the indexes of all tables show."""

    def __init__(
        self, ask: Callable[[str, Item], Awaitable[Item]], lag: float, random: Random
    ) -> None:
        """Ask the engine by ``ask``; show a write after up to ``lag`` seconds."""
        self._ask = ask
        self._lag = lag
        self._random = random
        self._tables: dict[str, tuple[str, list[_Index]]] = {}
        self._rows: dict[tuple[str, str, str], dict[str, Item]] = defaultdict(dict)
        #: Where each item stands in the view now.
        self._places: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        #: Set while nobody shall wait for the time of an item to come.
        self._hurry = asyncio.Event()

    def written(self, keys: Iterable[tuple[str, Item]]) -> None:
        """Note that items were written: a table and a key each."""
        for table, key in keys:
            task = asyncio.create_task(self._show(table, key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Show everything now."""
        self._hurry.set()
        while self._tasks:
            await asyncio.gather(*self._tasks)
        self._hurry.clear()

    def query(self, words: Item) -> Item:
        """Answer a query of an index."""
        _, place, *_ = _bounds(words)
        rows = self._rows[words["TableName"], words["IndexName"], place]
        return answer_of(rows.values(), words)

    async def _show(self, table: str, key: Item) -> None:
        """Bring the view of one item up to date, when its time has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lag * self._random.random()):
                await self._hurry.wait()
        name, indexes = await self._described(table)
        if not indexes:
            return
        subject = (table, key[name]["S"])
        async with self._locks[subject]:
            words = {"TableName": table, "Key": key, "ConsistentRead": True}
            item = (await self._ask("GetItem", words)).get("Item", {})
            for place in self._places.pop(subject, ()):
                del self._rows[place][subject[1]]
            self._places[subject] = []
            for index in indexes:
                if index.partition in item and index.sort in item:
                    place = (table, index.name, item[index.partition]["S"])
                    shown = (name, index.partition, index.sort, *index.projected)
                    self._rows[place][subject[1]] = {at: item[at] for at in shown if at in item}
                    self._places[subject].append(place)

    async def _described(self, table: str) -> tuple[str, list[_Index]]:
        """Return the key and the indexes of a table."""
        if table not in self._tables:
            described = (await self._ask("DescribeTable", {"TableName": table}))["Table"]
            indexes = [
                _Index(
                    each["IndexName"],
                    each["KeySchema"][0]["AttributeName"],
                    each["KeySchema"][1]["AttributeName"],
                    tuple(each["Projection"].get("NonKeyAttributes", ())),
                )
                for each in described.get("GlobalSecondaryIndexes", [])
            ]
            self._tables[table] = (described["KeySchema"][0]["AttributeName"], indexes)
        return self._tables[table]


def answer_of(rows: Iterable[Item], words: Item) -> Item:
    """Return what a query finds among rows: those between its bounds, a page, then filtered."""
    partition, place, low, high = _bounds(words)
    sort = words["IndexName"].removeprefix(f"{partition}-").removesuffix("-index")
    forward = words.get("ScanIndexForward", True)
    closed = "BETWEEN" in words["KeyConditionExpression"]
    start = words.get("ExclusiveStartKey")

    def order(row: Item) -> tuple[str, str]:
        return row[sort]["S"], row["K"]["S"]

    def is_found(row: Item) -> bool:
        at = row[sort]["S"]
        if row[partition]["S"] != place or at < low or (high is not None and at > high):
            return False
        if not closed and at in {low, high}:
            return False
        if start is None:
            return True
        return order(row) > order(start) if forward else order(row) < order(start)

    found = sorted(filter(is_found, rows), key=order, reverse=not forward)
    limit = words.get("Limit", len(found) + 1)
    shown = _kept(found[:limit], words)
    answer: Item = {"Count": len(shown), "ScannedCount": len(found[:limit])}
    if words.get("Select") != "COUNT":
        answer["Items"] = shown
    if len(found) >= limit:  # as DynamoDB does, also if nothing is behind it
        answer["LastEvaluatedKey"] = {
            name: found[limit - 1][name] for name in ("K", partition, sort)
        }
    return answer


def _bounds(words: Item) -> tuple[str, str, str, str | None]:
    """Return the partition's attribute and value, and what is asked for of it."""
    names, values = words["ExpressionAttributeNames"], words["ExpressionAttributeValues"]
    partition, place, low, high = "", "", "", None
    for word, operator, first, second in _CONDITION.findall(words["KeyConditionExpression"]):
        value = values[first]["S"]
        if operator == "=":
            partition, place = names[word], value
        elif operator == "<":
            high = value
        else:
            low, high = value, values[second]["S"] if second else high
    return partition, place, low, high


def _kept(rows: list[Item], words: Item) -> list[Item]:
    """Return the rows that a query's filters let through."""
    names, values = words["ExpressionAttributeNames"], words["ExpressionAttributeValues"]
    for each in filter(None, words.get("FilterExpression", "").split(" AND ")):
        if part := _PART.fullmatch(each):
            name, value = names[part[1]], values[part[2]]
            rows = [row for row in rows if row.get(name) == value]
            continue
        fresh = _FRESH.fullmatch(each)
        assert fresh is not None, each
        name, least = names[fresh[1]], int(values[fresh[2]]["N"])
        rows = [row for row in rows if name not in row or int(row[name]["N"]) > least]
    return rows
