"""Reads: records by key, the rows of an index, pages and counts."""

from __future__ import annotations

from functools import partial
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep
from attrs import frozen

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreUnavailable
from cicd_core.store.records import Count, Page, Record
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of, some_of
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.items import number, text
from cicd_core_dynamodb.tables import EXPIRY, LEASE_LIMIT, whole_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store.records import Index, Partition, Query
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.items import Layout

#: The most keys of one ``BatchGetItem``.
_BATCH: Final = 100
#: How often what DynamoDB left out of a batch is asked for again, and the first pause, in seconds.
_ASKS: Final = 6
_PAUSE: Final = 0.02
#: How many rows a query looks at, at least, where a filter leaves some of them out.
_FILTERED: Final = 1000
#: The most pages of 1 MiB that a count reads of one shard; what is behind them is not counted.
_COUNT_PAGES: Final = 4


@frozen(kw_only=True)
class Row:
    """A record as an index shows it, which may lag behind."""

    #: Of the partition.
    value: str
    sort: str
    key: str
    #: None where there is none, or the index does not tell.
    lease_limit: int | None = None


@frozen(kw_only=True)
class Bounds:
    """Which rows of a partition to read."""

    after: str | None = None
    before: str | None = None
    descending: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing can lie between them."""
        return self.before is not None and self.before <= (self.after or "")


@frozen
class _Shard:
    """One shard of a partition, as an index of the table has it."""

    index: Index
    place: str
    #: Only what has this attribute with this value belongs to it.
    part: tuple[str, str] | None


class Reader:
    """Reads of one namespace."""

    def __init__(self, calls: Calls, layouts: Mapping[str, Layout], count_seconds: float) -> None:
        """Take the client; a count may be ``count_seconds`` old."""
        self._calls = calls
        self._layouts = layouts
        self._count_seconds = count_seconds
        self._counts: dict[Partition, tuple[float, int]] = {}

    async def get(self, layout: Layout, keys: Iterable[str]) -> dict[str, Record]:
        """Return the records that exist and have not expired, by key.

        Raises:
            CorruptRecord: one of them does not decode.
        """
        now = (await self._calls.now()).micros
        found = await self.items(layout, keys)
        seen = {key: layout.seen(item).live(now) for key, item in found.items()}
        return {key: record for key, record in seen.items() if record is not None}

    async def readable(
        self, layout: Layout, keys: Iterable[str], *, strongly: bool = True
    ) -> dict[str, Record]:
        """Return the records as :meth:`get` does, without those that do not decode."""
        now = (await self._calls.now()).micros
        found = await self.items(layout, keys, strongly=strongly)
        records = (each.live(now) for each in layout.readable(found.values()))
        return {record.key: record for record in records if record is not None}

    async def items(
        self,
        layout: Layout,
        keys: Iterable[str],
        *,
        strongly: bool = True,
        only: Sequence[str] = (),
    ) -> dict[str, Item]:
        """Return the items that are there, by the keys of their records.

        Args:
            layout: of the collection.
            keys: the keys of records.
            strongly: see every write that was answered before.
            only: the attributes to read besides the key; none: all of them.
        """
        distinct = list(dict.fromkeys(keys))
        batches = [distinct[at : at + _BATCH] for at in range(0, len(distinct), _BATCH)]
        found = await all_of(
            partial(self._batch, layout, batch, strongly=strongly, only=only) for batch in batches
        )
        return {layout.record_key(item): item for batch in found for item in batch}

    async def _batch(
        self, layout: Layout, keys: Sequence[str], *, strongly: bool, only: Sequence[str]
    ) -> list[Item]:
        table = self._calls.table(layout.collection.name)
        wanted: dict[str, Any] = {
            "Keys": [{items.KEY: layout.key(key)} for key in keys],
            "ConsistentRead": strongly,
        }
        if only:
            names = {f"#{at}": name for at, name in enumerate((items.KEY, *only))}
            wanted |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        found: list[Item] = []
        for ask in range(_ASKS):
            answer = await self._calls("batch_get_item", RequestItems={table: wanted})
            found += answer["Responses"].get(table, [])
            left: dict[str, dict[str, Any]] = answer.get("UnprocessedKeys") or {}
            if not left:
                return found
            wanted = left[table]
            await sleep(_PAUSE * 2**ask)
        raise StoreUnavailable(f"reads of {table!r} are throttled; nothing was changed")

    async def rows(
        self, layout: Layout, index: Index, value: str, bounds: Bounds, want: int
    ) -> list[Row]:
        """Return the first rows of a partition, or all if there are fewer; the index may lag."""
        rows, unavailable = await self.some_rows(layout, index, [value], bounds, want)
        if unavailable is not None:
            raise unavailable
        return rows

    async def some_rows(
        self,
        layout: Layout,
        index: Index,
        values: Iterable[str],
        bounds: Bounds,
        want: int,
        *,
        shard: float | None = None,
    ) -> tuple[list[Row], StoreUnavailable | None]:
        """Return the first rows of several partitions, in one order, and what hid more of them.

        With ``shard``, from 0 up to 1, those of one shard of each partition alone.
        """
        if bounds.is_empty:
            return [], None
        now = (await self._calls.now()).micros
        shards, unavailable = await some_of(
            partial(self._shard_rows, layout, index, value, words, bounds=bounds, want=want)
            for value in values
            for words in self._queries(layout, index, value, bounds, now, shard=shard)
        )
        ordered = merge(*shards, key=lambda row: row.sort, reverse=bounds.descending)
        return list(islice(ordered, want)), unavailable

    def _queries(
        self,
        layout: Layout,
        index: Index,
        value: str,
        bounds: Bounds,
        now: int,
        *,
        shard: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return the words of one query for each shard of a partition, or for one of them."""
        shards = _shards_of(layout, index, value)
        if shard is not None:
            shards = [shards[int(shard * len(shards))]]
        return [self._query(layout, each, bounds, now) for each in shards]

    async def _shard_rows(
        self,
        layout: Layout,
        index: Index,
        value: str,
        words: dict[str, Any],
        *,
        bounds: Bounds,
        want: int,
    ) -> list[Row]:
        rows: list[Row] = []
        # What a filter leaves out counts towards the limit.
        least = 2 if whole_of(layout.collection, index) is None else _FILTERED
        while True:
            limit = max(want - len(rows) + 1, least)
            answer = await self._calls("query", Limit=limit, **words)
            for item in answer["Items"]:
                row = _row(layout, index, value, item)
                if row.sort not in {bounds.after, bounds.before}:
                    rows.append(row)
            last = answer.get("LastEvaluatedKey")
            if not last or len(rows) >= want:
                return rows[:want]
            words["ExclusiveStartKey"] = last

    def _query(self, layout: Layout, shard: _Shard, bounds: Bounds, now: int) -> dict[str, Any]:
        """Return the words of a query for what has not expired, as far as the index knows."""
        query, index = Expression(), shard.index
        if shard.part is not None:
            query.filter("{a} = {value}", a=shard.part[0], value=text(shard.part[1]))
        query.require("{p} = {place}", p=index.partition, place=text(shard.place))
        if bounds.after and bounds.before is not None:
            # DynamoDB takes one condition on a sort key; its ends are left out afterwards.
            ends = {"low": text(bounds.after), "high": text(bounds.before)}
            query.require("{s} BETWEEN {low} AND {high}", s=index.sort, **ends)
        elif bounds.after:
            query.require("{s} > {low}", s=index.sort, low=text(bounds.after))
        elif bounds.before is not None:
            query.require("{s} < {high}", s=index.sort, high=text(bounds.before))
        if layout.knows_expiry(index):
            query.filter("attribute_not_exists({x}) OR {x} > {now}", x=EXPIRY, now=number(now))
        return {
            "TableName": self._calls.table(layout.collection.name),
            "IndexName": index.name,
            "ScanIndexForward": not bounds.descending,
            **query.query_words(),
        }

    async def page(self, query: Query) -> Page:
        """Return a page of one partition."""
        place = query.partition
        layout = self._layouts[place.collection]
        records: list[Record] = []
        bounds = Bounds(after=query.after or None, before=query.before, descending=query.descending)
        while True:
            want = query.limit - len(records)
            rows = await self.rows(layout, place.index, place.value, bounds, want + 1)
            more = len(rows) > want
            records += await self._still_there(layout, place, rows[:want])
            if not more or len(records) >= query.limit:
                return Page(tuple(records), more=more)
            bounds = _behind(bounds, rows[want - 1])

    async def _still_there(
        self, layout: Layout, place: Partition, rows: Sequence[Row]
    ) -> list[Record]:
        """Return the records of rows, without those that went elsewhere since."""
        found = await self.readable(layout, (row.key for row in rows), strongly=False)
        index = place.index
        return [
            record
            for row in rows
            if (record := found.get(row.key)) is not None
            and record.attributes.get(index.partition) == place.value
            and record.attributes.get(index.sort) == row.sort
        ]

    async def is_any(self, partition: Partition, after: str | None) -> bool:
        """Whether an index shows a record of a partition, above a sort value if one is given."""
        layout = self._layouts[partition.collection]
        bounds = Bounds(after=after or None)
        return bool(await self.rows(layout, partition.index, partition.value, bounds, 1))

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return about how many records each partition holds."""
        distinct = list(dict.fromkeys(partitions))
        numbers = await all_of(partial(self._counted, each) for each in distinct)
        known = dict(zip(distinct, numbers, strict=True))
        return [Count(known[each], exact=False) for each in partitions]

    async def _counted(self, partition: Partition) -> int:
        now = monotonic_seconds()
        kept = self._counts.get(partition)
        if kept is not None and now - kept[0] < self._count_seconds:
            return kept[1]
        layout = self._layouts[partition.collection]
        micros = (await self._calls.now()).micros
        index, value = partition.index, partition.value
        shards = await all_of(
            partial(self._count_shard, words)
            for words in self._queries(layout, index, value, Bounds(), micros)
        )
        for stale in [each for each, (at, _) in self._counts.items() if at + 60 < now]:
            del self._counts[stale]
        self._counts[partition] = (now, sum(shards))
        return sum(shards)

    async def _count_shard(self, words: dict[str, Any]) -> int:
        number_of_rows = 0
        for _ in range(_COUNT_PAGES):
            answer = await self._calls("query", Select="COUNT", **words)
            number_of_rows += answer["Count"]
            if not answer.get("LastEvaluatedKey"):
                break
            words["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return number_of_rows


def _shards_of(layout: Layout, index: Index, value: str) -> list[_Shard]:
    """Return the shards of a partition of the collection's index."""
    own, whole = layout.places(index, value), whole_of(layout.collection, index)
    if whole is None:
        return [_Shard(index, place, None) for place in own]
    # The partition is named ``…|VALUE``, and is a part of the other index's partition ``VALUE``.
    places = layout.places(whole, value.rpartition("|")[2])
    parts = ((index.partition, each) for each in own)
    return [_Shard(whole, *pair) for pair in zip(places, parts, strict=True)]


def _behind(bounds: Bounds, row: Row) -> Bounds:
    """Return the bounds of what is behind a row."""
    if bounds.descending:
        return Bounds(after=bounds.after, before=row.sort, descending=True)
    return Bounds(after=row.sort, before=bounds.before)


def _row(layout: Layout, index: Index, value: str, item: Item) -> Row:
    return Row(
        value=value,
        sort=item[index.sort]["S"],
        key=layout.record_key(item),
        lease_limit=_shown_limit(item),
    )


def _shown_limit(item: Item) -> int | None:
    """Return the lease limit that an index shows; one that is no number is as good as none."""
    try:
        return items.optional_number(item, LEASE_LIMIT)
    except (KeyError, ValueError):
        return None
