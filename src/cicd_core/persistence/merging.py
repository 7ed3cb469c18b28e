"""Reads several partitions as one list, and little more of each than the list needs."""

from __future__ import annotations

import heapq
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import define

from cicd_core.background import together
from cicd_core.store.records import Query, RecordPage
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.persistence.context import Context
    from cicd_core.store.records import Partition, Record

#: How many records more than its share are read of a partition, so that even shares need no second
#: read.
_SPARE: Final = 1
#: With so few partitions, the full limit is read of each one at once: a second read would cost more
#: than it saves. The same holds if there are at least as many partitions as the list's limit, and
#: this reads so few records in total.
_FEW: Final = 2
_FEW_RECORDS: Final = 100


@frozen
class Merged:
    """The first records over some partitions, each one once."""

    #: Each with its sort value, in the order of these.
    records: list[tuple[str, Record]]
    #: Whether there may be more after them.
    more: bool
    #: The sort value up to which the list is complete, if that is after the last record.
    end: str | None
    #: Whether a store ended a page early, because it reached its limit of records per page.
    is_cut: bool
    #: The sort values and keys of records in this range that a store can't read.
    unreadable: list[tuple[str, str]]


@define
class _Stretch:
    """The records of one partition that were read so far."""

    partition: Partition
    page: RecordPage

    @property
    def ends(self) -> list[str]:
        return [record.attributes[self.partition.index.sort] for record in self.page.records]

    @property
    def end(self) -> str | None:
        """The sort value up to which it was read; None: to its end, or not at all."""
        return self.page.end(self.partition.index) if self.page.more else None

    @property
    def is_open(self) -> bool:
        """Whether more can be read at once: not if the store ended the page early."""
        return self.end is not None and self.page.resume is None

    def extend(self, page: RecordPage) -> None:
        self.page = RecordPage(
            (*self.page.records, *page.records),
            page.more,
            page.resume,
            (*self.page.unreadable, *page.unreadable),
        )


async def read_merged(
    context: Context,
    partitions: Sequence[Partition],
    *,
    limit: int,
    descending: bool = False,
    after: str | None = None,
    before: str | None = None,
) -> Merged:
    """Return the first records over the partitions, and whether there may be more.

    Cost: about twice ``limit`` records for any number of partitions, but at least two of each, in a
    few round trips.
    """
    pages = await _read_partitions(
        context, partitions, limit=limit, descending=descending, after=after, before=before
    )

    def is_within(sort: str, end: str | None) -> bool:
        return end is None or (sort >= end if descending else sort <= end)

    rows = [
        [(record.attributes[partition.index.sort], record) for record in page.records]
        for partition, page in zip(partitions, pages, strict=True)
    ]
    # A page that ended early hides the records after it: the list must stop at its end.
    ends = [
        page.end(partition.index)
        for partition, page in zip(partitions, pages, strict=True)
        if page.more
    ]
    end = (max if descending else min)((end for end in ends if end is not None), default=None)
    merged = heapq.merge(*rows, key=lambda pair: pair[0], reverse=descending)
    distinct = _newest([pair for pair in merged if is_within(pair[0], end)])
    is_whole = len(distinct) <= limit
    reached = end if is_whole else distinct[limit - 1][0]
    return Merged(
        distinct[:limit],
        more=not is_whole or any(page.more for page in pages),
        end=end if is_whole else None,
        is_cut=is_whole and end is not None and any(page.resume == end for page in pages),
        unreadable=[
            pair for page in pages for pair in page.unreadable if is_within(pair[0], reached)
        ],
    )


def _newest(pairs: Sequence[tuple[str, Record]]) -> list[tuple[str, Record]]:
    """Keep only the newest version of a record that moved meanwhile and was read twice."""
    newest: dict[str, Record] = {}
    for _, record in pairs:
        known = newest.get(record.key)
        if known is None or known.version < record.version:
            newest[record.key] = record
    return [pair for pair in pairs if newest[pair[1].key] is pair[1]]


async def _read_partitions(
    context: Context,
    partitions: Sequence[Partition],
    *,
    limit: int,
    descending: bool = False,
    after: str | None = None,
    before: str | None = None,
) -> list[RecordPage]:
    """Return a page of each partition; together they hold the first ``limit`` records of all.

    If each partition holds the same number of them, one round trip is enough.
    """

    async def read(partition: Partition, number: int, end: str | None = None) -> RecordPage:
        first, last = (after, end or before) if descending else (end or after, before)
        query = Query(
            partition=partition, limit=number, descending=descending, after=first, before=last
        )
        return await context.store.page(query)

    number = len(partitions)
    is_small = number <= _FEW or (limit <= number and limit * number <= _FEW_RECORDS)
    share = limit if is_small else min(limit, -(-limit // number) + _SPARE)
    pages = await together([partial(read, item, share) for item in partitions])
    stretches = [_Stretch(*pair) for pair in zip(partitions, pages, strict=True)]
    while True:
        wanted, missing = _wanted(stretches, limit, descending=descending)
        if not wanted:
            return [stretch.page for stretch in stretches]
        size = min(limit, -(-missing // len(wanted)) + _SPARE)
        pages = await together([partial(read, item.partition, size, item.end) for item in wanted])
        for stretch, page in zip(wanted, pages, strict=True):
            stretch.extend(page)


def _wanted(
    stretches: Sequence[_Stretch], limit: int, *, descending: bool
) -> tuple[list[_Stretch], int]:
    """Return the partitions to read further, and how many records are missing."""
    ends = [(stretch.end, stretch) for stretch in stretches if stretch.end is not None]
    if not ends:
        return [], 0
    first_end = (max if descending else min)(end for end, _ in ends)
    values = sorted({value for each in stretches for value in each.ends}, reverse=descending)
    known = [value for value in values if (value >= first_end) is descending or value == first_end]
    if len(known) >= limit or any(
        end == first_end and not stretch.is_open for end, stretch in ends
    ):
        return [], 0
    last = values[limit - 1] if len(values) >= limit else None
    wanted = [
        stretch
        for end, stretch in ends
        if stretch.is_open and (last is None or (end > last if descending else end < last))
    ]
    return wanted, limit - len(known)
