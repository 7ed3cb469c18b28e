"""Counters: sums over the log by shard and by group, plus the log's increments after the sums.

The item of a group holds the sums of one shard up to an item of the log, and the number of that
item. Another item records up to which number all groups are complete. So a counter is the stored
sum, plus the increments of the log after it. A large group has several items, see
:mod:`cicd_core_dynamodb.counter_groups`.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import CorruptRecord
from cicd_core.store.counter_days import day_of, end_of
from cicd_core.store.records import Counters
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.counter_groups import Group, Part, group_of, rest_of
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number, text
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY, TTL_ATTRIBUTE
from cicd_core_dynamodb.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.journal import Journal
    from cicd_core_dynamodb.log import Log
    from cicd_core_dynamodb.sequencer import Sequencer

#: The attributes of a part of a group: up to which item of the log, and the sums.
_UP_TO: Final = "U"
_SUMS: Final = "Y"
#: Whether the sums are in the parts below instead.
_SPLIT: Final = "YS"
#: The first letter of the places of groups, and of the parts of a split group.
_WHOLE: Final = "g"
_PART: Final = "h"
#: The place of the item that records up to which number all groups are complete.
_COMPLETE: Final = "complete"
#: The number of items of the log after the sums at which they are folded into the sums.
FOLD: Final = 64


class CounterBook:
    """The counters of one namespace."""

    def __init__(
        self, calls: Calls, journal: Journal, log: Log, shards: Sequence[Sequencer]
    ) -> None:
        self._calls = calls
        self._journal = journal
        self._log = log
        self._shards = shards
        self._unreadable = Unreadable("counters")

    async def read(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``, and the cursor of their end."""
        shards = range(len(self._shards))
        parts = await all_of(partial(self._sums, shard, prefix) for shard in shards)
        totals: defaultdict[str, int] = defaultdict(int)
        for _, part in parts:
            for name, amount in part.items():
                totals[name] += amount
        return Counters(dict(totals), cursor=self._log.cursor([head for head, _ in parts]))

    async def fold(self) -> None:
        """Update the log, and add its new increments to the sums."""
        await all_of(partial(self._sums, shard, "none|") for shard in range(len(self._shards)))

    async def _sums(self, shard: int, prefix: str) -> tuple[int, dict[str, int]]:
        """Return the sums of one shard, and up to which item of the log they are complete."""
        sequencer = self._shards[shard]
        head = await sequencer.advance()
        complete = await self._complete(shard)
        groups = await self._groups(shard, prefix)
        folded = max(complete, *(kept.up_to for kept in groups.values()))
        if folded > head:  # by another process meanwhile: so the log has these items
            await sequencer.follow()
            head = folded
        return head, await self._sums_at(shard, prefix, head, complete, groups)

    async def _sums_at(
        self, shard: int, prefix: str, head: int, complete: int, groups: Mapping[str, Group]
    ) -> dict[str, int]:
        tail = await self._tail(self._shards[shard], complete, head)
        totals: defaultdict[str, int] = defaultdict(int)
        for group in groups.values():
            for name, amount in group.sums():
                if name.startswith(prefix):
                    totals[name] += amount
        for at, increments in tail.items():
            for name, amount in increments:
                if name.startswith(prefix):
                    group = groups.get(group_of(name), Group(group_of(name)))
                    if at > group.position_of(rest_of(name))[1].up_to:
                        totals[name] += amount
        if len(tail) >= FOLD:
            await self._fold(shard, head, tail)
        return totals

    async def _tail(
        self, shard: Sequencer, complete: int, head: int
    ) -> dict[int, list[tuple[str, int]]]:
        """Return the increments of the log's items from after ``complete`` up to ``head``."""
        known = shard.increments(complete)
        if not (head <= complete or (known and complete + 1 in known)):
            for item in await shard.log.read(complete + 1):
                known[item.at] = tuple(
                    increment for one in item.entries for increment in one.increments
                )
        return {
            at: [(item.name, item.amount) for item in those]
            for at, those in known.items()
            if complete < at <= head
        }

    async def _fold(self, shard: int, head: int, tail: Mapping[int, list[tuple[str, int]]]) -> None:
        """Add the tail to the items of its groups, then record that all are complete up to it.

        The written values depend only on the log: any other process writes the same.
        """
        names = {group_of(name) for increments in tail.values() for name, _ in increments}
        await all_of(partial(self._fold_group, shard, group, head, tail) for group in sorted(names))
        await self._put(shard, _COMPLETE, {_UP_TO: number(head)}, head)

    async def _fold_group(
        self, shard: int, name: str, head: int, tail: Mapping[int, list[tuple[str, int]]]
    ) -> None:
        try:
            group = await self._group(shard, name)
        except CorruptRecord as broken:  # a read of this group raises it; others must go on
            self._unreadable.note(name, broken)
            return
        # One after the other: the new parts are written before their part is marked as split.
        for path, part in group.folded(tail, head).items():
            written: Item = {_UP_TO: number(head)}
            if part.is_split:
                written[_SPLIT] = {"BOOL": True}
            else:
                sums = {f".{rest}": number(amount) for rest, amount in part.sums.items()}
                written[_SUMS] = {"M": sums}
            day = day_of(name)
            if day is not None and (dropped := end_of(day)):
                written[TTL_ATTRIBUTE] = number(dropped)
            await self._put(shard, _place(name, path), written, head)

    async def _complete(self, shard: int) -> int:
        return items.shown_number(await self._get(shard, _COMPLETE) or {}, _UP_TO) or 0

    async def _groups(self, shard: int, prefix: str) -> dict[str, Group]:
        """Return the groups that may hold names with the prefix."""
        found = await self._begin_with(shard, f"{_WHOLE}{prefix}")
        own = {item[PLACE_KEY]["S"][1:]: _read(item) for item in found}
        within = group_of(prefix)
        if within not in own:
            own[within] = _read(await self._get(shard, _place(within, "")))
        groups = await all_of(partial(self._with_parts, shard, *pair) for pair in own.items())
        return {group.name: group for group in groups}

    async def _group(self, shard: int, name: str) -> Group:
        return await self._with_parts(shard, name, _read(await self._get(shard, _place(name, ""))))

    async def _with_parts(self, shard: int, name: str, own: Part) -> Group:
        """Return a group with the parts of its own item: they are read later, so all exist."""
        parts = {"": own}
        if own.is_split:
            for item in await self._begin_with(shard, f"{_PART}{name}|"):
                place: str = item[PLACE_KEY]["S"]
                path = place.rpartition("|")[2]
                if place == _place(name, path):  # not of a group with a longer name
                    parts[path] = _read(item)
        return Group(name, parts)

    async def _begin_with(self, shard: int, place: str) -> list[Item]:
        query = Expression()
        query.require("{p} = {stream}", p=STREAM_KEY, stream=text(self._stream(shard)))
        query.require_prefix(PLACE_KEY, place)
        parameters: dict[str, Any] = {
            "TableName": self._calls.table(JOURNAL.name),
            "ConsistentRead": True,
            **query.query_parameters(),
        }
        found: list[Item] = []
        while True:
            answer = await self._calls("query", **parameters)
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return found
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def _get(self, shard: int, place: str) -> Item | None:
        answer = await self._calls(
            "get_item",
            TableName=self._calls.table(JOURNAL.name),
            Key={STREAM_KEY: text(self._stream(shard)), PLACE_KEY: text(place)},
            ConsistentRead=True,
        )
        found: Item | None = answer.get("Item")
        return found

    async def _put(self, shard: int, place: str, values: Item, head: int) -> None:
        put = Expression()
        put.require("attribute_not_exists({u}) OR {u} < {head}", u=_UP_TO, head=number(head))
        item = {STREAM_KEY: text(self._stream(shard)), PLACE_KEY: text(place), **values}
        table = self._calls.table(JOURNAL.name)
        try:
            await self._calls("put_item", TableName=table, Item=item, **put.condition_parameters())
        except ConditionFailed:
            return  # another process has folded more

    def _stream(self, shard: int) -> str:
        return self._journal.stream("c", shard)


def _place(group: str, path: str) -> str:
    """Return the place of a part of a group; the group's own item has another letter."""
    return f"{_PART}{group}|{path}" if path else f"{_WHOLE}{group}"


def _read(item: Item | None) -> Part:
    """Return the part of a group in an item.

    Raises:
        CorruptRecord: this version of the library does not understand the item.
    """
    if item is None:
        return Part()
    try:
        sums: Mapping[str, Any] = item.get(_SUMS, {}).get("M", {})
        return Part(
            int(item[_UP_TO]["N"]),
            {rest[1:]: int(amount["N"]) for rest, amount in sums.items()},
            is_split=_SPLIT in item,
        )
    except (AttributeError, KeyError, ValueError, TypeError) as broken:
        reason = f"{type(broken).__name__}: {broken}"
        raise CorruptRecord(JOURNAL.name, item[PLACE_KEY]["S"], reason) from broken
