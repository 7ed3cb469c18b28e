"""The rows that an index shows: those of a partition in order, and their number.

Rows stay in an index until DynamoDB removes their items, a week or more after the records have
expired: hundreds of thousands of rows in a busy namespace. Filters leave them out, but still pay
for reading them. So a scan that has left out many rows ends, and returns how far it came.
"""

from __future__ import annotations

from functools import partial
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from cicd_core.values import frozen
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of, some_of
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.items import number, text
from cicd_core_dynamodb.tables import EXPIRY, LEASE_LIMIT, whole_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.errors import StoreUnavailable
    from cicd_core.store.records import Index
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.items import Layout

#: About the most rows that one scan of a partition leaves out, over all of its shards.
LEFT_OUT: Final = 1000
#: The most rows of one query if some rows are left out, and of the first query if that is likely.
_MOST_ROWS: Final = 1000
_FILTERED: Final = 250
#: How many rows a count reads with one query, and the most queries of one shard: rows after them
#: are not counted.
COUNTED: Final = 1000
_COUNTS: Final = 25


@frozen(kw_only=True)
class Row:
    """A record as an index shows it; the index may lag."""

    #: The partition's value.
    value: str
    sort: str
    key: str
    #: None: the record has none, or the index does not have it.
    lease_limit: int | None = None


@frozen(kw_only=True)
class Bounds:
    """Which rows of a partition to read."""

    after: str | None = None
    before: str | None = None
    descending: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no row can be between them."""
        return self.before is not None and self.before <= (self.after or "")

    def behind(self, sort: str) -> Bounds:
        """Return the bounds of the part after a sort value."""
        if self.descending:
            return Bounds(after=self.after, before=sort, descending=True)
        return Bounds(after=sort, before=self.before)

    def is_behind(self, sort: str, end: str) -> bool:
        """Whether a sort value comes after another one, in the requested order."""
        return sort < end if self.descending else sort > end


@frozen(kw_only=True)
class Rows:
    """Rows in order, and the reasons why there may be more."""

    found: list[Row]
    #: The sort value up to which the scan came; None: the scan is complete.
    reached: str | None = None
    unavailable: StoreUnavailable | None = None


@frozen
class _Shard:
    """One shard of a partition in an index of the table."""

    index: Index
    place: str
    #: Only items with this attribute and value belong to it.
    part: tuple[str, str] | None


class RowReader:
    """Reads the indexes of one namespace."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def rows(
        self,
        layout: Layout,
        index: Index,
        values: Iterable[str],
        bounds: Bounds,
        want: int,
        *,
        shard: float | None = None,
        is_bounded: bool = False,
    ) -> Rows:
        """Return the first rows of several partitions, in one order.

        With ``shard``, from 0 up to 1, read only one shard of each partition. With ``is_bounded``,
        the scan ends when it has left out about :data:`LEFT_OUT` rows.
        """
        if bounds.is_empty:
            return Rows(found=[])
        now = (await self._calls.now()).micros
        shards = [
            (value, item)
            for value in values
            for item in self._chosen(layout, index, value, shard=shard)
        ]
        most = LEFT_OUT // len(shards) if is_bounded and shards else None
        scans, unavailable = await some_of(
            partial(
                self._scan,
                layout,
                index,
                value,
                self._query(layout, item, bounds, now),
                bounds=bounds,
                want=want,
                most=most,
            )
            for value, item in shards
        )
        ordered = merge(
            *(scan.found for scan in scans), key=lambda row: row.sort, reverse=bounds.descending
        )
        ends = [scan.reached for scan in scans if scan.reached is not None]
        reached = None
        if ends:  # a row after the end of any shard's scan must wait for the next scan
            reached = max(ends) if bounds.descending else min(ends)
            ordered = (row for row in ordered if not bounds.is_behind(row.sort, reached))
        found = list(islice(ordered, want))
        if len(found) == want:
            reached = None
        return Rows(found=found, reached=reached, unavailable=unavailable)

    @staticmethod
    def _chosen(layout: Layout, index: Index, value: str, *, shard: float | None) -> list[_Shard]:
        shards = _shards_of(layout, index, value)
        return shards if shard is None else [shards[int(shard * len(shards))]]

    async def _scan(
        self,
        layout: Layout,
        index: Index,
        value: str,
        parameters: dict[str, Any],
        *,
        bounds: Bounds,
        want: int,
        most: int | None,
    ) -> Rows:
        """Return the first rows of one shard; it ends when ``most`` rows were left out."""
        rows: list[Row] = []
        left_out = 0
        limit = max(want + 1, 2 if whole_of(layout.collection, index) is None else _FILTERED)
        while True:
            answer = await self._calls("query", Limit=limit, **parameters)
            for item in answer["Items"]:
                row = _row(layout, index, value, item)
                if row.sort not in {bounds.after, bounds.before}:
                    rows.append(row)
            left_out += answer["ScannedCount"] - len(answer["Items"])
            last: Item | None = answer.get("LastEvaluatedKey")
            if not last or len(rows) >= want:
                return Rows(found=rows[:want])
            if most is not None and left_out >= most:
                return Rows(found=rows, reached=last[index.sort]["S"])
            parameters["ExclusiveStartKey"] = last
            limit = self._next_limit(limit, want - len(rows) + 1, left_out, most)

    @staticmethod
    def _next_limit(limit: int, wanted: int, left_out: int, most: int | None) -> int:
        """Return how many rows to look at next: more if rows were left out."""
        if not left_out:
            return wanted
        more = min(4 * limit, _MOST_ROWS)
        if most is not None:
            more = min(more, most - left_out)
        return max(wanted, more)

    def _query(self, layout: Layout, shard: _Shard, bounds: Bounds, now: int) -> dict[str, Any]:
        """Return the query for items that have not expired, according to the index."""
        query, index = Expression(), shard.index
        if shard.part is not None:
            query.filter("{a} = {value}", a=shard.part[0], value=text(shard.part[1]))
        query.require("{p} = {place}", p=index.partition, place=text(shard.place))
        if bounds.after and bounds.before is not None:
            # DynamoDB allows one condition on a sort key; the two ends are left out afterwards.
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
            **query.query_parameters(),
        }

    async def count(self, layout: Layout, index: Index, value: str) -> tuple[int, int]:
        """Return the approximate number of a partition's rows, and the number of rows read for it.

        It starts at the end of the order, where indexes by time have new records, and stops after a
        thousand consecutive rows of expired records, which are the oldest.
        """
        now = (await self._calls.now()).micros
        newest_first = Bounds(descending=True)
        counts = await all_of(
            partial(self._count, self._query(layout, shard, newest_first, now))
            for shard in _shards_of(layout, index, value)
        )
        return sum(number for number, _ in counts), sum(looked for _, looked in counts)

    async def _count(self, parameters: dict[str, Any]) -> tuple[int, int]:
        found = looked = 0
        for _ in range(_COUNTS):
            answer = await self._calls("query", Select="COUNT", Limit=COUNTED, **parameters)
            found += answer["Count"]
            looked += answer["ScannedCount"]
            if not answer.get("LastEvaluatedKey") or not answer["Count"]:
                break
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found, looked


def _shards_of(layout: Layout, index: Index, value: str) -> list[_Shard]:
    """Return the shards of a partition of the collection's index."""
    own, whole = layout.places(index, value), whole_of(layout.collection, index)
    if whole is None:
        return [_Shard(index, place, None) for place in own]
    # The partition is named ``…|VALUE``, and is a part of the other index's partition ``VALUE``.
    places = layout.places(whole, value.rpartition("|")[2])
    parts = ((index.partition, item) for item in own)
    return [_Shard(whole, *pair) for pair in zip(places, parts, strict=True)]


def _row(layout: Layout, index: Index, value: str, item: Item) -> Row:
    return Row(
        value=value,
        sort=item[index.sort]["S"],
        key=layout.record_key(item),
        lease_limit=items.shown_number(item, LEASE_LIMIT),
    )
