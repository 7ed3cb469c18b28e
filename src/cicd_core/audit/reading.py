"""The reads of an audit: all records of a partition, the log, and the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.audit.report import Promise
from cicd_core.errors import CorruptRecord
from cicd_core.persistence.event_bodies import decode_event
from cicd_core.store.records import Partition, Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from cicd_core.audit.report import Findings
    from cicd_core.model.event import Event
    from cicd_core.persistence.context import Context
    from cicd_core.store.records import Collection, Count, Record

#: Number of records or events per read.
_PAGE: Final = 500
#: Number of times that a changing partition is counted again.
_COUNTED: Final = 5


async def read_partition(context: Context, partition: Partition) -> AsyncIterator[Record]:
    """Yield every record of a partition, in its order."""
    after: str | None = None
    while True:
        query = Query(partition=partition, limit=_PAGE, after=after)
        page = await context.store.page(query)
        for record in page.records:
            yield record
        after = page.end(partition.index)
        if not page.more or after is None:
            return


async def read_records(context: Context, collection: str, keys: Sequence[str]) -> dict[str, Record]:
    """Return the records that exist, by key; any number of keys is allowed."""
    found: dict[str, Record] = {}
    for first in range(0, len(keys), _PAGE):
        some = keys[first : first + _PAGE]
        found.update(await context.store.get(collection, some))
    return found


class LogReader:
    """Reads the log from its beginning, and continues after a stop."""

    def __init__(self, context: Context, findings: Findings) -> None:
        self._context = context
        self._findings = findings
        self._cursor: str | None = None

    async def rest(self, cursor: str | None = None) -> AsyncIterator[Event]:
        """Yield the events not read yet, up to the end; or those after a cursor."""
        position = self._cursor if cursor is None else cursor
        while True:
            page = await self._context.store.read_log(position, _PAGE)
            if page.truncated:
                self._findings.skip(Promise.LOG, "retention removed events during the audit")
            for entry in page.entries:
                try:
                    event = decode_event(entry)
                except CorruptRecord as broken:
                    self._findings.fault(Promise.READABLE, str(broken))
                    continue
                self._findings.examine(Promise.READABLE)
                yield event
            position = page.cursor
            if cursor is None:
                self._cursor = position
            if not page.entries:
                return


async def count(context: Context, partitions: Sequence[Partition]) -> list[Count]:
    """Return the number of records in each partition; any number of partitions is allowed."""
    counts: list[Count] = []
    for first in range(0, len(partitions), _PAGE):
        some = partitions[first : first + _PAGE]
        counts += await context.store.count(some)
    return counts


async def check_counts(
    context: Context, listed: Mapping[Partition, int], findings: Findings
) -> None:
    """Check that each partition's count equals the length of its listing."""
    partitions = list(listed)
    counts = await count(context, partitions)
    if not all(item.exact for item in counts):
        findings.skip(Promise.COUNTS, "this store's counts are estimates")
        return
    for partition, found in zip(partitions, counts, strict=True):
        findings.examine(Promise.COUNTS)
        if found.number != listed[partition]:
            await _count_again(context, partition, findings)


async def _count_again(context: Context, partition: Partition, findings: Findings) -> None:
    """Count between two listings until all agree; skip partitions that keep changing.

    Two listings with the same versions saw no change between them, except records that came and
    went. A wrong count is wrong by the same number every time.
    """
    errors: set[int] = set()
    number = counted = 0
    for _ in range(_COUNTED):
        before = await _versions(context, partition)
        counted = await _count_one(context, partition)
        after = await _versions(context, partition)
        number = len(after)
        if before != after or counted == number:
            return
        errors.add(counted - number)
    findings.require(
        Promise.COUNTS,
        len(errors) > 1,
        f"{partition.collection} in {partition.index.name} under {partition.value!r}: "
        f"counted {counted}, listed {number}",
    )


async def _versions(context: Context, partition: Partition) -> set[tuple[str, int]]:
    return {(record.key, record.version) async for record in read_partition(context, partition)}


async def _count_one(context: Context, partition: Partition) -> int:
    (found,) = await count(context, [partition])
    return found.number


def partitions_of(record: Record, collection: Collection) -> list[Partition]:
    """Return the partitions of a record, from its attributes."""
    return [
        Partition(collection.name, index, record.attributes[index.partition])
        for index in collection.indexes
        if index.partition in record.attributes
    ]
