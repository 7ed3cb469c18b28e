"""Stores that each answer too little of what is large, or decode what is opaque."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve

from cicd_core.store import Count, LogEntry, Partition, Query, Record, RecordPage
from cicd_core.testing.passing_store import PassingStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store import Claim, Commit, Committed, Conflict, LogPage, Renewal, Renewed, Store
    from cicd_core.store.records import Watch

Sized = TypeVar("Sized", Record, LogEntry)
#: Where a query of some databases ends, whatever its limit is.
MEGABYTE: Final = 1 << 20
#: A text that somebody took for the end of every index.
LAST: Final = "\U0010ffff"


def within_a_megabyte(things: Iterable[Sized]) -> list[Sized]:
    """Return the first ones whose bodies fit into a megabyte together."""
    kept: list[Sized] = []
    room = MEGABYTE
    for each in things:
        room -= len(each.body)
        if room < 0:
            break
        kept.append(each)
    return kept


class GetsAMegabyte(PassingStore):
    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        return {record.key: record for record in within_a_megabyte(found.values())}


class PagesOfAMegabyte(PassingStore):
    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        return evolve(page, records=tuple(within_a_megabyte(page.records)))


class CountsAMegabyte(PassingStore):
    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        found = await super().count(partitions)
        lost = [await self._lost(partition) for partition in partitions]
        return [
            evolve(each, number=each.number - less) for each, less in zip(found, lost, strict=True)
        ]

    async def _lost(self, partition: Partition) -> int:
        page = await self.store.page(Query(partition=partition, limit=1000))
        return len(page.records) - len(within_a_megabyte(page.records))


class AnswersClaimsWithAMegabyte(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        return within_a_megabyte(await super().claim(claim))


class ReadsAMegabyteOfTheLog(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        return evolve(page, entries=tuple(within_a_megabyte(page.entries)))


def inflated(body: bytes) -> bytes:
    """Return bytes as somebody reads them who takes them for deflated ones, if they can be."""
    try:
        return zlib.decompress(body)
    except zlib.error:
        return body


class InflatesBodies(PassingStore):
    """What its callers have deflated it takes for its own work."""

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        return {key: evolve(it, body=inflated(it.body)) for key, it in found.items()}


class InflatesEvents(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        entries = [evolve(each, body=inflated(each.body)) for each in page.entries]
        return evolve(page, entries=tuple(entries))


class InflatesGrants(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        taken = await super().claim(claim)
        return [evolve(it, grant=it.grant and inflated(it.grant)) for it in taken]


class ReadsNumbersFromBodies(PassingStore):
    """An engine without types: 007 is 7."""

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        return {
            key: evolve(it, body=b"%d" % int(it.body)) if it.body.isdigit() else it
            for key, it in found.items()
        }


class EndsPagesAtTheLastLetter(PassingStore):
    async def page(self, query: Query) -> RecordPage:
        return await super().page(evolve(query, before=query.before or LAST))


class TakesAnEmptyBoundForNone(PassingStore):
    """``if query.before:`` says no to the empty text too."""

    async def page(self, query: Query) -> RecordPage:
        return await super().page(evolve(query, before=query.before or None))


class PagesWithoutGrants(PassingStore):
    """Its index has a copy of each record, and not of all its fields."""

    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        return evolve(page, records=tuple(evolve(each, grant=None) for each in page.records))


class TellsEveryEventOfItems(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        entries = [evolve(each, collection="items") for each in page.entries]
        return evolve(page, entries=tuple(entries))


class RenewsCollectionByCollection(PassingStore):
    """Its answers are in the order of its work."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return await super().renew(sorted(renewals, key=lambda each: each.collection))


class CannotWaitForever(PassingStore):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        if timeout > 1e6:
            raise OverflowError("timeout is too large")
        return await super().wait(watches, timeout)


class RemembersEmptyLanes(PassingStore):
    """A handle does not look into a lane that it saw empty, until it writes itself."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._empty: set[str] = set()

    async def claim(self, claim: Claim) -> list[Record]:
        lanes = tuple(value for value in claim.partitions if value not in self._empty)
        taken = await super().claim(evolve(claim, partitions=lanes))
        if claim.limit and not taken:
            self._empty.update(lanes)
        return taken

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self._empty.clear()
        return await super().commit(commits)
