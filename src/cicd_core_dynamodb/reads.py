"""Reads: records by key, the rows of an index, pages and counts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CorruptRecord, StoreUnavailable
from cicd_core.store.records import Count, RecordPage
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.rows import COUNTED, Bounds, RowReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store.records import Partition, Query, Record
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.items import Layout
    from cicd_core_dynamodb.rows import Row, Rows

#: The most keys of one ``BatchGetItem``.
_BATCH: Final = 100
#: How often keys that DynamoDB left out of a batch are requested again, and the first pause (s).
_ASKS: Final = 6
_PAUSE: Final = 0.02
#: The number of missing or expired records after which a page ends early.
_GONE: Final = 100


class Reader:
    """Reads of one namespace."""

    def __init__(self, calls: Calls, layouts: Mapping[str, Layout], count_seconds: float) -> None:
        """Use a client; a count of a thousand rows may be ``count_seconds`` old."""
        self._calls = calls
        self._layouts = layouts
        self._count_seconds = count_seconds
        #: Until when each count is valid (monotonic seconds), and the count.
        self._counts: dict[Partition, tuple[float, int]] = {}
        #: Reads of the indexes.
        self.indexes = RowReader(calls)

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
        records = (item.live(now) for item in layout.readable(found.values()))
        return {record.key: record for record in records if record is not None}

    async def items(
        self,
        layout: Layout,
        keys: Iterable[str],
        *,
        strongly: bool = True,
        only: Sequence[str] = (),
    ) -> dict[str, Item]:
        """Return the existing items, by the keys of their records.

        Args:
            layout: the layout of the collection.
            keys: the keys of records.
            strongly: whether the read is strongly consistent: it sees every acknowledged write.
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

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition; short if many of its records have expired or moved."""
        place = query.partition
        layout = self._layouts[place.collection]
        records: list[Record] = []
        broken: list[tuple[str, str]] = []
        gone = 0
        bounds = Bounds(after=query.after or None, before=query.before, descending=query.descending)
        while True:
            want = query.limit - len(records)
            rows = await self._rows(layout, place, bounds, want + 1)
            some = rows.found[:want]
            there = await self._still_there(layout, place, some, broken)
            records += there
            gone += len(some) - len(there)
            if len(rows.found) <= want:
                more = rows.reached is not None
                return RecordPage(
                    tuple(records), more=more, resume=rows.reached, unreadable=tuple(broken)
                )
            if len(records) >= query.limit:
                return RecordPage(tuple(records), more=True, unreadable=tuple(broken))
            if gone >= _GONE:
                end = some[-1].sort
                return RecordPage(tuple(records), more=True, resume=end, unreadable=tuple(broken))
            bounds = bounds.behind(some[-1].sort)

    async def _rows(self, layout: Layout, place: Partition, bounds: Bounds, want: int) -> Rows:
        rows = await self.indexes.rows(
            layout, place.index, [place.value], bounds, want, is_bounded=True
        )
        if rows.unavailable is not None:
            raise rows.unavailable
        return rows

    async def _still_there(
        self,
        layout: Layout,
        place: Partition,
        rows: Sequence[Row],
        broken: list[tuple[str, str]],
    ) -> list[Record]:
        """Return the records of rows, without those that have moved since.

        Records that do not decode are added to ``broken``.
        """
        now = (await self._calls.now()).micros
        found = await self.items(layout, (row.key for row in rows), strongly=False)
        index = place.index
        records: list[Record] = []
        for row in rows:
            try:
                record = layout.seen(found.get(row.key)).live(now)
            except CorruptRecord as unread:
                items.left_alone(unread)
                broken.append((row.sort, row.key))
                continue
            if (
                record is not None
                and record.attributes.get(index.partition) == place.value
                and record.attributes.get(index.sort) == row.sort
            ):
                records.append(record)
        return records

    async def is_any(self, partition: Partition, after: str | None) -> bool:
        """Whether an index shows a record of a partition, above a sort value if one is given."""
        layout = self._layouts[partition.collection]
        bounds = Bounds(after=after or None)
        rows = await self.indexes.rows(layout, partition.index, [partition.value], bounds, 1)
        if rows.unavailable is not None:
            raise rows.unavailable
        return bool(rows.found)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return approximately how many records each partition holds."""
        distinct = list(dict.fromkeys(partitions))
        numbers = await all_of(partial(self._counted, item) for item in distinct)
        known = dict(zip(distinct, numbers, strict=True))
        return [Count(known[partition], exact=False) for partition in partitions]

    async def _counted(self, partition: Partition) -> int:
        """Return a count, perhaps a cached one: the more rows it reads, the longer it is valid."""
        now = monotonic_seconds()
        kept = self._counts.get(partition)
        if kept is not None and now < kept[0]:
            return kept[1]
        layout = self._layouts[partition.collection]
        found, looked = await self.indexes.count(layout, partition.index, partition.value)
        for stale in [item for item, (until, _) in self._counts.items() if until < now]:
            del self._counts[stale]
        holds = self._count_seconds * max(1.0, looked / COUNTED)
        self._counts[partition] = (now + holds, found)
        return found
